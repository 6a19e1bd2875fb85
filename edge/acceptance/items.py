"""What is checked at acceptance, and when it passes. Core.

Numbers are those of the acceptance list of a site (domain.md). What a machine cannot see (coverage
of rooms, picture by eye, papers, the trial run's month) stands in the report as ``manual``, so that
nobody takes the report for the whole acceptance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from config.instants import parse_instant
from edge.alarms.codes import Code

COMPLETENESS_MIN = 0.995
#: Time in the picture against standard time: the limit of DB31/T 329.21-2019, and our own target.
CLOCK_LIMIT_S, CLOCK_TARGET_S = 30.0, 5.0
WIDTH_MIN, HEIGHT_MIN = 1920, 1080
DAY_US = 24 * 3600 * 1_000_000


class Result(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    #: Nothing is wrong, and the pass line is not reached yet (a box that is a week old).
    NOT_YET = "not_yet"
    MANUAL = "manual"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One check. ``found`` says what was measured, ``mend`` what to do where it failed."""

    number: str
    zh: str
    en: str
    result: Result
    found: tuple[str, ...] = ()
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "found": list(self.found)}


#: Number and names of each drill.
DRILLS = {
    "recorder": ("13", "断点演练：录像进程被杀", "drill: the recorder is killed"),
    "network": ("13a", "断网演练：摄像机断线", "drill: a camera's cable is pulled"),
    "disk": ("13b", "拔盘演练：录像盘掉线", "drill: a disk of footage is pulled"),
}
#: What a camera that is away may be told as.
_AWAY = frozenset({"camera_offline", "network", "camera_refused"})
_DISK = frozenset({"disk_failed", "disk_full", "disk_slow"})

MANUAL = (
    ("1", "点位覆盖与禁装区域", "coverage as planned; banned rooms clear"),
    ("2", "昼夜图像质量", "day and night picture, by eye"),
    ("12", "角色与审批", "roles: wrong role refused, exports approved"),
    ("13c", "断电演练与不间断电源", "power is cut: the UPS lasts, recording comes back"),
    ("14", "到期删除与保全", "deletion and hold, in a lab copy with an accelerated clock"),
    ("15", "图像诊断抽测", "staged cover, blur and move are found"),
    ("16", "试运行不少于 30 天", "trial run of 30 days or more"),
    ("17", "现场抽查", "sampling on site"),
)


def manual_items() -> list[Item]:
    return [Item(number=n, zh=zh, en=en, result=Result.MANUAL) for n, zh, en in MANUAL]


def judged(number: str, zh: str, en: str, faults: Sequence[str], mend: str, *facts: str) -> Item:
    """Passed without a fault; the faults are what was found, else the facts."""
    return Item(
        number=number,
        zh=zh,
        en=en,
        result=Result.FAILED if faults else Result.PASSED,
        found=tuple(faults) if faults else facts,
        mend=mend if faults else "",
    )


def _not_yet(item: Item) -> Item:
    """What would pass has not been shown for long enough; a fault stays one."""
    return replace(item, result=Result.NOT_YET) if item.result is Result.PASSED else item


def recording(cameras: Sequence[Mapping[str, Any]]) -> Item:
    """Every enabled camera has a durable fragment of the last 30 s."""
    enabled = [one for one in cameras if one["enabled"]]
    faults = [f"{one['camera']}: not recorded" for one in enabled if not one["recording"]]
    if not enabled:
        faults = ["there is no enabled camera"]
    facts = [f"{one['camera']}: {one['newest_age_seconds']} s" for one in enabled]
    return judged("4a", "正在录像", "recording now", faults, "see xueliang status", *facts)


def completeness(cameras: Sequence[Mapping[str, Any]], at: str) -> Item:
    """Coverage of the past 24 hours; a camera that is younger ``at`` that instant (ISO 8601) has
    not shown it yet, and fails once more is missing than a day may lack."""
    faults, facts, young = [], [], False
    for one in cameras:
        if not one["enabled"]:
            continue
        ratio = one["coverage"].get("24h")
        age_us = parse_instant(at) - parse_instant(one["history"]["due_from"])
        young |= age_us < DAY_US
        if ratio is None:
            young = True
            continue
        facts.append(f"{one['camera']}: {100 * ratio:.3f} %")
        if (1 - ratio) * min(age_us, DAY_US) > (1 - COMPLETENESS_MIN) * DAY_US:
            faults.append(f"{one['camera']}: {100 * ratio:.3f} % of the past 24 h")
    mend = "xueliang completeness names each gap and its cause"
    item = judged("4b", "24 小时完整率 ≥99.5 %", "completeness of 24 h", faults, mend, *facts)
    return _not_yet(item) if young else item


