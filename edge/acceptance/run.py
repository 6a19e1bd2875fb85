"""Asks the box everything that :mod:`edge.acceptance.items` judges. Shell; reads only, but for the
drills, which are run on request."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from config.instants import format_instant, parse_instant, zone_named
from config.schema import Settings
from config.secrets import SecretUnusable, read_secret
from edge import control
from edge.acceptance import items
from edge.acceptance.items import Item, Result, judged
from edge.acceptance.report import HTML_NAME, JSON_NAME, faults_of, html_of, signed
from edge.archive_check import archive_findings
from edge.audit_verification import is_sound, verify_all
from edge.auditing import on_record
from edge.care.passwords import weakness
from edge.check import Severity, check_machine
from edge.planning import plan_document
from edge.self_check import at_leisure, offsets_of_cameras
from edge.self_check import run as self_check
from edge.status import index_path, status_document, timeline_document
from retention.audit import os_actor
from retention.audit_chain import Action
from retention.clock import SystemClock, is_clock_synchronized
from retention.completeness import local_date
from retention.keys import signing_key

#: Recording again after edge was killed; a service manager starts it after a second.
DRILL_S = 60.0
REPORT_BYTES_MAX = 4 * 2**20


class AcceptanceRefused(XueliangError):
    """The report cannot be made, written or read."""

    code = "acceptance_refused"


def accept(settings: Settings, folder: Path, *, with_drills: bool) -> dict[str, Any]:
    """Check everything, and write the signed report into ``folder``, on record.

    Raises:
        IndexUnavailable, AuditUnavailable, KeyUnusable, AcceptanceRefused.
    """
    clock = SystemClock()
    zone = zone_named(settings.site.timezone)
    with on_record(settings, Action.ACCEPTANCE, str(folder)) as deed:
        found = [*_checked(settings, clock), *(_drills(settings) if with_drills else [])]
        found += items.manual_items()
        document = signed(
            signing_key(settings.storage.state_dir),
            site=settings.site.name,
            at=format_instant(clock.utc_us(), zone),
            version=version("xueliang-edge"),
            items=sorted(found, key=_order),
            by=os_actor(),
        )
        deed.told["accepted"] = document["accepted"]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True)
            (folder / JSON_NAME).write_text(text + "\n")
            (folder / HTML_NAME).write_text(html_of(document))
        except OSError as error:
            raise AcceptanceRefused(f"{folder} cannot be written: {error.strerror}") from error
    return document


def verify(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The report in ``folder``, and why it is not what a box signed.

    Raises:
        AcceptanceRefused: there is none.
    """
    try:
        with (folder / JSON_NAME).open("rb") as file:
            document = json.loads(file.read(REPORT_BYTES_MAX))
        page = (folder / HTML_NAME).read_text()
    except (OSError, ValueError) as error:
        raise AcceptanceRefused(f"{folder} holds no report that can be read: {error}") from error
    faults = faults_of(document)
    if not faults and page != html_of(document):
        faults.append(f"{HTML_NAME} does not show what {JSON_NAME} says")
    return document, faults


def _order(item: Item) -> tuple[int, str]:
    digits = "".join(char for char in item.number if char.isdigit())
    return int(digits), item.number


def _checked(settings: Settings, clock: SystemClock) -> Iterator[Item]:
    document = status_document(settings)
    cameras = document["cameras"]
    yield items.resolution(cameras)
    yield items.recording(cameras)
    yield items.completeness(cameras)
    plan = plan_document(settings, None, None, None)
    days = plan["days_given"] if plan["rate"] == "measured" else None
    yield items.retention(cameras, days, settings.retention.min_days)
    told = document["time"]
    yield items.clocks(
        is_clock_synchronized(),
        None if told is None else told["trusted"],
        {one["camera"]: one.get("clock_offset_seconds") for one in cameras if one["enabled"]},
    )
    yield from items.poll(
        self_check(
            settings,
            local_date(clock.utc_us(), zone_named(settings.site.timezone)),
            clock,
            random.SystemRandom(),
            at_leisure,
            offsets_of_cameras(settings),
        )
    )
    yield items.registration(document["platforms"])
    yield _archive(settings, cameras)
    yield _passwords(settings)
    yield from _machine(settings)
    yield _audit(settings)


