"""Start-up after any death: no row without file, no file without row, a rebuild that is equal."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from retention.index import rows
from retention.index.write import drop_segment, put_segment
from retention.model import EndReason, Gap, GapCause, Segment, SegmentState
from retention.reindex import reindex
from tests.retention.indexing import gaps_of
from tests.retention.storing import Recorder, S, Site, as_open, cut, path_of, run_of
from tests.retention.writing import T0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two sealed segments of ten fragments each, and a clean end."""
    site = Site.make(tmp_path / "site")
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 10)
        recorder.record(2, 10, 10)
        site.at(20)
    return site


def stored(site: Site, number: int) -> Segment:
    with closing(sqlite3.connect(site.index_path)) as connection, connection:
        found = rows.segment(connection, "gate", number)
    connection.close()
    assert found is not None
    return found


def put(site: Site, segment: Segment | None, number: int = 2) -> None:
    """Set a row to what it was at some earlier step; None: to before the row."""
    connection = sqlite3.connect(site.index_path)
    drop_segment(connection, "gate", number)
    if segment is not None:
        put_segment(connection, segment)
    connection.commit()
    connection.close()


def assert_whole(site: Site) -> None:
    """Rows and files are one to one, and what the volumes rebuild is what the index says."""
    connection = sqlite3.connect(site.index_path)
    found = [rows.segment_of(row) for row in connection.execute("SELECT * FROM segment")]
    connection.close()
    assert sorted(path_of(site, segment) for segment in found) == site.files()
    assert all(segment.state is SegmentState.SEALED for segment in found)
    rebuilt = reindex(site.index_path, site.volumes, dry_run=True)
    assert rebuilt.differences == []
    assert rebuilt.unreadable == []


def restart(site: Site) -> dict[str, int]:
    with site.running() as recorder:
        return recorder.opened.recovered


NOTHING = {"adopted": 0, "truncated": 0, "lost": 0}


def test_a_clean_store_needs_nothing(site: Site) -> None:
    assert restart(site) == NOTHING
    assert_whole(site)


def test_a_row_without_file_is_dropped(site: Site) -> None:
    """Killed between the row and the file's first byte, or the name never reached the disk."""
    segment = stored(site, 2)
    put(site, as_open(segment, 0))
    path_of(site, segment).unlink()
    assert restart(site) == NOTHING
    assert_whole(site)
    assert len(site.files()) == 1


def test_durable_footage_that_is_gone_is_a_gap(site: Site) -> None:
    segment = stored(site, 2)
    put(site, as_open(segment, 7))
    path_of(site, segment).unlink()
    with site.running() as recorder:
        assert recorder.opened.recovered["lost"] == 7
        lost = [gap for gap in gaps_of(recorder.opened.index) if gap.cause is GapCause.FOOTAGE_LOST]
        assert [(gap.start_us, gap.end_us) for gap in lost] == [(T0 + 10 * S, T0 + 17 * S)]
    assert_whole(site)


@pytest.mark.parametrize("durable", [0, 3, 10])
def test_killed_between_trailer_and_sealed_row(site: Site, durable: int) -> None:
    segment = stored(site, 2)
    put(site, as_open(segment, durable))
    assert restart(site) == {**NOTHING, "adopted": 10 - durable}
    assert stored(site, 2) == segment
    assert_whole(site)


def test_killed_with_a_file_that_has_no_row(site: Site) -> None:
    """The index did not commit within two seconds, so recording went on without."""
    segment = stored(site, 2)
    last = segment.fragments[-1]
    cut(path_of(site, segment), last.offset + last.size_bytes)
    put(site, None)
    assert restart(site)["adopted"] == 10
    assert stored(site, 2).end_reason is EndReason.RECOVERED
    assert_whole(site)


