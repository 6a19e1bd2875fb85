"""What of a segment file is whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.digest import segment_digest
from retention.model import Codec
from retention.mp4.boxes import MAX_HEAD_BYTES, SegmentCorrupt, box
from retention.mp4.scan import ScannedSegment, outline, read_units, scan
from tests.retention.mp4.footage import Bytes, encode, segment, with_audio

_FOOTAGE = with_audio(encode(Codec.H264, frames=48), Codec.ALAW)
_SEALED, _ENTRIES = segment(_FOOTAGE)
_OPEN, _ = segment(_FOOTAGE, sealed=False)
_HEAD_BYTES = _ENTRIES[0].offset


def _scan(data: bytes) -> ScannedSegment:
    return scan(Bytes(data).read, len(data))


def test_a_sealed_file_is_whole_to_its_last_byte() -> None:
    found = _scan(_SEALED)
    assert found.header == _FOOTAGE.header()
    assert list(found.entries) == _ENTRIES
    assert found.whole_bytes == len(_SEALED)
    assert found.trailer is not None
    assert found.trailer.fragments == found.entries
    assert found.trailer.digest == segment_digest(found.header_bytes, found.entries)
    assert found.end_us == _ENTRIES[-1].end_us


def test_an_open_file_has_no_trailer() -> None:
    found = _scan(_OPEN)
    assert list(found.entries) == _ENTRIES
    assert found.whole_bytes == len(_OPEN)
    assert found.trailer is None


def test_a_header_alone_is_a_segment_without_fragments() -> None:
    found = _scan(_SEALED[:_HEAD_BYTES])
    assert (found.entries, found.whole_bytes) == ((), _HEAD_BYTES)
    assert found.end_us == found.header.start_us


def test_fragments_lead_straight_to_their_units() -> None:
    units = [
        unit
        for entry in _scan(_SEALED).entries
        for unit in read_units(
            _SEALED[entry.offset : entry.offset + entry.size_bytes], _FOOTAGE.header()
        )
    ]
    assert tuple(units) == _FOOTAGE.units


@given(st.integers(_HEAD_BYTES, len(_SEALED)))
def test_a_cut_file_is_whole_up_to_its_last_whole_fragment(size: int) -> None:
    """Cutting again where the scan says changes nothing more."""
    found = _scan(_SEALED[:size])
    assert list(found.entries) == [
        entry for entry in _ENTRIES if entry.offset + entry.size_bytes <= size
    ]
    assert found.whole_bytes <= size
    assert _scan(_SEALED[: found.whole_bytes]) == found


@given(st.integers(0, _HEAD_BYTES - 1))
def test_a_cut_header_is_corrupt(size: int) -> None:
    with pytest.raises(SegmentCorrupt):
        _scan(_SEALED[:size])
    with pytest.raises(SegmentCorrupt):
        outline(Bytes(_SEALED[:size]).read, size)


@given(st.integers(_HEAD_BYTES, len(_OPEN) - 1))
def test_zeros_where_the_disk_lost_its_cache_end_the_walk(start: int) -> None:
    """As a file system leaves them after a power cut: the size is right, the bytes are not."""
    lost = _OPEN[:start] + bytes(len(_OPEN) - start)
    found = _scan(lost)
    assert found.entries == tuple(_ENTRIES[: len(found.entries)])
    assert lost[: found.whole_bytes] == _OPEN[: found.whole_bytes]
    assert len(found.entries) >= sum(one.offset + one.size_bytes <= start for one in _ENTRIES)


@given(st.integers(_HEAD_BYTES, len(_OPEN) - 1), st.integers(1, 255))
def test_a_changed_byte_ends_the_walk_at_its_fragment(at: int, change: int) -> None:
    changed = bytearray(_OPEN)
    changed[at] ^= change
    assert list(_scan(bytes(changed)).entries) == [
        entry for entry in _ENTRIES if entry.offset + entry.size_bytes <= at
    ]


@given(st.binary(max_size=100))
def test_garbage_behind_the_last_fragment_is_not_whole(garbage: bytes) -> None:
    found = _scan(_OPEN + garbage)
    assert (list(found.entries), found.whole_bytes) == (_ENTRIES, len(_OPEN))
    assert _scan(_SEALED + garbage).whole_bytes == len(_SEALED)


@given(st.binary(max_size=300), st.sampled_from([b"moof", b"mdat", b"uuid", b"free"]))
def test_hostile_boxes_behind_the_header_are_not_whole(payload: bytes, kind: bytes) -> None:
    hostile = _SEALED[:_HEAD_BYTES] + box(kind, payload) + box(b"mdat", payload)
    assert _scan(hostile).whole_bytes == _HEAD_BYTES


@given(st.binary(max_size=300))
def test_any_file_is_corrupt_without_a_header_of_ours(data: bytes) -> None:
    hostile = [data, box(b"ftyp", data), box(b"ftyp") + box(b"moov", data) + box(b"uuid", data)]
    for one in hostile:
        with pytest.raises(SegmentCorrupt):
            _scan(one)


def test_a_fragment_out_of_sequence_is_not_of_this_walk() -> None:
    """The second twice, as a torn copy would have it."""
    second = _ENTRIES[1]
    doubled = _OPEN[: second.offset + second.size_bytes]
    doubled += _OPEN[second.offset : second.offset + second.size_bytes]
    assert len(_scan(doubled).entries) == 2


def test_a_file_that_shrinks_while_it_is_read_ends_there() -> None:
    found = scan(Bytes(_SEALED[:-5000]).read, len(_SEALED))
    assert found.trailer is None
    assert 0 < len(found.entries) < len(_ENTRIES)


def test_reads_are_bounded_whatever_sizes_a_file_claims() -> None:
    huge = (0x7FFF_FFFF).to_bytes(4, "big")
    header, rest = _SEALED[:_HEAD_BYTES], _SEALED[_HEAD_BYTES + 4 :]
    for data in (header + huge + rest, huge + _SEALED[4:], header + huge + b"uuid"):
        file = Bytes(data)
        try:
            scan(file.read, 1 << 40)
        except SegmentCorrupt:
            pass
        assert file.largest <= MAX_HEAD_BYTES


def test_the_outline_of_a_sealed_file_is_that_of_the_walk() -> None:
    assert outline(Bytes(_SEALED).read, len(_SEALED)) == _scan(_SEALED)


def test_an_outline_reads_no_media() -> None:
    file = Bytes(_SEALED)
    outline(file.read, len(_SEALED))
    media = range(_HEAD_BYTES + 8, _ENTRIES[-1].offset + _ENTRIES[-1].size_bytes)
    assert all(offset not in media for offset, _size in file.asked)
    assert file.total < 10_000


def test_what_is_not_sealed_has_no_outline() -> None:
    assert outline(Bytes(_OPEN).read, len(_OPEN)) is None
    assert outline(Bytes(_SEALED[:-1]).read, len(_SEALED) - 1) is None
    last = _ENTRIES[-1]
    trailer = _SEALED[last.offset + last.size_bytes :]
    shorter = _SEALED[: last.offset] + trailer
    assert outline(Bytes(shorter).read, len(shorter)) is None


def test_the_outline_does_not_see_changed_media() -> None:
    """It believes the trailer; only the walk looks at the media."""
    changed = bytearray(_SEALED)
    changed[_ENTRIES[1].offset + _ENTRIES[1].size_bytes - 1] ^= 1
    assert outline(Bytes(bytes(changed)).read, len(changed)) == _scan(_SEALED)
    assert len(_scan(bytes(changed)).entries) == 1
