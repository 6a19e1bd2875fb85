"""What a file says of itself, and that no bytes make it say something wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retention.layout import segment_path
from retention.model import EndReason, SegmentState
from retention.mp4.boxes import SegmentCorrupt
from retention.segment_files import camera_folders, facts_at, facts_of, files_in, hour_folders
from tests.retention.storing import S, Site, run_of
from tests.retention.writing import T0


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    site = Site.make(tmp_path_factory.mktemp("site"))
    with site.running() as recorder:
        recorder.record(1, 0, 4)
    return site.files()[0].read_bytes()


PATH = segment_path("gate", T0, 1)


def test_a_sealed_file_gives_its_row_and_its_run(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    facts = facts_at(tmp_path, PATH, "v")
    assert facts.segment.state is SegmentState.SEALED
    assert facts.segment.end_reason is EndReason.ROTATED
    assert (facts.segment.end_us, facts.segment.size_bytes) == (T0 + 4 * S, len(content))
    assert facts.run == run_of("gate")
    assert camera_folders(tmp_path) == ["gate"]
    (folder,) = hour_folders(tmp_path, "gate")
    assert [file.path for file in files_in(tmp_path, folder)] == [PATH]


def test_a_file_in_anothers_place_is_not_taken(content: bytes) -> None:
    for path in (segment_path("yard", T0, 1), segment_path("gate", T0, 2)):
        with pytest.raises(SegmentCorrupt):
            facts_of(lambda at, size: content[at : at + size], len(content), path, "v")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_gives_fewer_fragments_or_an_error_never_others(
    content: bytes, data: st.DataObject
) -> None:
    """A changed byte, and an end anywhere: what is told of a file without trailer is true."""
    whole = facts_of(lambda at, size: content[at : at + size], len(content), PATH, "v")
    changed = bytearray(content[: data.draw(st.integers(0, len(content)))])
    if changed:
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        facts = facts_of(lambda at, size: bytes(changed[at : at + size]), len(changed), PATH, "v")
    except SegmentCorrupt:
        return
    if facts.segment.state is SegmentState.OPEN:
        entries = facts.segment.fragments
        assert entries == whole.segment.fragments[: len(entries)]


@settings(max_examples=100)
@given(st.binary(max_size=2000))
def test_garbage_is_no_segment(garbage: bytes) -> None:
    with pytest.raises(SegmentCorrupt):
        facts_of(lambda at, size: garbage[at : at + size], len(garbage), PATH, "v")
