"""The chain of a camera's segments: what proves that none was changed, removed or put in. Core.

Sealed segments are chained in the order of checkpoints, inside a checkpoint by number; a link is

  after = SHA-256( tag || before || number as 8 bytes big endian || segment digest )

and a camera's first link hangs on 32 zero bytes. A checkpoint (signed, in the journal) tells the
numbers that it adds with the links before and after them; a tombstone tells the links before and
after the segments that policy took away, so that the chain can still be walked past them.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from retention.digest import DIGEST_BYTES

#: Keeps links apart from any other use of SHA-256.
DOMAIN_TAG = b"xueliang chain 1\0"
#: What a camera's first segment hangs on.
FIRST_LINK = bytes(DIGEST_BYTES)

#: Numbers ``first`` to ``last``, both included.
NumberRange = tuple[int, int]


def link(before: bytes, number: int, digest: bytes) -> bytes:
    """The link behind one segment, 32 bytes.

    Args:
        before: the link before it.
        number: of the segment.
        digest: of the segment (retention.digest), 32 bytes.
    """
    if len(before) != DIGEST_BYTES or len(digest) != DIGEST_BYTES:
        raise ValueError("links and digests have 32 bytes")
    return hashlib.sha256(DOMAIN_TAG + before + number.to_bytes(8, "big") + digest).digest()


def link_all(before: bytes, segments: Iterable[tuple[int, bytes]]) -> bytes:
    """The link behind a row of segments, each given as number and digest, in chain order."""
    for number, digest in segments:
        before = link(before, number, digest)
    return before


def ranges_of(numbers: Iterable[int]) -> tuple[NumberRange, ...]:
    """Rising numbers as ranges, both ends included."""
    ranges: list[NumberRange] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        elif ranges and number <= ranges[-1][1]:
            raise ValueError("numbers do not rise")
        else:
            ranges.append((number, number))
    return tuple(ranges)


def numbers_in(ranges: Iterable[NumberRange]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def count_of(ranges: Iterable[NumberRange]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def holes_of(ranges: Sequence[NumberRange]) -> list[tuple[int, int | None]]:
    """Numbers from 0 on that none of the ranges (in any order) holds; the last one is open."""
    holes: list[tuple[int, int | None]] = []
    at = 0
    for first, last in sorted(ranges):
        if first > at:
            holes.append((at, first - 1))
        at = max(at, last + 1)
    return [*holes, (at, None)]


def merged(ranges: Iterable[NumberRange]) -> tuple[NumberRange, ...]:
    """The same numbers in the fewest ranges, rising."""
    found: list[NumberRange] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def is_in(ranges: Sequence[NumberRange], number: int) -> bool:
    """Whether one of the merged ranges holds the number."""
    at = bisect_right(ranges, number, key=lambda one: one[0])
    return at > 0 and number <= ranges[at - 1][1]
