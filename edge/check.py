"""``xueliang check``: is this machine fit to record what the settings ask? Shell.

The settings themselves are judged by ``config.load``; here stands what only the machine can tell.
Nothing is written, and no camera is asked for more than its address and description.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.schema import Camera, HostPort, Platform, Settings
from config.secrets import Secret, SecretUnusable, read_secret
from config.units import format_bytes
from edge import bounded, control, separation, separation_look, volume_looks
from edge.care.known import address_of
from edge.care.passwords import weakness
from edge.care.store import load_known
from edge.ntp import is_ntp_served
from edge.planning import plan_document
from edge.volume_looks import VolumeLook
from retention.clock import is_clock_synchronized

CONNECT_TIMEOUT_S = 3.0


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
    state_dir = settings.storage.state_dir
    volumes = settings.storage.volumes
    asked = [("edge.check:look_at_state_dir", str(state_dir)), *volume_looks.questions(volumes)]
    state, *answers = bounded.ask(asked)
    is_there = state is not None  # else nobody asks for what stands in it
    looks = volume_looks.looks_of(volumes, answers)
    known = load_known(state_dir) if is_there else {}
    return [
        *([Finding(**one) for one in state] if is_there else [_silent_state_dir(state_dir)]),
        *_check_volumes(settings, looks),
        _check_capacity(settings, looks, reads_index=is_there),
        _check_clock(),
        *(_check_trusted_time(settings) if is_there else ()),
        *(_check_metrics_port(settings) if is_there else ()),
        *(_check_reserved(platform) for platform in settings.platform),
        *_check_separation(settings),
        *(
            _check_camera(camera, address_of(known.get(camera.id), camera.onvif))
            for camera in settings.camera
            if camera.enabled
        ),
        *_check_passwords(settings),
        *_check_ntp_server(settings),
    ]


def _good(thing: str, sentence: str) -> Finding:
    return Finding(severity=Severity.GOOD, thing=thing, sentence=sentence)


def _warning(thing: str, sentence: str, mend: str) -> Finding:
    return Finding(severity=Severity.WARNING, thing=thing, sentence=sentence, mend=mend)


def _bad(thing: str, sentence: str, mend: str) -> Finding:
    return Finding(severity=Severity.BAD, thing=thing, sentence=sentence, mend=mend)


def look_at_state_dir(text: str) -> list[dict[str, Any]]:
    """In a child (edge.bounded): its disk may hang."""
    return [one.as_json() for one in _check_state_dir(Path(text))]


def _silent_state_dir(path: Path) -> Finding:
    return _bad(
        f"state_dir {path}",
        f"does not answer within {bounded.LOOK_S:g} s",
        "look at the disk that it is on and the kernel's log (dmesg)",
    )


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
    elif path.stat().st_mode & 0o027:
        yield _warning(thing, "is open to other users", f"chmod 750 {path}")
    else:
        yield _good(thing, "is writable by this user alone")


def _check_volumes(settings: Settings, looks: Sequence[VolumeLook]) -> Iterator[Finding]:
    reserve_bytes = settings.storage.reserve_bytes
    for one in looks:
        thing = f"volume {one.path}"
        if one.trouble:
            yield _bad(thing, one.trouble, one.mend)
            continue
        if one.uuid is None:
            yield _good(thing, "is empty; it gets its stamp at the first start")
        else:
            yield _good(thing, f"carries stamp {one.uuid}")
        if one.capacity_bytes <= reserve_bytes:
            yield _bad(
                thing,
                f"holds {one.capacity_bytes} bytes, not more than reserve_bytes",
                "lower [storage] reserve_bytes, or take a larger disk",
            )
        if one.is_on_system_disk:
            yield _warning(
                thing, "is on the system's own disk", "mount a disk of its own there for real use"
            )


def _check_capacity(
    settings: Settings, looks: Sequence[VolumeLook], *, reads_index: bool
) -> Finding:
    """What the disks give: at the measured rate, else as an estimate that is called so."""
    plan = plan_document(settings, None, None, None, looks=looks, reads_index=reads_index)
    if not plan["cameras"]:
        return _warning("cameras", "there are none", "add a [[camera]]")
    how = (
        "实测 measured"
        if plan["rate"] == "measured"
        else f"估计 an estimate: {plan['mbps']:g} Mbit/s each is assumed, not measured"
    )
    sentence = (
        f"{plan['days_given']:.1f} 天 days of {plan['cameras']} cameras"
        f" at {plan['mbps']:g} Mbit/s ({how})"
    )
    if plan["enough"]:
        return _good("capacity", sentence)
    return _warning(
        "capacity",
        f"{sentence}, below min_days = {plan['days']}",
        f"that takes {format_bytes(plan['needed_bytes'])} unless the cameras send less",
    )


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


def _check_separation(settings: Settings) -> Iterator[Finding]:
    network = separation_look.look(settings)
    if network is None:
        yield _warning("network", "cannot be looked at", "install iproute2")
        return
    found = separation.faults(network)
    for fault in found:
        make = _bad if fault.is_bad else _warning
        yield make(fault.thing, fault.sentence, fault.mend)
    if not found:
        yield _good("network", "keeps cameras, platforms and management apart")


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


def _check_passwords(settings: Settings) -> Iterator[Finding]:
    """Of enabled cameras, as far as this user may read them; never the password itself."""
    for camera in settings.camera:
        if not camera.enabled:
            continue
        try:
            secret = Secret("")
            if camera.password_file is not None:
                secret = read_secret(camera.password_file)
        except SecretUnusable:
            continue  # the settings' own check says so
        weak = weakness(camera.username, secret.reveal())
        if weak is not None:
            yield _warning(
                f"camera {camera.id}",
                f"has a weak password: {weak.zh} {weak.en}",
                "set a strong one on the camera, and write it to its password_file",
            )


def _check_ntp_server(settings: Settings) -> Iterator[Finding]:
    """Cameras whose clock is pointed at this box need somebody here who tells the time."""
    pointed = [one.id for one in settings.camera if one.enabled and one.set_clock == "ntp"]
    if not pointed or settings.care.ntp_server:
        return
    if is_ntp_served():
        yield _good("ntp", "something here answers NTP for the cameras")
    else:
        yield _warning(
            "ntp",
            f'set_clock = "ntp" points {", ".join(pointed[:8])} here, and nothing answers NTP',
            "install chrony and allow the camera network, or set [care] ntp_server",
        )


def _check_camera(camera: Camera, onvif: HostPort | None) -> Finding:
    thing = f"camera {camera.id}"
    if onvif is not None:
        host, port = onvif.host, onvif.port
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