def test_wherever_the_file_ends_it_becomes_whole(site: Site, tmp_path: Path) -> None:
    """Every state of a row over a file cut at any byte: footage up to the last whole fragment."""
    segment = stored(site, 2)
    size_bytes = segment.size_bytes
    chance = random.Random(2)
    head_bytes = segment.fragments[0].offset
    places = [0, 1, head_bytes - 1, head_bytes, head_bytes + 1, size_bytes - 1]
    places += [chance.randrange(size_bytes) for _ in range(14)]
    for turn, place in enumerate(places):
        copy = site.copy(tmp_path / f"copy{turn}")
        cut(path_of(copy, segment), place)
        whole = sum(entry.offset + entry.size_bytes <= place for entry in segment.fragments)
        put(copy, as_open(segment, chance.randint(0, whole)))
        recovered = restart(copy)
        assert recovered["lost"] == 0
        if whole:
            assert len(stored(copy, 2).fragments) == whole
        else:
            assert len(copy.files()) == 1
        assert_whole(copy)


def test_bytes_that_never_reached_the_disk_are_cut_off(site: Site) -> None:
    """After a power cut the tail of a file may read as zeros."""
    segment = stored(site, 2)
    path = path_of(site, segment)
    keep = segment.fragments[6].offset + 50
    cut(path, keep)
    cut(path, segment.size_bytes)
    put(site, as_open(segment, 4))
    assert restart(site) == {"adopted": 2, "truncated": 1, "lost": 0}
    assert_whole(site)


@pytest.mark.parametrize("row", ["none", "open"])
def test_a_file_of_zeros_is_not_footage(site: Site, row: str) -> None:
    segment = stored(site, 2)
    path = path_of(site, segment)
    cut(path, 0)
    cut(path, 100_000)
    put(site, None if row == "none" else as_open(segment, 0))
    restart(site)
    assert len(site.files()) == 1
    assert_whole(site)


def test_killed_in_recovery_is_recovered_again(site: Site, tmp_path: Path) -> None:
    """After each of its steps: truncated, trailer written, run told; before the row."""
    segment = stored(site, 2)
    path = path_of(site, segment)
    entry = segment.fragments[5]
    cut(path, entry.offset + entry.size_bytes)
    put(site, as_open(segment, 3))
    reference = site.copy(tmp_path / "reference")
    restart(reference)
    recovered_file = path_of(reference, segment).read_bytes()
    path.write_bytes(recovered_file)  # R2 done, R5 not
    restart(site)
    assert stored(site, 2) == stored(reference, 2)
    path.write_bytes(recovered_file[:-10])  # R2 torn
    put(site, as_open(segment, 3))
    restart(site)
    assert stored(site, 2) == stored(reference, 2)
    assert_whole(site)


def test_a_segment_given_up_by_its_disk_ends_at_its_durable_mark(site: Site) -> None:
    """What follows the mark was recorded elsewhere, so it must not come back a second time."""
    segment = stored(site, 2)
    last = segment.fragments[-1]
    cut(path_of(site, segment), last.offset + last.size_bytes)
    given_up = as_open(segment, 4)
    given_up = replace(
        given_up, state=SegmentState.SEALED, end_reason=EndReason.IO_ERROR, digest=b"x" * 32
    )
    put(site, given_up)
    restart(site)
    found = stored(site, 2)
    assert (len(found.fragments), found.end_reason) == (4, EndReason.IO_ERROR)
    assert_whole(site)
    before = site.files()[-1].stat().st_mtime_ns
    restart(site)
    assert site.files()[-1].stat().st_mtime_ns == before


def test_what_a_hung_disk_had_to_give_back_does_not_come_twice(tmp_path: Path) -> None:
    """Killed while one volume hung and the other had taken over from its durable mark on."""
    site = Site.make(tmp_path, 2)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 10)
        recorder.record(2, 5, 9, place=1)
    segment = stored(site, 1)
    last = segment.fragments[-1]
    cut(path_of(site, segment), last.offset + last.size_bytes)
    put(site, as_open(segment, 5), 1)
    restart(site)
    assert len(stored(site, 1).fragments) == 5
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []


def test_what_is_not_understood_stays_as_it_is(site: Site) -> None:
    """Our name over somebody's bytes; another segment under this one's name."""
    alien = site.files()[1].with_name(site.files()[1].name.replace("-2.mp4", "-9.mp4"))
    alien.write_bytes(b"something else" * 100)
    double = site.files()[0].with_name(site.files()[0].name.replace("-1.mp4", "-8.mp4"))
    double.write_bytes(site.files()[0].read_bytes())
    restart(site)
    assert alien.read_bytes() == b"something else" * 100
    assert double.exists()
    rebuilt = reindex(site.index_path, site.volumes, dry_run=True)
    assert sorted(rebuilt.unreadable) == sorted([str(alien), str(double)])
    assert rebuilt.differences == []


