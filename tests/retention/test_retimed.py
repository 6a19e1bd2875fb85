"""Footage and gaps of a wrong time move to where they belong; files and what rebuilds them stay."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from retention.checkpoints import Checkpoints
from retention.export_verifier import verify_export
from retention.index import rows
from retention.model import ClockState, Epoch, GapCause, Run
from retention.read import Store
from retention.reindex import reindex
from tests.retention.evidence import verified
from tests.retention.history import whole_dump
from tests.retention.storing import Recorder, S, Site
from tests.retention.test_export import exported
from tests.retention.writing import FORMAT, T0

DAY = 86_400 * S
YEAR = 365 * DAY


def epoch_of(number: int, skew_s: int, start_s: int, cause: GapCause, boot: str = "b") -> Epoch:
    return Epoch(
        id=number,
        boot_id=boot,
        skew_us=skew_s * S,
        start_us=T0 + start_s * S,
        cause=cause,
    )


def tell_run(recorder: Recorder, run: str, epoch: int, start_s: int, *, trusted: bool) -> None:
    recorder.opened.ledger.run_started(
        Run(
            run=run,
            camera="gate",
            start_us=T0 + start_s * S,
            clock=ClockState.TRUSTED if trusted else ClockState.UNTRUSTED,
            format=FORMAT,
            epoch=epoch,
        )
    )


A, B, C = ("a" * 32, "b" * 32, "c" * 32)
#: So far the clock was set forward, seconds.
JUMP = 3600


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Recorded from 0 to 10, then 10 to 30 under a clock an hour ahead, then on from 30; between 15
    and 20 the camera was away. Nobody has re-timed yet."""
    site = Site.make(tmp_path, 2)
    with site.running() as recorder:
        ledger = recorder.opened.ledger
        ledger.time_judged(epoch_of(1, 0, 0, GapCause.CONFIG), "first_start", T0, is_trusted=True)
        tell_run(recorder, A, 1, 0, trusted=True)
        recorder.record(1, 0, 10, run=A)
        ledger.time_judged(
            epoch_of(2, JUMP, JUMP + 10, GapCause.CLOCK_STEPPED),
            "jumped",
            T0 + (JUMP + 10) * S,
            is_trusted=False,
            previous_end_us=T0 + 10 * S,
        )
        tell_run(recorder, B, 2, JUMP + 10, trusted=False)
        recorder.record(2, JUMP + 10, 5, run=B)
        ledger.gap_opened("gate", T0 + (JUMP + 15) * S, GapCause.CAMERA_OFFLINE)
        ledger.gap_closed("gate", T0 + (JUMP + 15) * S, T0 + (JUMP + 20) * S)
        recorder.record(3, JUMP + 20, 10, run=B, place=1)
        ledger.time_judged(
            epoch_of(3, 0, 30, GapCause.CLOCK_STEPPED),
            "agreed",
            T0 + 30 * S,
            is_trusted=True,
            previous_end_us=T0 + (JUMP + 30) * S,
        )
        tell_run(recorder, C, 3, 30, trusted=True)
        recorder.record(4, 30, 10, run=C)
        site.at(40)
    return site


def line(
    site: Site, until_s: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float, str]]]:
    with Store(site.index_path, site.volumes) as store:
        found = store.timeline("gate", T0, T0 + until_s * S, T0 + until_s * S)
    return (
        [((s.start_us - T0) / S, (s.end_us - T0) / S) for s in found.spans],
        [((g.start_us - T0) / S, ((g.end_us or 0) - T0) / S, g.cause.value) for g in found.gaps],
    )


def retime(site: Site) -> None:
    with site.running() as recorder:
        recorder.opened.ledger.epoch_retimed(2, -JUMP * S, T0 + 41 * S, is_estimated=False)
        site.at(42)


def is_timed(site: Site, run: str) -> bool:
    with closing(sqlite3.connect(site.index_path)) as connection, connection:
        return bool(connection.execute(rows.IS_TIMED, (run,)).fetchone()[0])


def test_before_it_is_re_timed_a_hole_has_its_cause_and_footage_beside_it_is_seen(
    site: Site,
) -> None:
    spans, gaps = line(site, 40)
    assert spans == [(0, 10), (30, 40)]
    assert gaps == [(10, 30, "clock_stepped")]
    assert (is_timed(site, A), is_timed(site, B), is_timed(site, C)) == (True, False, True)
    with Store(site.index_path, site.volumes) as store:
        assert store.oldest("gate") == T0
        assert store.newest("gate", T0 + 40 * S) == T0 + 40 * S


def test_footage_and_gaps_move_and_nothing_is_unexplained(site: Site) -> None:
    names = [path.name for path in site.files()]
    contents = [path.read_bytes() for path in site.files()]
    retime(site)
    assert [path.name for path in site.files()] == names
    assert [path.read_bytes() for path in site.files()] == contents
    spans, gaps = line(site, 40)
    assert spans == [(0, 15), (20, 40)]
    assert gaps == [(15, 20, "camera_offline")]
    assert is_timed(site, B)


