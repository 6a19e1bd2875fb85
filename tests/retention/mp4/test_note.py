"""What a fragment says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.mp4.boxes import MAX_INSTANT_US, NOTE_UUID, SegmentCorrupt
from retention.mp4.note import FragmentNote, note_box, parse_note

_PAIRS = st.lists(
    st.tuples(st.integers(0, 1 << 40), st.integers(-(1 << 60), 1 << 60)), max_size=5
).map(tuple)


@given(
    st.integers(0, MAX_INSTANT_US), st.integers(0, MAX_INSTANT_US), st.booleans(), _PAIRS, _PAIRS
)
def test_a_note_reads_back(
    one_us: int,
    other_us: int,
    is_key: bool,
    early: tuple[tuple[int, int], ...],
    audio: tuple[tuple[int, int], ...],
) -> None:
    note = FragmentNote(
        start_us=min(one_us, other_us),
        end_us=max(one_us, other_us),
        is_key=is_key,
        early=early,
        audio=audio,
    )
    assert parse_note(note_box(note)[8:]) == note


@given(st.binary(max_size=50))
def test_garbage_is_corrupt_or_a_span_that_can_be(data: bytes) -> None:
    for payload in (data, NOTE_UUID + data, NOTE_UUID + b"\x01\x01" + bytes(16) + data):
        try:
            note = parse_note(payload)
        except SegmentCorrupt:
            continue
        assert 0 <= note.start_us <= note.end_us <= MAX_INSTANT_US


def test_a_span_that_ends_before_it_starts_is_corrupt() -> None:
    note = note_box(FragmentNote(start_us=2, end_us=1, is_key=True))
    with pytest.raises(SegmentCorrupt, match="span"):
        parse_note(note[8:])
