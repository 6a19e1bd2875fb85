"""``xueliang check``: is this machine fit to record what the settings ask? Shell.

The settings themselves are judged by ``config.load``; here stands what only the machine can tell.
Nothing is written, and no camera is asked for more than its address and description.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.schema import Camera, Platform, Settings
from edge import control
from retention.clock import is_clock_synchronized
from retention.stamp import is_blank
from retention.volume import Volume
from retention.volume_errors import VolumeError

CONNECT_TIMEOUT_S = 3.0
#: What a camera is taken to send where nothing was measured yet.
ASSUMED_BITS_PER_S = 4_000_000
DAY_S = 86_400


class Severity(StrEnum):
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


_MARKS = {Severity.GOOD: "通过 ok  ", Severity.WARNING: "注意 warn", Severity.BAD: "错误 bad "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    severity: Severity
    thing: str
    sentence: str
    mend: str = ""

    def line(self) -> str:
        text = f"{_MARKS[self.severity]}  {self.thing}: {self.sentence}"
        return f"{text}; {self.mend}" if self.mend else text

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check_machine(settings: Settings) -> list[Finding]:
    """Every finding, good ones too, in the order in which a person would mend them."""
    return [
        *_check_state_dir(settings.storage.state_dir),
        *_check_volumes(settings),
        _check_clock(),
        *_check_trusted_time(settings),
        *_check_metrics_port(settings),
        *(_check_reserved(platform) for platform in settings.platform),
        *(_check_camera(camera) for camera in settings.camera if camera.enabled),
    ]


def _good(thing: str, sentence: str) -> Finding:
    return Finding(severity=Severity.GOOD, thing=thing, sentence=sentence)


def _warning(thing: str, sentence: str, mend: str) -> Finding:
    return Finding(severity=Severity.WARNING, thing=thing, sentence=sentence, mend=mend)


def _bad(thing: str, sentence: str, mend: str) -> Finding:
    return Finding(severity=Severity.BAD, thing=thing, sentence=sentence, mend=mend)


def _check_state_dir(path: Path) -> Iterator[Finding]:
    thing = f"state_dir {path}"
    if not path.is_dir():
        parent = next(folder for folder in path.parents if folder.is_dir())
        if os.access(parent, os.W_OK):
            yield _good(thing, "will be made at the first start")
        else:
            yield _bad(thing, "does not exist and cannot be made", f"make it: mkdir {path}")
    elif not os.access(path, os.W_OK | os.X_OK):
        yield _bad(thing, "is not writable by this user", f"chown it to the user of edge: {path}")
    elif path.stat().st_mode & 0o077:
        yield _warning(thing, "can be read by other users", f"chmod 700 {path}")
    else:
        yield _good(thing, "is writable by this user alone")


def _check_volumes(settings: Settings) -> Iterator[Finding]:
    storage = settings.storage
    capacity_bytes = 0
    for path in storage.volumes:
        thing = f"volume {path}"
        if not path.is_dir():
            yield _bad(thing, "is no directory", "mount the disk there")
            continue
        if not os.access(path, os.W_OK | os.X_OK):
            yield _bad(
                thing, "is not writable by this user", f"chown it to the user of edge: {path}"
            )
            continue
        try:
            if is_blank(path):
                yield _good(thing, "is empty; it gets its stamp at the first start")
                figures = os.statvfs(path)
                size_bytes = figures.f_blocks * figures.f_frsize
            else:
                volume = Volume.attach(path, reserve_bytes=storage.reserve_bytes)
                volume.check()
                size_bytes = volume.usage().capacity_bytes
                yield _good(thing, f"carries stamp {volume.uuid}")
        except (VolumeError, OSError) as error:
            hint = error.hint if isinstance(error, VolumeError) else "look at the kernel's log"
            yield _bad(thing, str(error), hint)
            continue
        if size_bytes <= storage.reserve_bytes:
            yield _bad(
                thing,
                f"holds {size_bytes} bytes, not more than reserve_bytes",
                "lower [storage] reserve_bytes, or take a larger disk",
            )
        if path.stat().st_dev == Path("/").stat().st_dev:
            yield _warning(
                thing, "is on the system's own disk", "mount a disk of its own there for real use"
            )
        capacity_bytes += max(0, size_bytes - storage.reserve_bytes)
    yield from _check_capacity(settings, capacity_bytes)


def _check_capacity(settings: Settings, capacity_bytes: int) -> Iterator[Finding]:
    cameras = sum(camera.enabled for camera in settings.camera)
    if not cameras:
        yield _warning("cameras", "there are none", "add a [[camera]]")
        return
    days = capacity_bytes / (cameras * ASSUMED_BITS_PER_S / 8 * DAY_S)
    sentence = f"{days:.1f} days of {cameras} cameras at {ASSUMED_BITS_PER_S // 10**6} Mbit/s"
    if days < settings.retention.min_days:
        need_bytes = cameras * ASSUMED_BITS_PER_S // 8 * DAY_S * settings.retention.min_days
        yield _warning(
            "capacity",
            f"{sentence}, below min_days = {settings.retention.min_days}",
            f"that takes {need_bytes / 10**12:.1f} TB unless the cameras send less",
        )
    else:
        yield _good("capacity", sentence)


def _check_clock() -> Finding:
    if is_clock_synchronized():
        return _good("clock", "is disciplined (NTP or PTP)")
    return _warning(
        "clock", "is not disciplined by any source", "run systemd-timesyncd, chrony or ntpd"
    )


def _check_trusted_time(settings: Settings) -> Iterator[Finding]:
    """What the running ``edge`` thinks of the clock; nothing while it does not run."""
    try:
        told = control.ask(settings.storage.state_dir, "status")["time"]
    except (control.ControlUnavailable, control.ControlRefused, KeyError):
        return
    sentence = f"{told['reason_zh']} {told['reason_en']}"
    offsets = "".join(f", {name} {off:+.1f} s" for name, off in told["offsets_seconds"].items())
    if told["trusted"]:
        yield _good("time", f"is trusted: {sentence}{offsets}")
        return
    yield _warning(
        "time",
        f"is not trusted, so that nothing is deleted by its age: {sentence}{offsets}",
        "set the clock right (NTP), then, unless a second source agrees by itself:"
        " xueliang check --confirm-time",
    )


def _check_metrics_port(settings: Settings) -> Iterator[Finding]:
    bind = settings.metrics.bind
    thing = f"metrics {bind}"
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((bind.host, bind.port))
    except OSError as error:
        if not _is_edge_running(settings):
            yield _bad(thing, f"cannot be listened on ({error.strerror})", "set [metrics] bind")
            return
    yield _good(thing, "is free, or edge's own")


def _check_reserved(platform: Platform) -> Finding:
    """The reserved interface of a platform, as far as one sees without using it."""
    thing = f"platform {platform.name}"
    if platform.interface is not None:
        names = [name for _, name in socket.if_nameindex()]
        if platform.interface in names:
            return _good(thing, f"has its interface {platform.interface}")
        return _bad(
            thing, f"has no interface {platform.interface}", f"there are: {', '.join(names)}"
        )
    assert platform.bind is not None
    family = socket.AF_INET6 if ":" in platform.bind else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((platform.bind, 0))
    except OSError as error:
        return _bad(
            thing,
            f"cannot use {platform.bind} ({error.strerror})",
            "set [[platform]] bind to an address of the reserved interface, or name the interface",
        )
    return _good(thing, f"has its address {platform.bind}")


def _is_edge_running(settings: Settings) -> bool:
    try:
        control.ask(settings.storage.state_dir, "ping")
    except control.ControlUnavailable:
        return False
    return True


def _check_camera(camera: Camera) -> Finding:
    thing = f"camera {camera.id}"
    if camera.onvif is not None:
        host, port = camera.onvif.host, camera.onvif.port
    else:
        assert camera.rtsp is not None
        url = urlsplit(camera.rtsp)
        host, port = url.hostname or "", url.port or (322 if url.scheme == "rtsps" else 554)
    try:
        with socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S):
            return _good(thing, f"answers on {host}:{port}")
    except OSError as error:
        return _bad(
            thing,
            f"does not answer on {host}:{port} ({error.strerror or error})",
            "look at its power, cable and address; 'xueliang status' tells more while edge runs",
        )
