"""What cameras do that no document says, played by a peer that is scripted."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.camera.errors import CameraError
from edge.camera.messages import StreamRequest, StreamSource
from edge.camera.rtsp import session
from edge.camera.rtsp.session import read_stream
from edge.console import certificate
from edge.demo import rtp
from retention.clock import SystemClock
from retention.framing import Connected, Lost, Message
from retention.model import GapCause
from tests.peers.liar import Liar

pytestmark = pytest.mark.integration

HEAD = b"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n"
OPTIONS = HEAD + b"Public: DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n\r\n"
VIDEO = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:v\r\n"
SOUND = VIDEO + b"m=audio 0 RTP/AVP 8\r\na=control:a\r\n"
TRANSPORT = b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
SETUP = HEAD + b"Session: 7;timeout=2\r\n" + TRANSPORT + b"\r\n"
PLAY = HEAD + b"Session: 7\r\n\r\n"


def describe(sdp: bytes = VIDEO, fields: bytes = b"") -> bytes:
    return HEAD + fields + b"Content-Length: %d\r\n\r\n" % len(sdp) + sdp


def refusal(status: int, nonce: str) -> bytes:
    challenge = f'WWW-Authenticate: Digest realm="r", nonce="{nonce}"\r\n\r\n'
    return f"RTSP/1.0 {status} No\r\nCSeq: {{cseq}}\r\n{challenge}".encode()


def play(
    url: str, *, audio: bool = False, stops: bool = False
) -> tuple[list[Message], CameraError | None]:
    """One session until it ends, or after half a second where it ``stops``."""
    asked = StreamRequest(
        source=StreamSource(urls=(url,), username="recorder", password="geheim"),
        audio=audio,
        open_timeout_s=1.5,
        stall_timeout_s=1.7,
    )
    until_s = time.monotonic() + 0.5
    found: list[Message] = []
    try:
        for some in read_stream(
            asked, 0, SystemClock(), lambda: stops and time.monotonic() > until_s
        ):
            found += some
    except CameraError as error:
        return found, error
    return found, None


def told(liar: Liar, method: bytes) -> list[bytes]:
    text = b"".join(liar.requests)
    requests = [one + b"\r\n\r\n" for one in text.split(b"\r\n\r\n") if one]
    return [one for one in requests if one.startswith(method + b" ")]


def packets(sizes: Sequence[int], sequence: int = 0) -> bytes:
    parts = [b"\x41\x9a" + b"x" * size for size in sizes]
    made = rtp.packets(parts, payload_type=96, sequence=sequence, rtp_time=0, ssrc=1, marker=False)
    return b"".join(rtp.interleaved(0, packet) for packet in made)


def test_a_refused_password_is_not_tried_with_every_new_nonce() -> None:
    with Liar(*[refusal(401, f"n{number}") for number in range(5)]) as liar:
        _, error = play(liar.url)
    assert error is not None
    assert error.cause is GapCause.CAMERA_AUTH
    assert len([one for one in liar.requests if b"Authorization" in one]) == 1


def test_a_nonce_for_each_request_is_followed_once_the_password_was_taken() -> None:
    answers: list[bytes] = []
    for number, answer in enumerate([OPTIONS, describe(), SETUP, PLAY]):
        answers += [refusal(401, f"n{number}"), answer]
    with Liar(*answers) as liar:
        found, _ = play(liar.url, stops=True)
    assert found[0] == Connected(candidate=0)


def test_a_keep_alive_refused_for_its_nonce_is_said_again_at_once() -> None:
    keep = [refusal(401, "second"), HEAD + b"\r\n"]
    with Liar(refusal(401, "first"), OPTIONS, describe(), SETUP, PLAY, *keep) as liar:
        play(liar.url)  # ends by its silence before the next keep-alive is due
        said = told(liar, b"GET_PARAMETER")
    assert [b'nonce="first"' in one for one in said] == [True, False]
    assert b'nonce="second"' in said[1]


@pytest.mark.parametrize("status", [405, 454, 501])
def test_a_camera_that_knows_no_get_parameter_after_all_gets_options(status: int) -> None:
    keep = [b"RTSP/1.0 %d No\r\nCSeq: {cseq}\r\n\r\n" % status, HEAD + b"\r\n"]
    with Liar(OPTIONS, describe(), SETUP, PLAY, *keep) as liar:
        _, error = play(liar.url)
        assert len(told(liar, b"GET_PARAMETER")) == 1
        assert len(told(liar, b"OPTIONS")) >= 2  # a slow machine comes to the next one
    assert error is not None
    assert error.detail == "the camera sent no picture for 1 s"


@pytest.mark.parametrize(
    ("base", "control", "setup"),
    [
        (b"", b"v", b"live/v"),
        (b"Content-Base: /live/\r\n", b"v", b"live/v"),
        (b"Content-Base: rtsp://h/x?a=1&b=2/\r\n", b"trackID=0", b"rtsp://h/x?a=1&b=2/trackID=0"),
        (b"Content-Base: rtsp://h/x\r\n", b"/y/1", b"rtsp://h/y/1"),
        (b"Content-Base: rtsp://h/x\r\n", b"RTSP://h/z", b"RTSP://h/z"),
        (b"Content-Base: rtsps://[h/x\r\n", b"/y/1", b"rtsps://[h/y/1"),
    ],
)
def test_where_a_control_attribute_leads(base: bytes, control: bytes, setup: bytes) -> None:
    sdp = VIDEO.replace(b"control:v", b"control:" + control)
    with Liar(OPTIONS, describe(sdp, base), SETUP, PLAY) as liar:
        own = liar.url
        found, _ = play(own, stops=True)
    assert found[0] == Connected(candidate=0)
    url = told(liar, b"SETUP")[0].split()[1]
    assert url == (setup if b"//" in setup else own.encode().replace(b"live", setup))


def test_a_session_on_the_second_track_that_says_nothing_goes_on() -> None:
    second = HEAD + TRANSPORT.replace(b"0-1", b"2-3") + b"\r\n"
    with Liar(OPTIONS, describe(SOUND), SETUP, second, PLAY) as liar:
        play(liar.url, audio=True, stops=True)
        time.sleep(0.1)
    assert b"Session: 7" in told(liar, b"PLAY")[0]
    assert told(liar, b"TEARDOWN")


def test_a_camera_that_refuses_its_sound_is_recorded_without() -> None:
    with Liar(OPTIONS, describe(SOUND), SETUP, refusal(461, ""), PLAY) as liar:
        found, _ = play(liar.url, audio=True, stops=True)
    assert found[0] == Connected(candidate=0)


def test_a_transport_that_names_channels_is_tcp() -> None:
    setup = SETUP.replace(b"RTP/AVP/TCP", b"RTP/AVP")
    with Liar(OPTIONS, describe(), setup, PLAY) as liar:
        found, _ = play(liar.url, stops=True)
    assert found[0] == Connected(candidate=0)


@pytest.mark.parametrize(
    "answer",
    [
        b"RTSP/1.0 " + b"2" * 5000 + b" OK\r\nCSeq: {cseq}\r\n\r\n",
        HEAD + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n",
        SETUP.replace(b"timeout=2", b"timeout=" + b"2" * 5000),
        SETUP.replace(b"interleaved=0", b"interleaved=" + b"1" * 5000),
    ],
)
def test_digits_without_end_are_no_numbers(answer: bytes) -> None:
    with Liar(OPTIONS, describe(), answer, PLAY, closes=True) as liar:
        _, error = play(liar.url)
    assert error is not None  # and no exception of another kind


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "x" * 70 + ".invalid"])
@pytest.mark.parametrize("scheme", ["rtsp", "rtsps"])
def test_a_name_that_no_host_can_have_is_an_error_of_the_settings(scheme: str, host: str) -> None:
    _, error = play(f"{scheme}://{host}/")
    assert error is not None
    assert error.cause is GapCause.CONFIG


def test_who_is_asked_to_stop_while_it_waits_for_an_answer_takes_leave() -> None:
    with Liar(OPTIONS, describe(), SETUP) as liar:  # PLAY is never answered
        found, error = play(liar.url, stops=True)
        time.sleep(0.1)
    assert (found, error) == ([], None)
    assert told(liar, b"TEARDOWN")


def test_losses_are_told_though_the_camera_sends_no_reports() -> None:
    sent = packets([100, 100]) + packets([100], sequence=7)
    with Liar(OPTIONS, describe(), SETUP, PLAY + sent) as liar:
        found, _ = play(liar.url, stops=True)
    assert [one.packets for one in found if isinstance(one, Lost)] == [5]


def test_what_came_before_the_answer_to_play_is_kept_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "EARLY_BYTES_MAX", 1000)
    early, later = packets([100] * 50) + PLAY, HEAD + b"\r\n" + packets([100], sequence=50)
    with Liar(OPTIONS, describe(), SETUP, early, later) as liar:  # later: with a keep-alive
        found, _ = play(liar.url)
    (lost,) = [one.packets for one in found if isinstance(one, Lost)]
    assert 35 < lost < 45


def looks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Sizes of what each look gave, and the pauses between."""
    seen: list[object] = []
    receive, pause = session._Connection.receive, time.sleep

    def look(self: session._Connection, timeout_s: float) -> bytes:
        data = receive(self, timeout_s)
        seen.append(len(data))
        return data

    def sleep(seconds: float) -> None:
        seen.append("pause")
        pause(seconds)

    monkeypatch.setattr(session._Connection, "receive", look)
    monkeypatch.setattr(time, "sleep", sleep)
    return seen


