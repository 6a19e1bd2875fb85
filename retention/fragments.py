"""The table of a segment's fragments, as the index row and the trailer keep it. Core.

Layout: one version byte, the count, then per fragment: the bytes between the end of the one before
and its offset, its size doubled plus the key bit, its start less the end of the one before
(zigzag; the first one's start less 0), and its duration (zigzag); all varints. A GOP of 1 s takes
some 8 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from retention.digest import DIGEST_BYTES
from retention.model import FragmentEntry
from retention.varint import get_varint, put_varint, unzigzag, zigzag

_VERSION = 1
_MIN_ENTRY_BYTES = 4
_MAX_VALUE = 1 << 62


def encode_table(entries: Iterable[FragmentEntry]) -> bytes:
    """The compact form of ``entries``, which stand in file order; the hashes stay out.

    Raises:
        ValueError: two entries overlap or go backward in the file.
    """
    listed = tuple(entries)
    out = bytearray((_VERSION,))
    put_varint(out, len(listed))
    end_offset = end_us = 0
    for entry in listed:
        if entry.offset < end_offset:
            raise ValueError("fragments overlap in the file")
        put_varint(out, entry.offset - end_offset)
        put_varint(out, entry.size_bytes << 1 | entry.is_key)
        put_varint(out, zigzag(entry.start_us - end_us))
        put_varint(out, zigzag(entry.end_us - entry.start_us))
        end_offset = entry.offset + entry.size_bytes
        end_us = entry.end_us
    return bytes(out)


def decode_table(table: bytes, hashes: bytes | None = None) -> tuple[FragmentEntry, ...]:
    """What :func:`encode_table` was given; an empty table has no entries.

    Args:
        hashes: SHA-256 of each entry, 32 bytes after 32 bytes; without them theirs are empty.

    Raises:
        ValueError: ``table`` is no such table, or there is not one hash for each entry.
    """
    if not table:
        return ()
    if table[0] != _VERSION:
        raise ValueError(f"fragment table of unknown version {table[0]}")
    count, position = get_varint(table, 1)
    if count * _MIN_ENTRY_BYTES > len(table) - position:
        raise ValueError("fragment table is shorter than its count")
    if hashes is not None and len(hashes) != DIGEST_BYTES * count:
        raise ValueError("fragment table without one hash for each entry")
    entries = []
    end_offset = end_us = 0
    for place in range(count):
        skip, position = get_varint(table, position)
        size_and_key, position = get_varint(table, position)
        start_delta, position = get_varint(table, position)
        duration, position = get_varint(table, position)
        offset = end_offset + skip
        start_us = end_us + unzigzag(start_delta)
        end_us = start_us + unzigzag(duration)
        end_offset = offset + (size_and_key >> 1)
        if max(end_offset, abs(start_us), abs(end_us)) > _MAX_VALUE:
            raise ValueError("fragment table holds absurd numbers")
        entries.append(
            FragmentEntry(
                offset=offset,
                size_bytes=size_and_key >> 1,
                start_us=start_us,
                end_us=end_us,
                is_key=bool(size_and_key & 1),
                sha256=b""
                if hashes is None
                else hashes[DIGEST_BYTES * place : DIGEST_BYTES * (place + 1)],
            )
        )
    if position != len(table):
        raise ValueError("fragment table has bytes behind its last entry")
    return tuple(entries)