def retention(cameras: Sequence[Mapping[str, Any]], days: float | None, min_days: int) -> Item:
    """90 days are kept, or will be: by a history that is mature, else by what the disks give at the
    measured rates (``days``; None while they are not known)."""
    faults: list[str] = []
    facts: list[str] = []
    young = False
    for one in cameras:
        if not one["enabled"]:
            continue
        name = one["camera"]
        if one["history"]["mature"]:
            facts.append(f"{name}: oldest {one['oldest']}")
            continue
        young = True
        facts.append(f"{name}: due since {one['history']['due_from']}")
    if days is not None:
        told = f"these disks give {days:.0f} days at the rates measured"
        (faults if days < min_days else facts).append(told)
    else:
        young = True
        facts.append("the cameras' rates are not measured yet")
    zh, en = f"保存 ≥{min_days} 天", f"kept for {min_days} days"
    item = judged("5", zh, en, faults, "xueliang plan says what it takes", *facts)
    return _not_yet(item) if young else item


def resolution(cameras: Sequence[Mapping[str, Any]]) -> Item:
    """1080p or more of each stream that is recorded; a contract may say otherwise."""
    faults, facts = [], []
    for one in cameras:
        width, height = one.get("width"), one.get("height")
        if not one["enabled"] or not width or not height:
            continue
        facts.append(f"{one['camera']}: {width}x{height}")
        if max(width, height) < WIDTH_MIN or min(width, height) < HEIGHT_MIN:
            faults.append(f"{one['camera']}: {width}x{height}")
    mend = "choose the main stream (profile), or note what the contract says"
    return judged("3", "分辨率 ≥1080p", "resolution of 1080p", faults, mend, *facts)


def overlays(cameras: Sequence[Mapping[str, Any]]) -> Item:
    """The texts in the picture, as care read them by ONVIF: name as in the tree, date and time."""
    faults: list[str] = []
    facts: list[str] = []
    is_young = has_seen = False
    for one in cameras:
        if not one["enabled"]:
            continue
        care = one.get("care")
        if care is not None and care["looked"] is None:
            is_young = True
            facts.append(f"{one['camera']}: not looked at yet")
        elif care is None or not care["texts_read"]:
            facts.append(f"{one['camera']}: does not tell its texts, look at its picture")
        else:
            has_seen = True
            faults += [
                f"{one['camera']}: {found['zh']} {found['en']}"
                for found in care["findings"]
                if found["code"] == Code.CAMERA_NAME_DIFFERS.value
            ]
    mend = "xueliang camera set-osd CAMERA, or on the camera's own page"
    item = judged("7", "画面字符与名称、时间", "texts in the picture", faults, mend, *facts)
    if is_young:
        return _not_yet(item)
    return item if has_seen else replace(item, result=Result.MANUAL)


def clocks(
    host_is_synchronized: bool,
    time_trusted: bool | None,
    cameras: Mapping[str, float | None],
) -> Item:
    faults = [] if host_is_synchronized else ["this box: nothing disciplines the clock"]
    if time_trusted is False:
        faults.append("this box: its time is not trusted")
    facts = []
    for name, offset_s in cameras.items():
        if offset_s is None:
            facts.append(f"{name}: not known")
            continue
        facts.append(f"{name}: {offset_s:+.1f} s")
        if abs(offset_s) > CLOCK_TARGET_S:
            grave = "beyond the limit" if abs(offset_s) > CLOCK_LIMIT_S else "off"
            faults.append(f"{name}: {offset_s:+.1f} s, {grave}")
    mend = "NTP on the box and on every camera; xueliang check says what is wrong"
    return judged("6", "时钟偏差", "clocks", faults, mend, *facts)


def poll(document: Mapping[str, Any]) -> list[Item]:
    """Of a self-check: what a platform's RecordInfo finds, and what plays."""
    lists, plays, facts, played = [], [], [], []
    for one in document["cameras"]:
        name = one["camera"]
        lists += [f"{name}: {fault}" for fault in one["faults"]]
        if one["state"] == "check_failed":
            lists.append(f"{name}: could not be asked")
        facts.append(f"{name}: {one['state']}")
        for play in one["plays"]:
            if play["state"] in ("mismatch", "unreadable"):
                plays.append(f"{name}: {play['what']} {play['state']}")
            elif play["state"] == "ok":
                at, pictures = play["at"], play["pictures"]
                played.append(f"{name}: {play['what']} {at}, {pictures} pictures")
    see = "xueliang self-check shows each camera"
    return [
        judged("9", "录像检索与时间轴一致", "RecordInfo fits the ledger", lists, see, *facts),
        judged(
            "5b", "最早与随机一分钟可回放", "oldest and a random minute play", plays, see, *played
        ),
    ]  # fmt: skip


