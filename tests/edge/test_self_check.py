"""The self-check on real segments: what is whole passes, and any damage to what it plays shows."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from config.instants import BEIJING, format_instant
from config.schema import Settings
from edge import self_check
from edge.night_results import (
    KEPT_RESULTS,
    ResultNotKept,
    due_date,
    keep,
    newest,
    results,
    summary_line,
    yesterday,
)
from edge.self_check import render, run
from retention.completeness import DAY_US, local_date, midnight_us
from retention.model import GapCause
from tests.retention.storing import FakeClock, S, Site, run_of
from tests.retention.writing import T0

DAY = local_date(T0, BEIJING)
NEXT_NIGHT = midnight_us(DAY, BEIJING) + DAY_US + 4 * 3600 * S


@pytest.fixture(autouse=True)
def _synchronized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_check, "is_clock_synchronized", lambda: True)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Ten seconds, a gap of three, two seconds more; then the camera was taken away."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 5)
        recorder.record(2, 5, 5)
        recorder.opened.ledger.gap("gate", T0 + 10 * S, T0 + 13 * S, GapCause.NETWORK, "")
        recorder.record(3, 13, 2)
        recorder.opened.ledger.flushed().result()
        site.at(15)
    with site.running([]):
        pass
    return site


def _settings(site: Site, **retention: Any) -> Settings:
    return Settings.model_validate(
        {
            "site": {"name": "站"},
            "storage": {
                "volumes": [str(path) for path in site.volumes],
                "state_dir": str(site.index_path.parent),
            },
            "retention": retention,
            "camera": [{"id": "gate", "name": "门", "rtsp": "rtsp://192.0.2.1/a"}],
        }
    )


def _run(
    site: Site, *, read: list[int] | None = None, offset_s: float = 0.2, **retention: Any
) -> dict[str, Any]:
    return run(
        _settings(site, **retention),
        DAY,
        FakeClock(NEXT_NIGHT),
        random.Random(1),
        (lambda _: None) if read is None else read.append,
        {"gate": offset_s},
    )


def test_a_gap_is_found_with_its_cause_and_footage_plays(site: Site) -> None:
    read: list[int] = []
    document = _run(site, read=read)
    (gate,) = document["cameras"]
    assert gate["state"] == "missing"
    assert gate["faults"] == []
    assert (gate["due_seconds"], gate["covered_seconds"]) == (15, 12)
    (gap,) = gate["missing"]
    assert gap == {
        "start": format_instant(T0 + 10 * S, BEIJING),
        "end": format_instant(T0 + 13 * S, BEIJING),
        "cause": "network",
    }
    oldest, other = gate["plays"]
    assert (oldest["state"], oldest["segments"], oldest["pictures"]) == ("ok", 3, 24)
    assert other["state"] == "ok"
    assert sum(read) > 0
    assert not document["passed"], "a platform would count that day as missing"
    assert "网络不通 network" in render(document)
    assert "missing 1" in summary_line(document)


def test_a_gap_within_the_tolerance_passes_and_is_told(site: Site) -> None:
    document = _run(site, gap_tolerance_seconds=3)
    assert document["passed"]
    assert document["cameras"][0]["ratio"] == 0.8
    assert len(document["cameras"][0]["missing"]) == 1


def test_any_changed_byte_of_what_is_played_is_found(site: Site) -> None:
    path = site.files()[0]
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        document = _run(site, gap_tolerance_seconds=3)
        assert document["cameras"][0]["plays"][0]["state"] == "mismatch", place
        assert not document["passed"]
    path.write_bytes(content)
    assert _run(site, gap_tolerance_seconds=3)["passed"]


def test_a_file_that_is_not_there_is_found(site: Site) -> None:
    site.files()[0].unlink()
    document = _run(site, gap_tolerance_seconds=3)
    play = document["cameras"][0]["plays"][0]
    assert play["state"] == "mismatch"
    assert play["faults"] == ["segment 1: its file is not there"]


def test_a_volume_that_is_away_fails_the_check(site: Site) -> None:
    site.volumes[0].rename(site.folder / "away")
    (gate,) = _run(site)["cameras"]
    assert gate["state"] == "check_failed"
    assert "cannot be read" in gate["faults"][0]
    assert "检查失败" in render(_run(site))


def test_an_unsynchronized_clock_does_not_pass(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_check, "is_clock_synchronized", lambda: False)
    document = _run(site, gap_tolerance_seconds=3)
    assert not document["passed"]
    assert "时钟未同步" in summary_line(document)


def test_a_camera_whose_picture_shows_another_time_does_not_pass(site: Site) -> None:
    assert _run(site, gap_tolerance_seconds=3, offset_s=-30.0)["passed"]
    document = _run(site, gap_tolerance_seconds=3, offset_s=-30.5)
    assert not document["passed"]
    assert document["cameras"][0]["clock_offset_seconds"] == -30.5
    assert "clocks off 1" in summary_line(document)


def test_a_day_without_anything_due_is_no_fault(site: Site) -> None:
    later = date.fromordinal(DAY.toordinal() + 1)
    clock = FakeClock(NEXT_NIGHT + DAY_US)
    document = run(_settings(site), later, clock, random.Random(1), lambda _: None, {})
    assert document["cameras"][0]["state"] == "not_due"
    assert document["passed"]


# Results ---------------------------------------------------------------------------------------


def _document(day: date) -> dict[str, Any]:
    return {
        "date": day.isoformat(),
        "at": "2026-11-25T03:10:00+08:00",
        "passed": True,
        "clock_synchronized": True,
        "summary": {},
        "cameras": [],
    }


def test_a_hundred_results_are_kept_each_with_the_hash_of_the_one_before(tmp_path: Path) -> None:
    days = [date.fromordinal(DAY.toordinal() + n) for n in range(KEPT_RESULTS + 3)]
    digests = [keep(tmp_path, _document(day)) for day in days]
    found = [json.loads(path.read_bytes()) for path in results(tmp_path)]
    assert [one["date"] for one in found] == [day.isoformat() for day in days[3:]]
    assert [one["previous_sha256"] for one in found] == digests[2:-1]
    last = newest(tmp_path)
    assert last is not None
    assert last["date"] == days[-1].isoformat()


def test_a_result_is_never_replaced(tmp_path: Path) -> None:
    keep(tmp_path, _document(DAY))
    before = results(tmp_path)[0].read_bytes()
    with pytest.raises(ResultNotKept, match="not kept"):
        keep(tmp_path, {**_document(DAY), "passed": False})
    assert results(tmp_path)[0].read_bytes() == before


def test_a_result_of_a_wrong_clock_does_not_stand_for_later_ones(tmp_path: Path) -> None:
    keep(tmp_path, _document(date(2038, 1, 1)))
    keep(tmp_path, _document(DAY))
    found = newest(tmp_path)
    assert found is not None
    assert found["date"] == DAY.isoformat()


def test_a_check_is_due_from_three_o_clock_until_it_is_made(site: Site) -> None:
    settings = _settings(site)
    midnight = midnight_us(DAY, BEIJING) + DAY_US
    assert due_date(settings, midnight + 3 * 3600 * S - 1) is None
    assert due_date(settings, midnight + 4 * 3600 * S) == DAY
    assert due_date(settings, midnight + 20 * 3600 * S) == DAY, "made up for in the evening"
    keep(settings.storage.state_dir, _document(DAY))
    assert due_date(settings, midnight + 4 * 3600 * S) is None
    assert yesterday(settings, FakeClock(NEXT_NIGHT)) == DAY


def test_there_may_be_no_result_yet_or_a_damaged_one(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    keep(tmp_path, _document(DAY))
    (tmp_path / "self-check" / "000002-2999-01-01.json").write_text("{")
    found = newest(tmp_path)
    assert found is not None
    assert found["date"] == DAY.isoformat()
