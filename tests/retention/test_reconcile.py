"""Files and rows compared, all of them; nothing deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.reindex import reindex
from retention.start import Opened
from retention.volume_messages import Reconciled
from tests.retention.storing import Site, run_of

HOUR_S = 3600


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One segment in each of ten hours."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        for number in range(1, 11):
            recorder.record(number, number * HOUR_S, 3)
        site.at(11 * HOUR_S)
    return site


def compare(opened: Opened) -> Reconciled:
    found = opened.reconcile(opened.volumes.slots[0], lambda: True)
    assert found is not None
    return found


def test_a_sound_volume_has_no_orphan_and_misses_nothing(site: Site) -> None:
    with site.running() as recorder:
        found = compare(recorder.opened)
    assert (found.orphan_bytes, found.missing_segments, found.is_whole) == (0, 0, True)


def test_the_old_footage_of_a_lost_index_is_adopted_beside_recording(site: Site) -> None:
    reference = reindex(site.index_path, site.volumes, dry_run=True)
    assert reference.differences == []
    site.index_path.unlink()
    with site.running() as recorder:
        opened = recorder.opened
        assert opened.next_numbers == {"gate": 11}
        recorder.record(11, 12 * HOUR_S, 3)
        found = compare(opened)
        assert found.recovery is not None
        assert found.recovery.sealed == 4  # six hours were looked at by start-up
        assert compare(opened).orphan_bytes == 0
    rebuilt = reindex(site.index_path, site.volumes, dry_run=True)
    assert rebuilt.differences == []
    assert rebuilt.segments == 11


def test_a_missing_file_is_counted_and_its_row_stays(site: Site) -> None:
    site.files()[2].unlink()
    gone = site.files()[5]
    gone.unlink()
    gone.parent.rmdir()
    with site.running() as recorder:
        assert compare(recorder.opened).missing_segments == 2
        assert compare(recorder.opened).missing_segments == 2


def test_strange_files_are_counted_and_stay(site: Site) -> None:
    volume = site.volumes[0]
    strange = [
        volume / "holiday.jpg",
        volume / "journal" / "notes.txt",
        volume / "gate" / "thumbs.db",
        volume / "gate" / "2024" / "x" / "deep.bin",
        site.files()[0].parent / "copy of.mp4",
        site.files()[0].parent / site.files()[0].name.replace("-1.mp4", "-0.mp4"),
    ]
    for path in strange:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
    with site.running() as recorder:
        assert compare(recorder.opened).orphan_bytes == 600
    assert all(path.exists() for path in strange)


def test_it_leaves_alone_what_this_process_writes(site: Site) -> None:
    with site.running() as recorder:
        recorder.record(11, 12 * HOUR_S, 3, is_sealed=False)
        found = compare(recorder.opened)
        assert (found.orphan_bytes, found.missing_segments) == (0, 0)
        assert found.recovery is not None
        assert found.recovery.sealed == 0


def test_it_can_be_ended_early(site: Site) -> None:
    with site.running() as recorder:
        found = recorder.opened.reconcile(recorder.opened.volumes.slots[0], lambda: False)
    assert found is not None
    assert not found.is_whole
