"""The digest that stands for a whole segment."""

import hashlib

import pytest

from retention.digest import SegmentDigest, segment_digest
from retention.model import FragmentEntry


def _entry(name: bytes, end_us: int) -> FragmentEntry:
    return FragmentEntry(
        offset=0,
        size_bytes=1,
        start_us=0,
        end_us=end_us,
        is_key=True,
        sha256=hashlib.sha256(name).digest(),
    )


def test_the_digest_is_what_the_format_says() -> None:
    entries = [_entry(b"a", 1), _entry(b"b", 2)]
    told = hashlib.sha256(
        b"xueliang segment 1\0"
        + hashlib.sha256(b"head").digest()
        + hashlib.sha256(b"a").digest()
        + (1).to_bytes(8, "big")
        + hashlib.sha256(b"b").digest()
        + (2).to_bytes(8, "big")
    ).digest()
    assert segment_digest(b"head", entries) == told


def test_header_order_ends_and_number_of_fragments_all_count() -> None:
    first, second = _entry(b"a", 1), _entry(b"b", 2)
    digests = {
        segment_digest(b"head", [first, second]),
        segment_digest(b"HEAD", [first, second]),
        segment_digest(b"head", [second, first]),
        segment_digest(b"head", [first]),
        segment_digest(b"head", [first, _entry(b"b", 3)]),
        segment_digest(b"head", []),
    }
    assert len(digests) == 6


def test_it_may_be_asked_before_the_end_and_grows_on() -> None:
    digest = SegmentDigest(b"head")
    first, second = _entry(b"a", 1), _entry(b"b", 2)
    digest.add(first.sha256, first.end_us)
    assert digest.digest() == segment_digest(b"head", [first])
    digest.add(second.sha256, second.end_us)
    assert digest.digest() == segment_digest(b"head", [first, second])


def test_a_missing_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SegmentDigest(b"head").add(b"", 1)
