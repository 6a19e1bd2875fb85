"""Boxes, written and taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.mp4.boxes import SegmentCorrupt, box, children, full_box, read_head


@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.binary(max_size=9)), max_size=4))
def test_boxes_side_by_side_read_back(boxes: list[tuple[bytes, bytes]]) -> None:
    assert children(b"".join(box(kind, payload) for kind, payload in boxes)) == boxes


def test_version_and_flags_stand_in_front() -> None:
    assert full_box(b"tfdt", 1, 2, b"x") == b"\x00\x00\x00\x0dtfdt\x01\x00\x00\x02x"


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x08moo", b"\0\0\0\x07moov", b"\0\0\0\0moov"])
def test_a_head_that_is_cut_or_absurd_is_none(data: bytes) -> None:
    assert read_head(data) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_boxes_or_corrupt(data: bytes) -> None:
    try:
        found = children(data)
    except SegmentCorrupt:
        return
    assert b"".join(box(kind, payload) for kind, payload in found) == data
