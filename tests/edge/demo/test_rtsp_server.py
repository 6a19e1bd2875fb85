"""edge.demo.rtsp_server: requests of a player, by hand."""

import dataclasses
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge.demo import auth
from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.rtsp_server import Misbehaviour
from tests.support.cameras import Camera, demo_site

pytestmark = pytest.mark.integration
_PLAN = CameraPlan(id="gate", loop_seconds=2, stream=StreamPlan(width=320, height=180))
_SECRET = dataclasses.replace(_PLAN, password="secret")
_TCP = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"


class _Player:
    """Says requests and reads answers; knows nothing of media."""

    def __init__(self, camera: Camera, connection: socket.socket) -> None:
        self.url = camera.url
        self.connection = connection
        self._file = connection.makefile("rb")
        self._count = 0

    def ask(self, method: str, path: str = "", headers: str = "") -> tuple[int, str]:
        """Status and the answer's head."""
        self._count += 1
        text = f"{method} {self.url}{path} RTSP/1.0\r\nCSeq: {self._count}\r\n{headers}\r\n"
        self.connection.sendall(text.encode())
        return self.read()

    def read(self) -> tuple[int, str]:
        while (first := self._file.read(1)) == b"$":
            _, size = self._file.read(1), self._file.read(2)
            self._file.read(int.from_bytes(size, "big"))
        head = first
        while not head.endswith(b"\r\n\r\n"):
            line = self._file.readline()
            if not line:
                return 0, head.decode("latin1")
            head += line
        found = re.search(rb"Content-Length: (\d+)", head)
        if found:
            self._file.read(int(found[1]))
        return int(head.split()[1]), head.decode()

    def close(self) -> None:
        self._file.close()
        self.connection.close()


@contextmanager
def _player(camera: Camera) -> Iterator[_Player]:
    host, port = camera.url.removeprefix("rtsp://").partition("/")[0].split(":")
    player = _Player(camera, socket.create_connection((host, int(port)), timeout=5))
    try:
        yield player
    finally:
        player.close()


def _authorization(challenge: str, method: str, uri: str, password: str) -> str:
    given = auth.digest_parameters(challenge.partition("WWW-Authenticate: ")[2])
    ha1 = auth._md5(f"recorder:{given['realm']}:{password}")
    response = auth._md5(f"{ha1}:{given['nonce']}:" + auth._md5(f"{method}:{uri}"))
    return (
        f'Authorization: Digest username="recorder", realm="{given["realm"]}", '
        f'nonce="{given["nonce"]}", uri="{uri}", response="{response}"\r\n'
    )


def test_a_session_from_options_to_teardown() -> None:
    with demo_site(_PLAN) as site, _player(site["gate"]) as player:
        assert player.ask("OPTIONS")[0] == 200
        assert player.ask("DESCRIBE")[0] == 200
        status, head = player.ask("SETUP", "/video", _TCP)
        assert (status, ";timeout=60" in head) == (200, True)
        session = "Session: " + head.split("Session: ")[1].split(";")[0] + "\r\n"
        assert player.ask("PLAY", "", session)[0] == 200
        assert player.ask("GET_PARAMETER", "", session)[0] == 200
        assert site["gate"].counts["playing"] == 1
        assert player.ask("SETUP", "/video", _TCP)[0] == 455
        assert player.ask("PAUSE", "", session)[0] == 200
        assert site["gate"].counts["playing"] == 0
        assert player.ask("TEARDOWN", "", session)[0] == 200
        assert site["gate"].counts["sessions"] == 0
        assert site["gate"].counts["teardowns"] == 1


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("DESCRIBE", "/nothing", "", 404),
        ("SETUP", "/audio", _TCP, 404),
        ("SETUP", "/other", _TCP, 404),
        ("SETUP", "/video", "Transport: RTP/AVP;unicast;client_port=5000-5001\r\n", 461),
        ("PLAY", "", "Session: nobody\r\n", 454),
        ("RECORD", "", "", 501),
    ],
)
def test_what_cannot_be_done_is_said(method: str, path: str, headers: str, status: int) -> None:
    with demo_site(_PLAN) as site, _player(site["gate"]) as player:
        assert player.ask(method, path, headers)[0] == status


def test_the_password_is_asked_for_and_a_changed_one_too() -> None:
    with demo_site(_SECRET) as site, _player(site["gate"]) as player:
        assert player.ask("OPTIONS")[0] == 200
        status, head = player.ask("DESCRIBE")
        assert status == 401
        proof = _authorization(head, "DESCRIBE", player.url, "secret")
        assert player.ask("DESCRIBE", "", proof)[0] == 200
        wrong = _authorization(head, "DESCRIBE", player.url, "guess")
        assert player.ask("DESCRIBE", "", wrong)[0] == 401
        site["gate"].do(lambda camera: camera.change_password("other"))
        status, head = player.ask("DESCRIBE", "", proof)
        assert (status, "stale=true" in head) == (401, True)
        proof = _authorization(head, "DESCRIBE", player.url, "other")
        assert player.ask("DESCRIBE", "", proof)[0] == 200


@pytest.mark.parametrize(
    ("mode", "first"),
    [(Misbehaviour.GARBAGE, None), (Misbehaviour.BUSY, 503), (Misbehaviour.TRUNCATED, 0)],
)
def test_misbehaviour(mode: Misbehaviour, first: int | None) -> None:
    with demo_site(_PLAN) as site, _player(site["gate"]) as player:
        site["gate"].do(lambda camera: setattr(camera, "misbehaviour", mode))
        if first is None:
            player.connection.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            assert not player.connection.recv(512).startswith(b"RTSP")
        else:
            assert player.ask("OPTIONS")[0] == first


def test_a_silent_server_keeps_the_connection() -> None:
    with demo_site(_PLAN) as site, _player(site["gate"]) as player:
        site["gate"].do(lambda camera: setattr(camera, "misbehaviour", Misbehaviour.SILENT))
        player.connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            player.ask("OPTIONS")


@pytest.mark.parametrize("noise", [b"\x16\x03\x01" * 9000, b"GET / HTTP/1.1\r\n\r\n", b"$\0\0"])
def test_noise_ends_its_own_connection_only(noise: bytes) -> None:
    with demo_site(_PLAN) as site, _player(site["gate"]) as player:
        with _player(site["gate"]) as other:
            other.connection.sendall(noise)
        assert player.ask("OPTIONS")[0] == 200


def test_a_session_without_sign_of_life_ends() -> None:
    plan = dataclasses.replace(_PLAN, session_timeout_s=1)
    with demo_site(plan) as site, _player(site["gate"]) as player:
        _, head = player.ask("SETUP", "/video", _TCP)
        assert "timeout=1" in head
        assert player.read() == (0, "")
        assert site["gate"].counts["sessions"] == 0