def _archive(settings: Settings, told: list[dict[str, Any]]) -> Item:
    names = [camera.name for camera in settings.camera]
    by_id = {one["camera"]: one for one in told}
    faults = [
        f"{camera.id}: {finding.field}: {finding.zh} {finding.en}"
        for camera in settings.camera
        if camera.enabled and camera.expose
        for finding in archive_findings(
            camera,
            names=names,
            told_manufacturer=str(by_id.get(camera.id, {}).get("manufacturer") or ""),
            told_model=str(by_id.get(camera.id, {}).get("model") or ""),
        )
    ]
    mend = "fill in [camera.archive] from the police's list"
    count = sum(camera.enabled and camera.expose for camera in settings.camera)
    facts = (f"{count} cameras",)
    return judged("10", "目录与一机一档", "Catalog fits the register", faults, mend, *facts)


def _passwords(settings: Settings) -> Item:
    faults: list[str] = []
    seen: dict[str, str] = {}
    checked = 0
    files = [(one.id, one.username, one.password_file) for one in settings.camera if one.enabled]
    files += [(one.name, one.device_id, one.password_file) for one in settings.platform]
    for name, username, path in files:
        if path is None:
            faults.append(f"{name}: no password")
            continue
        try:
            password = read_secret(path).reveal()
        except SecretUnusable as error:
            faults.append(f"{name}: {error}")
            continue
        checked += 1
        weak = weakness(username, password)
        if weak is not None:  # told without a trace of the password
            faults.append(f"{name}: {weak.zh} {weak.en}")
        if password in seen:
            faults.append(f"{name}: the same password as {seen[password]}")
        seen.setdefault(password, name)
    mend = "a strong password of its own for each, on the device and in its password_file"
    return judged("11a", "密码", "passwords", faults, mend, f"{checked} passwords")


def _machine(settings: Settings) -> Iterator[Item]:
    """Ports, forwarding, separation, disks: as ``xueliang check`` sees them."""
    found = check_machine(settings)
    faults = [
        f"{one.thing}: {one.sentence}; {one.mend}" for one in found if one.severity is Severity.BAD
    ]
    facts = [f"{one.thing}: {one.sentence}" for one in found if one.severity is Severity.WARNING]
    mend = "xueliang check names each with its mend"
    yield judged("11b", "端口、路由与磁盘", "ports, routes and disks", faults, mend, *facts)


def _audit(settings: Settings) -> Item:
    state_dir = settings.storage.state_dir
    verdicts = verify_all(state_dir, index_path(settings), None, lambda: None)
    faults = [] if is_sound(verdicts) else ["an audit log cannot be believed"]
    mend = "xueliang audit verify names it"
    return judged("12a", "审计日志", "audit logs are whole", faults, mend, f"{len(verdicts)} logs")


def _drills(settings: Settings) -> Iterator[Item]:
    """edge is killed: recording comes back by itself, and the gap is told with its cause."""
    zh, en = "断点演练：录像进程被杀", "drill: the recorder is killed"
    pid = _edge_pid(settings)
    if pid is None:
        yield Item(number="13", zh=zh, en=en, result=Result.SKIPPED, found=("edge does not run",))
        return
    zone = zone_named(settings.site.timezone)
    since_us = SystemClock().utc_us()
    os.kill(pid, signal.SIGKILL)
    begun_s = time.monotonic()
    faults: list[str] = []
    facts: list[str] = []
    while not _is_recording(settings):
        if time.monotonic() - begun_s > DRILL_S:
            faults.append(f"not recording {DRILL_S:.0f} s after it was killed")
            break
        time.sleep(0.5)
    else:
        facts.append(f"recording again after {time.monotonic() - begun_s:.1f} s")
        until = format_instant(SystemClock().utc_us(), zone)
        for camera in settings.camera:
            if not camera.enabled:
                continue
            since = format_instant(since_us - 10_000_000, zone)
            told = timeline_document(settings, camera.id, since, until)
            gaps = [
                f"{parse_instant(one['end']) - parse_instant(one['start']):.0f} us {one['cause']}"
                for one in told["gaps"]
            ]
            if not any(one["cause"] == "service_crashed" for one in told["gaps"]):
                faults.append(f"{camera.id}: the gap is not told as service_crashed ({gaps})")
    yield judged("13", zh, en, faults, "is edge started by systemd (Restart=always)?", *facts)


def _edge_pid(settings: Settings) -> int | None:
    try:
        return int(control.ask(settings.storage.state_dir, "ping")["pid"])
    except (control.ControlUnavailable, control.ControlRefused, KeyError):
        return None


def _is_recording(settings: Settings) -> bool:
    try:
        document = status_document(settings)
    except XueliangError:
        return False
    cameras = [one for one in document["cameras"] if one["enabled"]]
    return bool(document["edge"]["running"]) and all(
        one["recording"] and one["newest_age_seconds"] < DRILL_S / 6 for one in cameras
    )
