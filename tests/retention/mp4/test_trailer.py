"""The box that seals a segment file."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import EndReason, FragmentEntry
from retention.mp4.boxes import SegmentCorrupt
from retention.mp4.trailer import Trailer, parse_trailer, trailer_bytes

_ENTRY = FragmentEntry(
    offset=900, size_bytes=50, start_us=5, end_us=6, is_key=True, sha256=bytes(range(32))
)
_TRAILER = Trailer(
    end_us=7,
    end_reason=EndReason.ROTATED,
    fragments=(_ENTRY, replace(_ENTRY, offset=950, start_us=6, end_us=7, is_key=False)),
    digest=bytes(32),
)
_DATA = trailer_bytes(_TRAILER)


def test_a_trailer_reads_back() -> None:
    assert parse_trailer(_DATA) == _TRAILER


def test_its_size_stands_in_the_last_four_bytes() -> None:
    assert int.from_bytes(_DATA[-4:], "big") == len(_DATA)


def test_a_minute_of_gops_makes_a_trailer_under_4_kilobytes() -> None:
    many = tuple(replace(_ENTRY, offset=900 + 50 * index) for index in range(60))
    assert len(trailer_bytes(replace(_TRAILER, fragments=many))) < 4096


def test_a_missing_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="hash"):
        trailer_bytes(replace(_TRAILER, fragments=(replace(_ENTRY, sha256=b""),)))


@given(st.integers(0, len(_DATA) - 1), st.binary(max_size=6))
def test_any_change_is_corrupt_or_another_trailer(at: int, changed: bytes) -> None:
    try:
        found = parse_trailer(_DATA[:at] + changed + _DATA[at + len(changed) :])
    except SegmentCorrupt:
        return
    assert all(len(entry.sha256) == 32 for entry in found.fragments)


@given(st.binary(max_size=60))
def test_garbage_is_corrupt(data: bytes) -> None:
    with pytest.raises(SegmentCorrupt):
        parse_trailer(data)
