"""The one delete function: its steps, crashes between them, holds, chain, disks that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.holds import Hold, added
from retention.index import rows
from retention.journal import Kind, parse_line
from retention.model import US_PER_S, GapCause
from retention.policy import Reason
from retention.read import Store
from retention.reindex import reindex
from retention.replica import read_replica
from retention.volume_host import LocalVolume
from retention.writer_ports import Deleted, Sealed
from tests.retention.evidence import verified
from tests.retention.storing import Recorder, Site, run_of
from tests.retention.sweeping import Sweeper, assert_chain, files_of, record_hours
from tests.retention.writing import T0, wait_until

S = US_PER_S


def tell_hold(recorder: Recorder, from_s: float, to_s: float) -> None:
    hold = Hold(
        id="h1",
        camera="gate",
        from_us=T0 + int(from_s * S),
        to_us=T0 + int(to_s * S),
        case="2026-17",
        requester="Wang",
        unit="",
        reason="theft",
        expires_us=None,
        added_us=T0,
        added_by="Li",
    )
    recorder.opened.ledger.decide(
        lambda connection: (None, [(Kind.HOLD, added(hold, rows.holds(connection)))]), T0
    ).result()


def test_what_is_due_goes_and_leaves_a_tombstone(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 11))
        sweeper = Sweeper(recorder)
        sweeper.turn(9_700)  # 1 to 7 are over 2000 s old
        assert files_of(tmp_path) == sweeper.rows() == [8, 9, 10]
        assert sweeper.buried_numbers() == [1, 2, 3, 4, 5, 6, 7]
        assert sweeper.doomed() == 0
        assert sweeper.query(assert_chain) == 10
        [batch] = sweeper.buried
        assert (batch.reason, batch.segments) == (Reason.AGE, 7)
        assert [reason for _, reason, _ in sweeper.gone] == [Reason.AGE] * 7
        assert sum(size for _, _, size in sweeper.gone) == batch.size_bytes
    replica = read_replica(site.volumes[0])
    assert [one.kind for one in replica.entries].count(Kind.DELETION) == 1
    with Store(site.index_path, site.volumes) as store:
        line = store.timeline("gate", T0, T0 + 9_000 * S, T0 + 9_000 * S)
    gone = [gap for gap in line.gaps if gap.cause is GapCause.EXPIRED]
    assert [(gap.start_us - T0) // S for gap in gone] == [n * 1_000 for n in range(1, 8)]


def test_footage_held_just_before_the_tombstone_stays(tmp_path: Path) -> None:
    """The last look at the holds is taken where the tombstone is made."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 11))
        sweeper = Sweeper(recorder)
        chain = sweeper.checkpoints.make

        def make(now_us: int, cameras: list[str]) -> int:
            tell_hold(recorder, 3_000, 4_500)  # between K1 and K2
            return chain(now_us, cameras)

        sweeper.checkpoints.make = make  # type: ignore[method-assign, assignment]
        sweeper.turn(9_700)
        assert files_of(tmp_path) == sweeper.rows() == [3, 4, 8, 9, 10]
        assert sweeper.doomed() == 0
        assert sweeper.query(assert_chain) == 10


def test_what_was_kept_in_the_middle_goes_later_and_the_chain_holds(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 11))
        tell_hold(recorder, 3_000, 4_500)
        sweeper = Sweeper(recorder)
        sweeper.turn(9_700)
        assert files_of(tmp_path) == [3, 4, 8, 9, 10]
        recorder.opened.ledger.decide(
            lambda _: (None, [(Kind.HOLD, {"event": "released", "id": "h1", "by": "Li"})]), T0
        ).result()
        sweeper.turn(9_800)
        assert files_of(tmp_path) == [8, 9, 10]
        assert sweeper.query(assert_chain) == 10
        assert [batch.segments for batch in sweeper.buried] == [5, 2]


def test_pressure_is_told_as_what_it_is(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 6))
        sweeper = Sweeper(recorder, capacity_bytes=1 << 20, free_bytes=0)
        plan = sweeper.turn(5_500)
        assert plan.is_pressed
        reasons = [batch.reason for batch in sweeper.buried]
        assert reasons == [Reason.OVER_FLOOR, Reason.OVERWRITTEN]
        line = sweeper.query(lambda connection: rows.gaps(connection, "gate", T0, T0 + 6_000 * S))
        assert {gap.cause for gap in line} >= {GapCause.EXPIRED, GapCause.OVERWRITTEN}
        assert sweeper.query(assert_chain) == 5


