"""What edge finds wrong with itself: nothing is told of what nobody has looked at yet."""

from __future__ import annotations

from dataclasses import replace

from edge.alarms.codes import Code
from edge.faults import found_later, present
from edge.metrics import SelfCheckSnapshot
from edge.smart_report import SmartReport
from edge.sweeping import RetentionFigures
from retention.forecast import Outlook
from retention.policy import DAY_US
from tests.edge.test_endpoint import SNAPSHOT

VOLUME = SNAPSHOT.volumes[0]
LOST = {"presence": "OFF", "recording": False, "cause": "camera_offline"}
SILENT = {"presence": "ON", "recording": False, "cause": "disk_slow"}
WELL = {"presence": "ON", "recording": True, "cause": ""}


def test_cameras_and_disks() -> None:
    told = {"a": LOST, "b": SILENT, "c": WELL}
    camera = replace(SNAPSHOT.cameras[0], clock_offset_us=None, is_dropping=True)
    failed = replace(VOLUME, volume="/srv/b", state="missing")
    found = present(replace(SNAPSHOT, cameras=(camera,), volumes=(VOLUME, failed)), told)
    assert [(one.code, one.subject) for one in found] == [
        (Code.VIDEO_LOST, "a"),
        (Code.RECORDING_INTERRUPTED, "b"),
        (Code.FRAMES_DROPPED, "gate-exit"),
        (Code.STORAGE_FAILED, "/srv/b"),
        (Code.TIME_UNTRUSTED, ""),
    ]
    assert found[0].reason_zh == "摄像机离线"
    full = present(SNAPSHOT, {})
    assert Code.STORAGE_FULL in [one.code for one in full]  # the only volume is


def test_before_anybody_has_looked_nothing_is_said_of_it() -> None:
    fresh = replace(SNAPSHOT, is_audit_sound=None, self_check=None)
    sources = found_later(fresh, None, has_seen_disks=False, has_seen_nights=False)
    assert sources == {}


def test_what_was_looked_at_is_told_also_when_all_is_well() -> None:
    well = replace(SNAPSHOT, self_check=None, volumes=())
    sources = found_later(well, RetentionFigures(), has_seen_disks=True, has_seen_nights=True)
    assert sources == {"disks": [], "retention": [], "audit": [], "nights": []}


def test_each_finding_has_its_source() -> None:
    smart = SmartReport(
        attributes={5: 0, 197: 8}, temperature_c=63, failing=("it takes no writes any more",)
    )
    bad = replace(
        SNAPSHOT,
        volumes=(replace(VOLUME, smart=smart),),
        is_audit_sound=False,
        self_check=SelfCheckSnapshot(is_passed=False, at_us=1, results={"missing": 2, "played": 9}),
    )
    ahead = Outlook(steady_us=50 * DAY_US, ages_us=(), danger_us=9 * DAY_US)
    sources = found_later(
        bad, RetentionFigures(ahead=ahead), has_seen_disks=True, has_seen_nights=True
    )
    codes = {source: [one.code for one in faults] for source, faults in sources.items()}
    assert codes == {
        "disks": [Code.DISK_FAILING, Code.DISK_HOT],
        "retention": [Code.RETENTION_AT_RISK],
        "audit": [Code.AUDIT_BROKEN],
        "nights": [Code.SELF_CHECK_FAILED],
    }
    assert sources["disks"][0].reason_en == "SMART: 197=8, it takes no writes any more"
    assert sources["nights"][0].reason_en == "missing 2"