def registration(platforms: Sequence[Mapping[str, Any]]) -> Item:
    if not platforms:
        return Item(
            number="8", zh="平台注册", en="registered with platforms", result=Result.SKIPPED,
            found=("the settings name no platform",),
        )  # fmt: skip
    faults = [
        f"{one['platform']}: {one.get('state', 'unknown')}"
        for one in platforms
        if not one["registered"]
    ]
    facts = [f"{one['platform']}: since {one.get('since')}" for one in platforms]
    mend = "see the platform-joining guide, by the state that is named"
    return judged("8", "平台注册", "registered with platforms", faults, mend, *facts)


def drill_left(drill: str) -> Item:
    """One that was not asked for."""
    number, zh, en = DRILLS[drill]
    found = (f"not run: xueliang accept --drill {drill}",)
    return Item(number=number, zh=zh, en=en, result=Result.MANUAL, found=found)


def drill_not_done(drill: str, why: str) -> Item:
    number, zh, en = DRILLS[drill]
    return Item(number=number, zh=zh, en=en, result=Result.SKIPPED, found=(why,))


def recorder_drill(back_s: float | None, limit_s: float, gaps: Mapping[str, Sequence[str]]) -> Item:
    """Args:
    back_s: recording again after so long; None: not in ``limit_s``.
    gaps: causes of each camera's gaps since before the drill.
    """
    mend = "is edge started by systemd (Restart=always)?"
    if back_s is None:
        faults = [f"not recording {limit_s:.0f} s after it was killed"]
        return judged(*DRILLS["recorder"], faults, mend)
    faults = [
        f"{name}: the gap is not told as service_crashed ({', '.join(causes) or 'no gap'})"
        for name, causes in gaps.items()
        if "service_crashed" not in causes
    ]
    facts = (f"recording again after {back_s:.1f} s", *_told(gaps))
    return judged(*DRILLS["recorder"], faults, mend, *facts)


def network_drill(gone: Sequence[str], is_back: bool, gaps: Mapping[str, Sequence[str]]) -> Item:
    """Args:
    gone: cameras that were seen away.
    gaps: causes of the gaps of every camera that was recorded before.
    """
    faults = [] if is_back else [f"{', '.join(gone)}: not recorded again"]
    for name, causes in gaps.items():
        if name in gone and not _AWAY & set(causes):
            faults.append(f"{name}: the gap is not told ({', '.join(causes) or 'no gap'})")
        if name not in gone and causes:
            faults.append(f"{name}: missed something, too ({', '.join(causes)})")
    facts = (f"away: {', '.join(gone)}; recorded again", *_told(gaps))
    mend = "see xueliang timeline and xueliang alarms of these cameras"
    return judged(*DRILLS["network"], faults, mend, *facts)


def disk_drill(
    gone: Sequence[str],
    *,
    has_other: bool,
    goes_on: bool,
    is_back: bool,
    gaps: Mapping[str, Sequence[str]],
) -> Item:
    """Args:
    has_other: a disk was left; then nothing may be missing.
    goes_on: recording went on there in time.
    gaps: causes of each camera's gaps since before the drill.
    """
    faults = [] if is_back else [f"{', '.join(gone)}: not in use again"]
    if has_other and not goes_on:
        faults.append("recording did not go on elsewhere in time")
    for name, causes in gaps.items():
        if causes and (has_other or not set(causes) <= _DISK):
            faults.append(f"{name}: something is missing ({', '.join(causes)})")
    facts = [f"pulled: {', '.join(gone)}; in use again", *_told(gaps)]
    if has_other and not any(gaps.values()):
        facts.append("recording went on elsewhere, nothing is missing")
    mend = "see xueliang status and xueliang alarms of these disks"
    return judged(*DRILLS["disk"], faults, mend, *facts)


def _told(gaps: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{name}: gap told as {', '.join(causes)}" for name, causes in gaps.items() if causes]


def is_accepted(items: Sequence[Item]) -> bool:
    """Nothing failed; what is not yet to be seen, or for people, does not count against it."""
    return all(item.result is not Result.FAILED for item in items)