def test_where_more_waits_than_one_look_takes_no_pause_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "RECV_BYTES", 4096)
    seen = looks(monkeypatch)
    with Liar(OPTIONS, describe(), SETUP, PLAY + packets([1400] * 100), closes=True) as liar:
        play(liar.url)
    after_full = [then for one, then in zip(seen, seen[1:], strict=False) if one == 4096]
    assert len(after_full) > 20
    assert after_full.count("pause") <= 1  # the answer to PLAY may fill the first


@contextmanager
def encrypted(tmp_path: Path, port: int) -> Iterator[str]:
    """The address of a door that speaks TLS and leads to ``port``."""
    own = certificate.ensure(tmp_path / "state", "127.0.0.1", SystemClock())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pump(outside: ssl.SSLSocket, inside: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := inside.recv(65_536):
                    outside.sendall(data)

        def serve() -> None:
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with (
                    context.wrap_socket(peer, server_side=True) as outside,
                    socket.create_connection(("127.0.0.1", port)) as inside,
                ):
                    back = threading.Thread(target=pump, args=(outside, inside))
                    back.start()
                    with contextlib.suppress(OSError):
                        while data := outside.recv(65_536):
                            inside.sendall(data)
                    inside.shutdown(socket.SHUT_RDWR)
                    back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"rtsps://127.0.0.1:{listener.getsockname()[1]}/live"
        thread.join()


def test_a_look_at_an_encrypted_stream_takes_all_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One record is 16 KiB: ten of them a second are no stream."""
    seen = looks(monkeypatch)
    stream = packets([1400] * 300)
    with Liar(OPTIONS, describe(), SETUP, PLAY + stream) as liar:
        port = int(liar.url.split(":")[2].split("/")[0])
        with encrypted(tmp_path, port) as url:
            found, error = play(url, stops=True)
    assert (found[0], error) == (Connected(candidate=0), None)
    sizes = [one for one in seen if isinstance(one, int)]
    assert max(sizes) > 2 * 16_384
    assert sum(sizes) > len(stream)
