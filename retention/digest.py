"""The digest of a segment: one SHA-256 that stands for its header and all its fragments. Core.

digest = SHA-256( tag || SHA-256(header bytes) || for each fragment: SHA-256(moof and mdat) ||
end_us as 8 bytes big endian, two's complement )
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from retention.model import FragmentEntry

#: Keeps these digests apart from any other use of SHA-256; with its length fixed by the NUL.
DOMAIN_TAG = b"xueliang segment 1\0"

DIGEST_BYTES = 32


class SegmentDigest:
    """Grows with the segment; :meth:`digest` may be asked at any time."""

    __slots__ = ("_hash",)

    def __init__(self, header: bytes) -> None:
        self._hash = hashlib.sha256(DOMAIN_TAG + hashlib.sha256(header).digest())

    def add(self, fragment_sha256: bytes, end_us: int) -> None:
        """Take in the next fragment: the hash of its bytes, and where it ends (UTC)."""
        if len(fragment_sha256) != DIGEST_BYTES:
            raise ValueError("a fragment's hash has 32 bytes")
        self._hash.update(fragment_sha256 + end_us.to_bytes(8, "big", signed=True))

    def digest(self) -> bytes:
        """The digest of all that was added so far, 32 bytes."""
        return self._hash.digest()


def segment_digest(header: bytes, entries: Iterable[FragmentEntry]) -> bytes:
    """The digest of a segment of these fragments, whose hashes must be known."""
    whole = SegmentDigest(header)
    for entry in entries:
        whole.add(entry.sha256, entry.end_us)
    return whole.digest()
