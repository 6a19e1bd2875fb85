"""Paths on a volume."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention import layout


def test_a_path_tells_camera_utc_start_and_number() -> None:
    """The contract of design.md, to the letter."""
    path = layout.segment_path("gate-exit", 1_795_478_400_123_999, 42)
    assert path == "gate-exit/2026/11/24/00/20261124T000000.123Z-42.mp4"


@given(
    start_us=st.integers(-60_000_000_000_000_000, 250_000_000_000_000_000),
    number=st.integers(0, 10**18),
)
def test_every_written_path_reads_back(start_us: int, number: int) -> None:
    """Parsing is the inverse of writing, cut to milliseconds."""
    name = layout.parse_segment_path(layout.segment_path("a-1", start_us, number))
    assert name == layout.SegmentName(camera="a-1", start_ms=start_us // 1000, number=number)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "gate/2026/11/24/00/20261124T000000.123Z-42.mp4.tmp",
        "gate/2026/11/24/01/20261124T000000.123Z-42.mp4",  # in the folder of another hour
        "gate/2026/11/24/00/20261399T000000.123Z-42.mp4",
        "gate/2026/11/24/00/20261124T000000.123Z-042.mp4",
        "Gate/2026/11/24/00/20261124T000000.123Z-42.mp4",
        "../2026/11/24/00/20261124T000000.123Z-42.mp4",
        "journal/00000001.jsonl",
        "gate/2026/11/24/00/20261124T000000.123Z-٤.mp4",
    ],
)
def test_foreign_names_are_not_segments(path: str) -> None:
    """What this project would not have written is left alone."""
    assert layout.parse_segment_path(path) is None


@given(st.text(max_size=80) | st.from_regex(r"a/[0-9/]{13}/[0-9T.Z-]{22}1.mp4"))
def test_no_name_raises(path: str) -> None:
    """A hostile directory entry is merely foreign."""
    layout.parse_segment_path(path)


def test_journal_parts_sort_by_name() -> None:
    """Parts read in the order of their names."""
    assert layout.journal_path(2) == "journal/00000002.jsonl"
    assert layout.is_journal_name("00000002.jsonl")
    assert not layout.is_journal_name("00000002.jsonl~")
