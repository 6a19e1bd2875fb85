"""What edge and a volume's process say to each other, as bytes and back; and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention import volume_messages, volume_wire
from retention.model import AccessUnit, Fragment, Track
from retention.plain import NotPlain, decoder, encoder
from retention.volume_messages import KINDS, GiveJournal, Message
from retention.volume_wire import WireError, decode, encode, lengths
from retention.writer_ports import Append


def there_and_back(message: Message, request: int) -> tuple[Message, int]:
    frame = b"".join(encode(message, request))
    prefix, rest = frame[: volume_wire.PREFIX.size], frame[volume_wire.PREFIX.size :]
    head_bytes, tail_bytes = lengths(prefix)
    assert len(rest) == head_bytes + tail_bytes
    return decode(rest[:head_bytes], rest[head_bytes:])


PLAIN_KINDS = [kind for kind in KINDS.values() if kind is not Append]
NUMBERS = st.integers(-(2**62), 2**62)


def messages(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    sane = {name: st.floats(allow_nan=False) for name in hints if hints[name] is float}
    return st.builds(kind, **sane)


@given(st.one_of([messages(kind) for kind in PLAIN_KINDS]), NUMBERS)
def test_every_kind_of_message_comes_back_as_it_was(message: Any, request: int) -> None:
    assert there_and_back(message, request) == (message, request)


UNITS = st.builds(
    AccessUnit,
    track=st.sampled_from(Track),
    pts_us=NUMBERS,
    is_key=st.booleans(),
    data=st.binary(max_size=40),
)
FRAGMENTS = st.builds(
    Fragment,
    units=st.lists(UNITS, max_size=8).map(tuple),
    start_us=NUMBERS,
    end_us=NUMBERS,
    is_key=st.booleans(),
)


@given(FRAGMENTS)
def test_a_fragment_comes_back_byte_for_byte(fragment: Fragment) -> None:
    message = Append(camera="gate", number=7, fragment=fragment)
    assert there_and_back(message, 0) == (message, 0)


_JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(st.sampled_from(sorted(KINDS)) | st.text(max_size=9), _JSON, st.binary(max_size=9))
def test_whatever_comes_is_a_message_or_refused(kind: str, fields: Any, tail: bytes) -> None:
    try:
        message, _ = decode(json.dumps([kind, 0, fields]).encode(), tail)
    except WireError:
        return
    assert type(message) is KINDS[kind]


@given(st.binary(max_size=60))
def test_bytes_that_are_no_message_are_refused(head: bytes) -> None:
    try:
        decode(head, b"")
    except WireError:
        return


def test_an_absurd_length_is_refused() -> None:
    with pytest.raises(WireError, match="bytes"):
        lengths(b"\xff" * volume_wire.PREFIX.size)


def test_long_lines_travel_as_they_are() -> None:
    pieces = encode(GiveJournal(lines=b"\x00\xff" * 50_000))
    assert len(pieces[0]) < 100
    assert len(pieces[1]) == 100_000


def test_a_value_of_another_type_is_refused() -> None:
    @dataclass(frozen=True)
    class Thing:
        count: int
        names: tuple[str, ...]

    assert decoder(Thing)(encoder(Thing)(Thing(3, ("a",)))) == Thing(3, ("a",))
    for wrong in ([True, []], [3], [3, "a"], [3, [1]], {"count": 3}, None):
        with pytest.raises(NotPlain):
            decoder(Thing)(wrong)
    with pytest.raises(TypeError, match="no plain form"):
        encoder(set[int])


def test_messages_are_declared_with_what_the_wire_can_carry() -> None:
    """A further operation or event is one class: it needs nothing here."""
    assert {"SegmentHeader", "Delete", "Deleted", "Durable"} <= set(KINDS)
    assert volume_messages.KINDS is KINDS
