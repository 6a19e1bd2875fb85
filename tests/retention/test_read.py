"""The read API: time lines that end where knowledge ends, units from any instant."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.journal import Kind
from retention.model import ClockState, EndReason, GapCause, Span
from retention.read import FootageUnavailable, Store
from retention.timeline import Timeline
from tests.retention.storing import Recorder, S, Site, fragment, path_of, run_of
from tests.retention.writing import T0, wait_until

RUN_2 = "b" * 32


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """As a running edge holds it."""
    file = os.open(site.index_path.parent / "edge.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
    os.close(file)


def line(site: Site, from_s: float, to_s: float, now_s: float | None = None) -> Timeline:
    now_us = T0 + int((to_s if now_s is None else now_s) * S)
    with Store(site.index_path, site.volumes) as store:
        return store.timeline("gate", T0 + int(from_s * S), T0 + int(to_s * S), now_us)


def seconds(timeline: Timeline) -> list[tuple[float, float, str]]:
    pieces = [(span.start_us, span.end_us, "") for span in timeline.spans]
    pieces += [(gap.start_us, gap.end_us or 0, gap.cause.value) for gap in timeline.gaps]
    return [((a - T0) / S, (b - T0) / S, cause) for a, b, cause in sorted(pieces)]


def units_from(site: Site, from_s: float, to_s: float | None = None) -> list[tuple[float, str]]:
    with Store(site.index_path, site.volumes) as store:
        to_us = None if to_s is None else T0 + int(to_s * S)
        return [
            ((stored.unit.pts_us - T0) / S, stored.run[0])
            for stored in store.access_units("gate", T0 + int(from_s * S), to_us)
        ]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """0-20 s on two volumes, a gap of 10 s, then 30-40 s in another run; a clean end at 41 s."""
    site = Site.make(tmp_path, 2)
    with site.running() as recorder:
        ledger = recorder.opened.ledger
        ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 10)
        recorder.record(2, 10, 10, place=1)
        ledger.gap("gate", T0 + 20 * S, T0 + 30 * S, GapCause.CAMERA_OFFLINE)
        ledger.run_started(run_of("gate", 30, RUN_2))
        recorder.record(3, 30, 10, run=RUN_2)
        site.at(41)
    return site


def test_after_a_clean_end_the_rest_is_service_stopped(site: Site) -> None:
    assert seconds(line(site, -60, 60)) == [
        (0, 20, ""),
        (20, 30, "camera_offline"),
        (30, 40, ""),
        (40, 60, "service_stopped"),
    ]


def test_nothing_is_due_before_commissioning_or_after_now(site: Site) -> None:
    found = line(site, -3600, 3600, now_s=50)
    assert (found.from_us, found.to_us) == (T0, T0 + 50 * S)


@pytest.mark.parametrize("clock", [ClockState.TRUSTED, ClockState.UNTRUSTED])
@pytest.mark.parametrize(
    ("late_s", "expected"), [(0.9, [(0, 5, "")]), (1.0, [(-1, 0, "unknown"), (0, 5, "")])]
)
def test_less_than_a_second_to_the_first_picture_is_no_gap(
    tmp_path: Path, clock: ClockState, late_s: float, expected: list[tuple[float, float, str]]
) -> None:
    site = Site.make(tmp_path)
    site.at(-late_s)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(replace(run_of("gate"), clock=clock))
        recorder.record(1, 0, 5)
        site.at(5)
    assert seconds(line(site, -60, 5)) == expected


def test_while_edge_records_what_is_in_its_ram_is_not_asked_for(site: Site) -> None:
    with locked(site):
        assert seconds(line(site, 30, 45)) == [(30, 40, "")]
        assert seconds(line(site, 42, 45)) == []


def test_a_silent_edge_shows_after_five_minutes(site: Site) -> None:
    with locked(site):
        assert seconds(line(site, 30, 400)) == [(30, 40, ""), (40, 400, "unknown")]


def test_an_open_gap_lasts_to_now_while_edge_runs(site: Site) -> None:
    site.at(60)
    recorder = Recorder(site.open(), site.clock)
    with locked(site):
        assert seconds(line(site, 35, 70)) == [(35, 40, ""), (40, 70, "service_stopped")]
    recorder.stop("boot-1", is_clean=False)


def test_after_a_crash_an_open_gap_keeps_its_cause_while_it_was_seen(site: Site) -> None:
    site.at(60)
    recorder = Recorder(site.open(), site.clock)
    recorder.opened.ledger.gap_closed("gate", T0 + 40 * S, T0 + 60 * S)
    recorder.opened.ledger.gap_opened("gate", T0 + 60 * S, GapCause.NETWORK)
    recorder.opened.ledger.alive(T0 + 80 * S)
    recorder.stop("boot-1", is_clean=False)
    assert seconds(line(site, 60, 100)) == [(60, 80, "network"), (80, 100, "service_crashed")]


def test_facts_of_a_camera(site: Site) -> None:
    with Store(site.index_path, site.volumes) as store:
        assert store.cameras() == ["gate"]
        assert (store.oldest("gate"), store.newest("gate")) == (T0, T0 + 40 * S)
        assert store.timeline("gate", T0, T0 + 40 * S, T0 + 40 * S).coverage == 0.75
        assert store.oldest("nobody") is None
        assert store.timeline("nobody", T0, T0 + S, T0 + S).spans == ()


def test_units_come_from_the_key_frame_on_across_segments_volumes_and_runs(site: Site) -> None:
    found = units_from(site, 18.7)
    expected = [(18 + n / 2, "0") for n in range(4)] + [(30 + n / 2, "b") for n in range(20)]
    assert found == expected


def test_from_inside_a_gap_the_next_footage_is_first(site: Site) -> None:
    assert units_from(site, 25)[0] == (30, "b")
    assert units_from(site, -99)[0] == (0, "0")
    assert units_from(site, 99) == []


def test_units_end_where_asked(site: Site) -> None:
    assert units_from(site, 8, 10.5) == [(8, "0"), (8.5, "0"), (9, "0"), (9.5, "0"), (10, "0")]
    assert units_from(site, 39, 40)[-1] == (39.5, "b")


def test_every_unit_is_the_one_that_was_written(site: Site) -> None:
    with Store(site.index_path, site.volumes) as store:
        found = [stored.unit for stored in store.access_units("gate", T0, T0 + 20 * S)]
    assert found == [unit for second in range(20) for unit in fragment(second).units]


def test_an_open_segment_is_read_to_its_newest_durable_fragment(site: Site) -> None:
    site.at(50)
    with site.running() as recorder:
        recorder.record(4, 50, 3, is_sealed=False)
        with Store(site.index_path, site.volumes) as store:
            wait_until(lambda: store.newest("gate") == T0 + 53 * S)
            units = store.access_units("gate", T0 + 50 * S)
            first = [next(units) for _ in range(4)]
            recorder.writer().append("gate", 4, fragment(53))
            recorder.writer().seal("gate", 4, EndReason.ROTATED)
            recorder.record(5, 54, 2)
            wait_until(lambda: store.newest("gate") == T0 + 56 * S)
            rest = list(units)
        instants = [(one.unit.pts_us - T0) / S for one in first + rest]
        assert instants == [50 + n / 2 for n in range(12)]


def test_a_long_group_is_read_from_its_key_frame_in_an_earlier_segment(site: Site) -> None:
    """Cut after 300 s without a key frame."""
    site.at(50)
    with site.running() as recorder:
        recorder.open(4, 50)
        recorder.writer().append("gate", 4, fragment(50))
        recorder.writer().append("gate", 4, fragment(51, is_key=False))
        recorder.writer().seal("gate", 4, EndReason.NO_KEY_FRAME)
        recorder.open(5, 52)
        recorder.writer().append("gate", 5, fragment(52, is_key=False))
        recorder.writer().seal("gate", 5, EndReason.ROTATED)
    assert units_from(site, 52.5)[0] == (50, "0")


def test_a_damaged_fragment_is_left_out_and_no_other(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(site.index_path, site.volumes) as store:
        segment = store.locate("gate", T0)
    assert segment is not None
    path = path_of(site, segment)
    content = bytearray(path.read_bytes())
    content[segment.fragments[4].offset + segment.fragments[4].size_bytes // 2] ^= 1
    path.write_bytes(content)
    found = [instant for instant, _ in units_from(site, 0, 10)]
    assert found == [n / 2 for n in range(20) if not 4 <= n / 2 < 5]
    assert "fragment_unreadable" in caplog.messages


def test_a_missing_file_is_passed_over_and_a_missing_volume_is_an_error(site: Site) -> None:
    site.files()[0].unlink()
    assert units_from(site, 0)[0] == (10, "0")
    site.volumes[1].rename(site.folder / "away")
    with pytest.raises(FootageUnavailable):
        units_from(site, 0)


def test_volumes_that_changed_places_are_found_by_their_stamps(site: Site) -> None:
    one, two = site.volumes
    one.rename(site.folder / "third")
    two.rename(one)
    (site.folder / "third").rename(two)
    assert len(units_from(site, 0)) == 60


def test_no_index_is_unavailable_and_never_empty(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable):
        Store(tmp_path / "index.db", ())


def test_locating_is_one_search(site: Site) -> None:
    with Store(site.index_path, site.volumes) as store:
        found = store.locate("gate", T0 + 12 * S)
    assert found is not None
    assert Span(start_us=found.start_us, end_us=found.end_us) == Span(
        start_us=T0 + 10 * S, end_us=T0 + 20 * S
    )
    assert rows.OVERLAP_SEGMENTS > 1


def test_less_than_a_second_before_what_was_deleted_is_no_gap(tmp_path: Path) -> None:
    """The first footage began 0.5 s after the camera was commissioned, and has expired since."""
    site = Site.make(tmp_path, 1)
    with site.running() as recorder:
        ledger = recorder.opened.ledger
        begun_us = recorder.opened.accounts["gate"].covered_until_us
        told = {
            "camera": "gate",
            "reason": "age",
            "segments": 1,
            "bytes": 1,
            "pieces": [],
            "spans": [[begun_us + S // 2, begun_us + 20 * S]],
        }
        ledger._record(Kind.DELETION, told, begun_us + 20 * S).result()
        with Store(site.index_path, site.volumes) as store:
            line = store.timeline("gate", 0, begun_us + 20 * S, begun_us + 20 * S)
    assert {gap.cause for gap in line.gaps} == {GapCause.EXPIRED}
    assert line.from_us == begun_us + S // 2
