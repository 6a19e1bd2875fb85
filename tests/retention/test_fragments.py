"""The compact table of a segment's fragments."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.fragments import decode_table, encode_table
from retention.model import FragmentEntry

_INSTANTS = st.integers(0, 4_000_000_000_000_000)


@st.composite
def _entries(draw: st.DrawFn) -> list[FragmentEntry]:
    offset = 0
    entries = []
    for _ in range(draw(st.integers(0, 8))):
        offset += draw(st.integers(0, 10_000))
        size = draw(st.integers(1, 300_000_000))
        entries.append(
            FragmentEntry(
                offset=offset,
                size_bytes=size,
                start_us=draw(_INSTANTS),
                end_us=draw(_INSTANTS),
                is_key=draw(st.booleans()),
                sha256=b"",
            )
        )
        offset += size
    return entries


@given(_entries())
def test_a_table_reads_back_without_the_hashes(entries: list[FragmentEntry]) -> None:
    hashed = [replace(entry, sha256=bytes(32)) for entry in entries]
    assert list(decode_table(encode_table(hashed))) == entries


def test_a_minute_of_gops_takes_less_than_600_bytes() -> None:
    start_us = 1_795_436_130_123_457
    entries = [
        FragmentEntry(
            offset=1500 + 500_000 * index,
            size_bytes=500_000,
            start_us=start_us + 1_000_000 * index,
            end_us=start_us + 1_000_000 * (index + 1),
            is_key=True,
            sha256=b"",
        )
        for index in range(60)
    ]
    assert len(encode_table(entries)) < 600


def test_overlapping_fragments_are_refused() -> None:
    entry = FragmentEntry(offset=100, size_bytes=50, start_us=0, end_us=1, is_key=True, sha256=b"")
    with pytest.raises(ValueError, match="overlap"):
        encode_table([entry, replace(entry, offset=149)])


def test_an_empty_table_has_no_entries() -> None:
    assert decode_table(b"") == ()


@given(st.binary(max_size=60) | st.binary(max_size=60).map(b"\x01".__add__))
def test_garbage_is_a_value_error_or_a_table(data: bytes) -> None:
    try:
        entries = decode_table(data)
    except ValueError:
        return
    assert all(entry.offset >= 0 for entry in entries)


def test_a_count_without_entries_costs_no_memory() -> None:
    with pytest.raises(ValueError, match="shorter than its count"):
        decode_table(b"\x01\xff\xff\xff\xff\xff\xff\x7f")
