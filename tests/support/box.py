"""A recorder box for tests: its settings, its ``edge`` service as a real process, its commands."""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

from config.instants import parse_instant

T = TypeVar("T")

START_TIMEOUT_S = 30.0
XUELIANG = (sys.executable, "-W", "ignore", "-m", "edge.cli")


def wait_for(what: str, probe: Callable[[], T | None], timeout_s: float = START_TIMEOUT_S) -> T:
    """The first answer of ``probe`` that is neither None nor False; fails after the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.05)


#: Below what the kernel gives to connections, which would take a port between asking and using.
_PORTS = range(10_240, 29_900)
_chance = random.SystemRandom()  # not what tests seed: they run side by side
_given: set[int] = set()


def free_port() -> int:
    """A port of loopback that nobody uses, nor the two behind it (a box's other services)."""
    while True:
        port = _chance.choice(_PORTS)
        wanted = {port, port + 1, port + 2}
        if not wanted & _given and all(map(_is_free, wanted)):
            _given.update(wanted)
            return port


def free_range(count: int) -> str:
    """As many ports in a row, an even number first, as ``media_ports`` has them. The one behind
    them is held until this process ends, so that no other one takes them, too."""
    while True:
        first = _chance.choice(_PORTS) & ~1
        wanted = set(range(first, first + count + 1))
        if wanted & _given or not all(map(_is_free, wanted)):
            continue
        hold = socket.socket()
        hold.bind(("127.0.0.1", first + count))
        atexit.register(hold.close)
        _given.update(wanted)
        return f"{first}-{first + count - 1}"


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxCamera:
    """One ``[[camera]]``: ``source`` is ``rtsp = …`` or ``onvif = …`` as TOML."""

    id: str
    source: str
    password: str = ""
    audio: bool = False
    username: str = "recorder"
    enabled: bool = True


@dataclass(slots=True, kw_only=True)
class Box:
    """Everything of one box stands below ``folder``; volumes may stand elsewhere."""

    folder: Path
    cameras: Sequence[BoxCamera] = ()
    volumes: Sequence[Path] = ()
    retiring: Sequence[Path] = ()
    state_dir: Path | None = None
    segment_seconds: int = 60
    durability_seconds: float = 1.0
    reserve_bytes: str = "0B"
    buffer_bytes: str = "64MiB"
    evidence: str = ""  # lines of [evidence]
    more: str = ""  # tables before the cameras
    port: int = field(default_factory=free_port)
    console_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "xueliang.toml"

    @property
    def state(self) -> Path:
        return self.state_dir or self.folder / "state"

    @property
    def volume(self) -> Path:
        return self.volumes[0] if self.volumes else self.folder / "volume"

    def write_config(self) -> None:
        self.folder.mkdir(exist_ok=True, parents=True)
        if not self.volumes:
            self.volume.mkdir(exist_ok=True)
        volumes = [str(path) for path in self.volumes or [self.volume]]
        lines = [
            '[site]\nname = "测试托育中心"\n[storage]',
            f"volumes = {json.dumps(volumes)}",
            f"retiring = {json.dumps([str(path) for path in self.retiring])}",
            f'state_dir = "{self.state}"',
            f"durability_seconds = {self.durability_seconds}",
            f'reserve_bytes = "{self.reserve_bytes}"',
            f'buffer_bytes = "{self.buffer_bytes}"',
            f"segment_seconds = {self.segment_seconds}",
            f'[metrics]\nbind = "127.0.0.1:{self.port}"',
            f'[console]\nbind = "127.0.0.1:{self.console_port}"',
        ]
        if self.evidence:
            lines.append(f"[evidence]\n{self.evidence}")
        lines += [self.more] if self.more else []
        for camera in self.cameras:
            lines += [
                f'[[camera]]\nid = "{camera.id}"\nname = "摄像机 {camera.id}"\n{camera.source}',
                f"audio = {json.dumps(camera.audio)}",
                f"enabled = {json.dumps(camera.enabled)}",
            ]
            if camera.password:
                secret = self.folder / f"{camera.id}.password"
                secret.write_text(camera.password)
                secret.chmod(0o600)
                lines.append(f'username = "{camera.username}"\npassword_file = "{secret}"')
        self.config.write_text("\n".join(lines) + "\n")

    # The service ---------------------------------------------------------------------------

    def start(self, *wrapper: str) -> None:
        """Start ``edge`` (under ``wrapper``, such as strace); does not wait for anything."""
        log = (self.folder / "edge.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [*wrapper, *XUELIANG, "run", "edge", "-c", str(self.config)],
                stderr=log,
                stdout=log,
                start_new_session=True,
            )

    def stop(self, timeout_s: float = 15.0) -> int:
        """A clean stop; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the parent alone: its children must notice by themselves."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def reload(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGHUP)

    @property
    def log(self) -> str:
        return (self.folder / "edge.log").read_text()

    # Its commands --------------------------------------------------------------------------

    def xueliang(
        self, *arguments: str, wrapper: Sequence[str] = (), input_text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*wrapper, *XUELIANG, *arguments, "-c", str(self.config)],
            capture_output=True,
            text=True,
            input=input_text,
            timeout=60,
        )

    def json(self, *arguments: str, wrapper: Sequence[str] = ()) -> Any:
        result = self.xueliang(*arguments, "--json", wrapper=wrapper)
        assert result.stdout, f"{arguments}: {result.stderr}"
        return json.loads(result.stdout)

    def status(self) -> Any:
        return self.json("status")

    def camera_status(self, camera: str) -> Any:
        return next(one for one in self.status()["cameras"] if one["camera"] == camera)

    def timeline(self, camera: str, from_us: int, to_us: int, wrapper: Sequence[str] = ()) -> Any:
        """``xueliang timeline``, with its instants as UTC microseconds."""
        window = ("--from", _text(from_us), "--to", _text(to_us))
        document = self.json("timeline", camera, *window, wrapper=wrapper)
        for piece in [document, *document["spans"], *document["gaps"]]:
            for key in piece.keys() & {"start", "end", "from", "to"}:
                piece[key] = parse_instant(piece[key])
        return document

    def metrics(self) -> dict[str, float]:
        """Every series of ``/metrics``, by its text form."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def wait_recording(self, *cameras: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Until each camera has a durable fragment that is younger than this call."""
        since_us = time.time_ns() // 1000

        def is_recording() -> bool:
            told = self.xueliang("status", "--json").stdout
            if not told:
                return False  # there is no index yet
            newest = {one["camera"]: one["newest"] for one in json.loads(told)["cameras"]}
            names = cameras or tuple(camera.id for camera in self.cameras)
            return all(newest.get(n) and parse_instant(newest[n]) >= since_us for n in names)

        try:
            wait_for(f"{cameras or 'all cameras'} recording", is_recording, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-3000:]}") from None

    def segments(self, camera: str = "*") -> list[Path]:
        """Files of all volumes."""
        volumes = self.volumes or [self.volume]
        return sorted(path for volume in volumes for path in volume.glob(f"{camera}/*/*/*/*/*.mp4"))


def _text(instant_us: int) -> str:
    seconds, rest = divmod(instant_us, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06}Z"


def decode_errors(path: Path) -> str:
    """What ffmpeg says while it decodes the whole file; empty when it is content."""
    result = subprocess.run(
        ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return result.stderr + ("" if result.returncode == 0 else f"exit {result.returncode}")
