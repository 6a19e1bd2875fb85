"""Results of the nightly self-checks: kept for 100 nights, each with the SHA-256 of the one before.
Shell.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from config.instants import zone_named
from config.schema import Settings
from retention.clock import Clock
from retention.completeness import local_date, midnight_us
from retention.model import US_PER_S
from retention.whole_file import sync_folder

FOLDER = "self-check"
#: One a night: 100 days.
KEPT_RESULTS = 100
MINUTE_US = 60 * US_PER_S


class ResultNotKept(XueliangError):
    """A self-check's result could not be put beside the others."""

    code = "result_not_kept"


def due_date(settings: Settings, now_us: int) -> date | None:
    """The day whose check is due and was not made: yesterday, from about three o'clock on, a little
    later at one site than at another, for platforms and disks have their own nights."""
    zone = zone_named(settings.site.timezone)
    today = local_date(now_us, zone)
    minute = int(hashlib.sha256(settings.site.name.encode()).hexdigest(), 16) % 60
    if now_us < midnight_us(today, zone) + 3 * 3600 * US_PER_S + minute * MINUTE_US:
        return None
    day = today - timedelta(days=1)
    return None if _has_result(settings.storage.state_dir, day) else day


def keep(state_dir: Path, document: dict[str, Any]) -> str:
    """Write a result, durably; the oldest beyond ``KEPT_RESULTS`` go. Its SHA-256.

    Raises:
        ResultNotKept: that day has a result, or the disk does not take it.
    """
    try:
        return _keep(state_dir, document)
    except OSError as error:
        raise ResultNotKept(
            f"the self-check of {document['date']} is not kept: {error.strerror}",
            hint="a result is never replaced; is the state folder's disk full?",
        ) from error


def _keep(state_dir: Path, document: dict[str, Any]) -> str:
    folder = state_dir / FOLDER
    folder.mkdir(mode=0o750, exist_ok=True)
    if _has_result(state_dir, date.fromisoformat(document["date"])):
        raise FileExistsError(errno.EEXIST, "that day has a result")
    before = results(state_dir)
    number = int(before[-1].name[:6]) + 1 if before else 1
    previous = hashlib.sha256(before[-1].read_bytes()).hexdigest() if before else ""
    content = json.dumps({**document, "previous_sha256": previous}, sort_keys=True).encode() + b"\n"
    path = folder / f"{number:06}-{document['date']}.json"
    beside = path.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.link(beside, path)  # unlike rename, refuses to take another result's place
    beside.unlink()
    for old in results(state_dir)[:-KEPT_RESULTS]:
        old.unlink()
    sync_folder(folder)
    return hashlib.sha256(content).hexdigest()


def results(state_dir: Path) -> list[Path]:
    """The results kept, in the order in which they were made; their dates may be those of a clock
    that was wrong."""
    return sorted((state_dir / FOLDER).glob("??????-????-??-??.json"))


def newest(state_dir: Path) -> dict[str, Any] | None:
    """The last result, without its cameras."""
    for path in reversed(results(state_dir)):
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        found.pop("cameras", None)
        return found
    return None


def _has_result(state_dir: Path, day: date) -> bool:
    return any(path.stem[7:] == day.isoformat() for path in results(state_dir))


def yesterday(settings: Settings, clock: Clock) -> date:
    """Of the site."""
    return local_date(clock.utc_us(), zone_named(settings.site.timezone)) - timedelta(days=1)


def summary_line(document: dict[str, Any]) -> str:
    """The result of one night."""
    summary = document["summary"]
    mark = "通过 passed" if document["passed"] else "未通过 NOT PASSED"
    clock = "" if document["clock_synchronized"] else ", 时钟未同步 clock not synchronized"
    if summary["clocks_off"]:
        clock += f", 摄像机时钟不准 clocks off {summary['clocks_off']}"
    return (
        f"自检 self-check {document['date']}: {mark}, 完整 complete {summary['complete']},"
        f" 缺失 missing {summary['missing']}, 检查失败 failed {summary['check_failed']},"
        f" 回放 played {summary['played']}, 不可放 not {summary['not_played']}{clock}"
    )