def test_what_is_not_chained_is_chained_first_and_an_open_segment_stays(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 3))
        recorder.record(3, 3_000, 2, is_sealed=False)
        sweeper = Sweeper(recorder)
        sweeper.turn(99_000)
        assert files_of(tmp_path) == [3]
        assert sweeper.query(assert_chain) == 2


def test_rows_that_do_not_fit_their_checkpoint_are_evidence(tmp_path: Path) -> None:
    """Somebody changed them: what proves that is not deleted."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 4))
        sweeper = Sweeper(recorder)
        sweeper.checkpoints.make(T0)
        sweeper.query(
            lambda connection: connection.execute(
                "UPDATE segment SET digest = zeroblob(32) WHERE number = 2"
            )
        )
        record_hours(recorder, range(4, 6))
        sweeper.turn(99_000)
        assert files_of(tmp_path) == [1, 2, 3]
        assert sweeper.doomed() == 0
        assert sweeper.turn(99_001).deletions == ()  # and is not tried each minute


def test_a_tombstone_that_one_of_its_disks_outlived_keeps_nothing_else(tmp_path: Path) -> None:
    """Of a piece across two disks the rows of one are gone, those of the other are not."""
    site = Site.make(tmp_path, 2)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate")).result()
        for number in range(1, 11):
            recorder.record(number, number * 1_000, 2, place=number % 2)
        wait_until(lambda: sum(isinstance(one, Sealed) for one in recorder.events) == 10)
        sweeper = Sweeper(recorder, is_idle=True)
        sweeper.checkpoints.make(T0)
        sweeper.turn(7_700)  # 1 to 5
        uuid = recorder.opened.volumes.slots[0].uuid
        assert uuid is not None
        there = [doom.file for doom in sweeper.sweep._dooms.values() if doom.volume == uuid]
        sweeper.sweep.on_deleted(Deleted(volume=uuid, gone=tuple(there), left=()))
        assert sweeper.rows() == [1, 3, 5, 6, 7, 8, 9, 10]
        sweeper.turn(11_700)
        assert sweeper.buried_numbers() == list(range(1, 10))
        assert sweeper.query(assert_chain) == 10


# Crashes -----------------------------------------------------------------------------------------


def test_killed_behind_the_mark_nothing_goes(tmp_path: Path) -> None:
    """K1 without K2: the marks are taken away."""
    site = Site.make(tmp_path)
    with site.running(is_clean=False) as recorder:
        record_hours(recorder, range(1, 11))
        sweeper = Sweeper(recorder)

        def die(now_us: int, cameras: list[str]) -> int:
            raise KeyboardInterrupt

        sweeper.checkpoints.make = die  # type: ignore[method-assign, assignment]
        with pytest.raises(KeyboardInterrupt):
            sweeper.turn(9_700)
        assert sweeper.doomed() == 7
    with site.running() as recorder:
        sweeper = Sweeper(recorder, is_trusted=False)
        sweeper.turn(9_700)
        assert sweeper.doomed() == 0
        assert files_of(tmp_path) == sweeper.rows() == list(range(1, 11))


@pytest.mark.parametrize("unlinked", [0, 3, 7])
def test_killed_behind_the_tombstone_what_has_one_goes(tmp_path: Path, unlinked: int) -> None:
    """K2 without K6, with none, some or all of K4: the next life finishes it."""
    site = Site.make(tmp_path)
    with site.running(is_clean=False) as recorder:
        record_hours(recorder, range(1, 11))
        sweeper = Sweeper(recorder, is_idle=True)
        sweeper.turn(9_700)
        assert sweeper.doomed() == 7
        for path in site.files()[:unlinked]:
            path.unlink()
    with site.running() as recorder:
        sweeper = Sweeper(recorder, is_trusted=False)  # nothing new is due
        sweeper.turn(9_700)
        assert files_of(tmp_path) == sweeper.rows() == [8, 9, 10]
        assert sweeper.doomed() == 0
        assert sweeper.query(assert_chain) == 10
        gaps = sweeper.query(lambda connection: rows.gaps(connection, "gate", T0, T0 + 9_000 * S))
        assert not [gap for gap in gaps if gap.cause is GapCause.FOOTAGE_LOST]


@pytest.mark.parametrize("is_index_lost", [False, True])
def test_a_file_with_a_tombstone_is_never_adopted(tmp_path: Path, is_index_lost: bool) -> None:
    """Whether the index was lost, or rebuilt from the volumes: its deletion is finished."""
    site = Site.make(tmp_path)
    with site.running(is_clean=False) as recorder:
        record_hours(recorder, range(1, 11))
        Sweeper(recorder, is_idle=True).turn(9_700)
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
    if is_index_lost:
        for path in site.index_path.parent.glob("index.db*"):
            path.unlink()
    else:
        rebuilt = reindex(site.index_path, site.volumes, dry_run=False)
        assert (rebuilt.segments, rebuilt.differences) == (3, [])
    with site.running() as recorder:
        opened = recorder.opened
        sweeper = Sweeper(recorder, is_trusted=False)
        found = opened.reconcile(opened.volumes.slots[0], lambda: True)
        assert found is not None
        assert (found.orphan_bytes, found.missing_segments) == (0, 0)
        assert sweeper.rows() == [8, 9, 10]
        assert len(files_of(tmp_path)) == 10
        while opened.leftovers:
            sweeper.sweep.remove_leftovers(*opened.leftovers.popleft())
        sweeper.turn(9_700)
        assert files_of(tmp_path) == sweeper.rows() == [8, 9, 10]
        assert sweeper.query(assert_chain) == 10
        assert sweeper.sweep.under_way == 0


def test_an_index_of_before_the_deletion_learns_of_it(tmp_path: Path) -> None:
    """An upgrade that failed puts the old index back: what went since has its tombstone on the
    volumes, and is neither shown as footage nor buried a second time."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 11))
        Sweeper(recorder).checkpoints.make(T0)
    old = site.index_path.read_bytes()
    with site.running() as recorder:
        Sweeper(recorder).turn(9_700)
    site.index_path.write_bytes(old)
    with site.running() as recorder:
        sweeper = Sweeper(recorder)
        sweeper.turn(9_700)
        assert files_of(tmp_path) == sweeper.rows() == [8, 9, 10]
        assert sweeper.buried_numbers() == [1, 2, 3, 4, 5, 6, 7]
        assert sweeper.query(assert_chain) == 10
        assert sweeper.doomed() == 0
    assert verified(site).differences == []


