"""Links, and ranges of numbers."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.chain import (
    FIRST_LINK,
    count_of,
    holes_of,
    is_in,
    link,
    link_all,
    merged,
    numbers_in,
    ranges_of,
)

numbers = st.sets(st.integers(0, 60)).map(sorted)


def test_a_link_is_what_the_page_says() -> None:
    digest = hashlib.sha256(b"one").digest()
    expected = hashlib.sha256(b"xueliang chain 1\0" + bytes(32) + bytes(7) + b"\x05" + digest)
    assert link(FIRST_LINK, 5, digest) == expected.digest()
    with pytest.raises(ValueError, match="32 bytes"):
        link(FIRST_LINK, 5, b"short")


@given(numbers, st.integers(0, 60))
def test_a_chain_can_be_walked_past_what_was_taken_away(known: list[int], cut: int) -> None:
    segments = [(number, hashlib.sha256(bytes([number])).digest()) for number in known]
    middle = link_all(FIRST_LINK, segments[:cut])
    assert link_all(middle, segments[cut:]) == link_all(FIRST_LINK, segments)


@given(numbers)
def test_ranges_and_holes_partition_the_numbers(known: list[int]) -> None:
    ranges = ranges_of(known)
    assert list(numbers_in(ranges)) == known
    assert count_of(ranges) == len(known)
    holes = holes_of(ranges[::-1])
    outside = {n for first, last in holes for n in range(first, 62 if last is None else last + 1)}
    assert outside == set(range(62)) - set(known)
    assert holes[-1][1] is None


def test_numbers_rise() -> None:
    with pytest.raises(ValueError, match="rise"):
        ranges_of([3, 3])


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8))))
def test_merged_ranges_hold_the_same_numbers(drawn: list[tuple[int, int]]) -> None:
    ranges = [(first, first + more) for first, more in drawn]
    wanted = set(numbers_in(ranges))
    found = merged(ranges)
    assert set(numbers_in(found)) == wanted
    assert found == ranges_of(sorted(wanted))
    assert {number for number in range(80) if is_in(found, number)} == wanted
