"""Asks the box everything that :mod:`edge.acceptance.items` judges. Shell; reads only, but for the
drills, which are run on request."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from config.instants import format_instant, zone_named
from config.schema import Settings
from config.secrets import SecretUnusable, read_secret
from edge.acceptance import items
from edge.acceptance.drills import Drill, run_drills
from edge.acceptance.items import Item, judged
from edge.acceptance.report import HTML_NAME, JSON_NAME, faults_of, html_of, signed
from edge.archive_check import archive_findings
from edge.audit_verification import is_sound, verify_all
from edge.auditing import on_record
from edge.care.passwords import weakness
from edge.check import Severity, check_machine
from edge.planning import plan_document
from edge.self_check import at_leisure, offsets_of_cameras
from edge.self_check import run as self_check
from edge.status import index_path, status_document
from retention.audit import os_actor
from retention.audit_chain import Action
from retention.clock import SystemClock, is_clock_synchronized
from retention.completeness import local_date
from retention.keys import signing_key
from retention.whole_file import make_folder, replace_file

REPORT_BYTES_MAX = 4 * 2**20


class AcceptanceRefused(XueliangError):
    """The report cannot be made, written or read."""

    code = "acceptance_refused"


def accept(
    settings: Settings, folder: Path, *, drills: frozenset[Drill], say: Callable[[str], None]
) -> dict[str, Any]:
    """Check everything, and write the signed report into ``folder``, on record.

    Args:
        say: tells the person at the box what to do in a drill.

    Raises:
        IndexUnavailable, AuditUnavailable, KeyUnusable, AcceptanceRefused.
    """
    clock = SystemClock()
    zone = zone_named(settings.site.timezone)
    with on_record(settings, Action.ACCEPTANCE, str(folder)) as deed:
        found = [*_checked(settings, clock), *run_drills(settings, drills, say)]
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
            make_folder(folder)
            text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True)
            replace_file(folder / JSON_NAME, text.encode() + b"\n", mode=0o644)
            replace_file(folder / HTML_NAME, html_of(document).encode(), mode=0o644)
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
    yield items.completeness(cameras, document["at"])
    plan = plan_document(settings, None, None, None)
    days = plan["days_given"] if plan["rate"] == "measured" else None
    yield items.retention(cameras, days, settings.retention.min_days)
    told = document["time"]
    yield items.clocks(
        is_clock_synchronized(),
        None if told is None else told["trusted"],
        {one["camera"]: one.get("clock_offset_seconds") for one in cameras if one["enabled"]},
    )
    yield items.overlays(cameras)
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