def test_a_run_that_the_ledger_lost_is_told_from_the_header(site: Site) -> None:
    site.at(30)
    with site.running() as recorder:
        recorder.record(3, 30, 5, run="b" * 32, is_sealed=False)
    segment = stored(site, 3)
    put(site, None, 3)
    restart(site)
    assert stored(site, 3).fragments == segment.fragments
    connection = sqlite3.connect(site.index_path)
    run = rows.run(connection, "b" * 32)
    connection.close()
    assert run is not None
    assert run.start_us == T0 + 30 * S
    assert_whole(site)


def test_footage_found_under_a_gap_that_nobody_saw_cuts_it(site: Site, tmp_path: Path) -> None:
    """A volume comes back a restart later than the others."""
    segment = stored(site, 2)
    put(site, as_open(segment, 2))
    away = tmp_path / "away"
    os.rename(site.volumes[0], away)
    site.at(40)
    with site.running() as recorder:
        assert gaps_of(recorder.opened.index)[-1].start_us == T0 + 12 * S
        site.at(50)
    os.rename(away, site.volumes[0])
    with site.running() as recorder:
        gaps = gaps_of(recorder.opened.index)
    assert gaps[0].start_us == T0 + 20 * S
    assert_whole(site)


def test_a_volume_that_comes_late_is_recovered_beside_recording(site: Site, tmp_path: Path) -> None:
    segment = stored(site, 2)
    put(site, as_open(segment, 2))
    away = tmp_path / "away"
    os.rename(site.volumes[0], away)
    site.at(40)
    with site.running() as recorder:
        opened = recorder.opened
        slot = opened.volumes.slots[0]
        assert not opened.attach_late(slot)
        os.rename(away, site.volumes[0])
        assert opened.attach_late(slot)
        late = Recorder(opened, site.clock)
        late.record(opened.next_numbers["gate"], 40, 3)
        opened.ledger.gap_closed("gate", T0 + 12 * S, T0 + 40 * S)
        site.at(43)
    assert stored(site, 2).state is SegmentState.SEALED
    assert_whole(site)


def test_a_disk_that_fails_leaves_the_rest_for_the_next_start(site: Site) -> None:
    """Not one file more than the failing one is held up."""
    one, two = stored(site, 1), stored(site, 2)
    put(site, as_open(one, 5), 1)
    put(site, as_open(two, 5), 2)
    content = path_of(site, one).read_bytes()
    path_of(site, one).unlink()
    path_of(site, one).mkdir()  # opening it fails
    restart(site)
    assert stored(site, 1).state is SegmentState.OPEN
    assert stored(site, 2).state is SegmentState.SEALED
    path_of(site, one).rmdir()
    path_of(site, one).write_bytes(content)
    restart(site)
    assert_whole(site)


@pytest.mark.parametrize("damage", ["gone", "garbage", "torn"])
def test_a_lost_index_is_rebuilt_and_recording_goes_on(site: Site, damage: str) -> None:
    before = stored(site, 2)
    with site.running() as recorder:
        recorder.opened.ledger.gap("gate", T0, T0 + 5 * S, GapCause.NETWORK)
    if damage == "gone":
        site.index_path.unlink()
    elif damage == "garbage":
        site.index_path.write_bytes(os.urandom(50_000))
    else:
        cut(site.index_path, site.index_path.stat().st_size // 2)
    site.at(60)
    with site.running() as recorder:
        opened = recorder.opened
        assert opened.next_numbers == {"gate": 3}
        assert Gap(
            camera="gate", start_us=T0, end_us=T0 + 5 * S, cause=GapCause.NETWORK
        ) in gaps_of(opened.index)
        recorder.record(3, 60, 2)
        opened.ledger.gap_closed("gate", T0 + 20 * S, T0 + 60 * S)
    assert stored(site, 2) == before
    assert_whole(site)


def test_after_a_clock_was_set_back_a_lost_index_gives_no_number_twice(site: Site) -> None:
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate", -500_000, "c" * 32))
    site.index_path.unlink()
    opened = site.open()
    assert opened.next_numbers["gate"] > 1_000
    opened.index.close()