def test_a_reindex_beside_a_deletion_finds_no_difference(tmp_path: Path) -> None:
    """Between unlink and forgetting, a row has no file."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 11))
        Sweeper(recorder, is_idle=True).turn(9_700)
        for path in site.files()[:4]:
            path.unlink()
        found = reindex(site.index_path, site.volumes, dry_run=True, is_live=True)
        assert (found.differences, found.unreadable) == ([], [])


def test_a_disk_that_refuses_is_tried_again(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 11))
        sweeper = Sweeper(recorder)
        stamp = site.volumes[0] / ".xueliang-volume"
        text = stamp.read_bytes()
        stamp.unlink()  # not mounted, it seems
        sweeper.turn(9_700)
        assert sweeper.sweep.under_way == 7
        assert len(files_of(tmp_path)) == 10
        stamp.write_bytes(text)
        sweeper.turn(9_701)
        assert files_of(tmp_path) == sweeper.rows() == [8, 9, 10]
        assert len(sweeper.buried) == 1


def test_every_tombstone_is_signed_and_told_before_the_file_goes(tmp_path: Path) -> None:
    """K3: the replica on the volume holds the tombstone when the unlinks begin."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        record_hours(recorder, range(1, 4))
        sweeper = Sweeper(recorder)
        seen = []
        host = recorder.opened.volumes.slots[0].host
        assert isinstance(host, LocalVolume)
        volume = host.volume
        remove = volume.remove

        def watch(path: str) -> None:
            lines = b"".join((volume.path / part).read_bytes() for part in volume.journal_parts())
            seen.append(b'"kind":"deletion"' in lines)
            remove(path)

        volume.remove = watch  # type: ignore[method-assign]
        sweeper.turn(99_000)
        assert seen == [True] * 3
        [line] = [
            entry for entry in sweeper.query(rows.journal_entries) if entry.kind is Kind.DELETION
        ]
        assert parse_line(line.line).data["reason"] == "age"