def test_readers_find_it_at_its_true_time(site: Site) -> None:
    retime(site)
    with Store(site.index_path, site.volumes) as store:
        found = store.locate("gate", T0 + 22 * S)
        assert found is not None
        assert (found.number, found.start_us, found.offset_us) == (3, T0 + 20 * S, -JUMP * S)
        assert (site.volumes[1] / found.path).is_file()
        units = list(store.access_units("gate", T0 + 12 * S, T0 + 40 * S))
    at_s = [(unit.unit.pts_us - T0) / S for unit in units]
    expected = [12 + n / 2 for n in range(6)] + [20 + n / 2 for n in range(40)]
    assert at_s == expected


def test_the_index_from_the_volumes_alone_is_the_same(site: Site) -> None:
    retime(site)
    before = whole_dump(site.index_path)
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
    for path in site.index_path.parent.iterdir():
        path.unlink()
    reindex(site.index_path, site.volumes, dry_run=False)
    assert whole_dump(site.index_path) == before


def test_what_was_cut_off_in_a_wrong_time_is_adopted_into_the_right_one(site: Site) -> None:
    """The power goes while the wrong time's last segment is open; its row is lost, too."""
    retime(site)
    with closing(sqlite3.connect(site.index_path)) as connection, connection:
        connection.execute("DELETE FROM segment WHERE number = 2")
        connection.execute(
            "UPDATE segment SET state = 'open', end_reason = NULL, digest = x'' WHERE number = 3"
        )
    before = whole_dump(site.index_path)
    with site.running() as recorder:
        for slot in recorder.opened.volumes.slots:
            recorder.opened.reconcile(slot, lambda: True)
    spans, gaps = line(site, 40)
    assert spans == [(0, 15), (20, 40)]
    assert gaps == [(15, 20, "camera_offline")]
    assert whole_dump(site.index_path) != before
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []


def test_a_second_time_moves_it_from_where_it_is(site: Site) -> None:
    retime(site)
    with site.running() as recorder:
        recorder.opened.ledger.epoch_retimed(2, -JUMP * S + S, T0 + 43 * S, is_estimated=True)
        site.at(44)
    with Store(site.index_path, site.volumes) as store:
        found = store.locate("gate", T0 + 25 * S)
        assert found is not None
        assert found.start_us == T0 + 21 * S
    before = whole_dump(site.index_path)
    reindex(site.index_path, site.volumes, dry_run=False)
    assert whole_dump(site.index_path) == before


def test_what_is_told_late_of_a_re_timed_stretch_lands_where_the_rest_did(site: Site) -> None:
    retime(site)
    site.at(45)
    with site.running() as recorder:
        recorder.opened.ledger.gap(
            "gate",
            T0 + (JUMP + 25) * S,
            T0 + (JUMP + 27) * S,
            GapCause.STREAM_DAMAGED,
            epoch=2,
        )
        site.at(46)
    assert line(site, 40)[1] == [(15, 20, "camera_offline"), (25, 27, "stream_damaged")]


def test_a_run_that_only_its_files_tell_of_is_re_timed_by_itself(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(
            Run(run=B, camera="gate", start_us=T0, clock=ClockState.UNTRUSTED, format=FORMAT)
        )
        recorder.record(1, 0, 5, run=B)
        site.at(5)
    assert not is_timed(site, B)
    with site.running() as recorder:
        recorder.opened.ledger.run_retimed(B, YEAR, T0 + YEAR + 10 * S)
    assert is_timed(site, B)
    with Store(site.index_path, site.volumes) as store:
        found = store.locate("gate", T0 + YEAR + S)
        assert found is not None
        assert found.start_us == T0 + YEAR
    before = whole_dump(site.index_path)
    reindex(site.index_path, site.volumes, dry_run=False)
    assert whole_dump(site.index_path) == before


def test_exports_tell_the_true_time_and_both_verifiers_agree(site: Site, tmp_path: Path) -> None:
    with site.running() as recorder:
        opened = recorder.opened
        assert Checkpoints(opened.index, opened.ledger).make(T0 + 40 * S) == 4
    retime(site)
    assert verified(site).differences == []
    result = exported(site, tmp_path / "out", 12, 38)
    assert result.range_us == (T0 + 12 * S, T0 + 38 * S)
    assert [name[5:24] for name in result.files] == [
        "20261124T000012.000",
        "20261124T000020.000",
        "20261124T000030.000",
    ]
    report = verify_export(tmp_path / "out")
    assert (report.differences, report.notes) == ([], [])
    assert [gap["cause"] for gap in report.manifest["gaps"]] == ["camera_offline"]
    with (
        closing(sqlite3.connect(site.index_path)) as connection,
        connection,
    ):  # moved by hand, file and row in step
        connection.execute(
            "UPDATE segment SET start_us = start_us + 5, end_us = end_us + 5,"
            " offset_us = offset_us + 5 WHERE number = 3"
        )
    told = [str(one) for one in verified(site).differences]
    assert told == ["segment gate 3: it was re-timed otherwise than the journal tells"]
