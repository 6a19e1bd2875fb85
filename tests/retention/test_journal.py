"""The journal: signed, chained, and readable whatever became of its files."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.journal import (
    Entry,
    Head,
    Journal,
    JournalDamaged,
    Kind,
    longest_chain,
    parse_line,
    read_lines,
    signed_chain,
    verify,
)
from tests.retention.indexing import KEY


def entries_of(count: int, head: Head | None = None) -> list[Entry]:
    journal = Journal(KEY, head or Head())
    first = [] if head else [journal.entry(Kind.KEY, journal.key_data(), 1)]
    more = [journal.entry(Kind.GAP, {"n": n}, n) for n in range(count - len(first))]
    return [*first, *more]


def test_a_line_reads_back_as_its_entry() -> None:
    for entry in entries_of(3):
        assert parse_line(entry.line) == entry


def test_a_chain_verifies_and_tells_its_head() -> None:
    entries = entries_of(5)
    assert verify(entries) == Head.of(entries[-1])
    assert verify(entries[2:], Head.of(entries[1]), [KEY.public_key()]).seq == 5


def test_a_changed_removed_or_moved_entry_is_found() -> None:
    entries = entries_of(5)
    forged = parse_line(entries[2].line.replace(b'"n":1', b'"n":7'))
    for wrong in (
        [*entries[:2], forged, *entries[3:]],
        [*entries[:2], *entries[3:]],
        [entries[0], entries[2], entries[1], *entries[3:]],
    ):
        with pytest.raises(JournalDamaged):
            verify(wrong)


def test_an_entry_signed_by_a_strange_key_is_found() -> None:
    """Hash and number fit, the key was never brought into use."""
    entries = entries_of(2)
    stranger = Journal(Ed25519PrivateKey.generate(), Head.of(entries[-1]))
    with pytest.raises(JournalDamaged):
        verify([*entries, stranger.entry(Kind.GAP, {}, 1)])


def test_a_torn_last_line_is_counted_and_the_rest_is_read() -> None:
    entries = entries_of(4)
    content = b"".join(entry.line + b"\n" for entry in entries)
    for cut in range(1, len(entries[-1].line)):
        found = read_lines(content[: -1 - cut])
        assert (found.entries, found.damaged_lines) == (tuple(entries[:-1]), 1)


def test_replicas_with_holes_give_one_chain_in_any_order() -> None:
    entries = entries_of(30)
    some = [*entries[:20], *entries[5:], *entries[:3]]
    random.Random(1).shuffle(some)
    assert longest_chain(some) == (entries, [])


def test_a_chain_ends_before_a_hole() -> None:
    entries = entries_of(10)
    chain, others = longest_chain([*entries[:4], *entries[5:]])
    assert (chain, others) == (entries[:4], entries[5:])


def test_of_two_branches_the_longer_counts() -> None:
    entries = entries_of(5)
    branch = entries_of(4, Head.of(entries[2]))
    chain, others = longest_chain([*entries, *branch])
    assert (chain, others) == ([*entries[:3], *branch], entries[3:])


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_garbage_never_breaks_the_reader(content: bytes) -> None:
    assert read_lines(content).entries == ()


@settings(max_examples=100)
@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    entries = entries_of(3)
    line = bytearray(entries[1].line)
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(JournalDamaged):
        verify([entries[0], parse_line(bytes(line)), entries[2]])


# A chain that is told by its newest signature ---------------------------------------------------


def test_a_whole_chain_is_taken_in_any_order() -> None:
    entries = entries_of(30)
    assert signed_chain(reversed(entries), [KEY.public_key()]) == (entries, [])
    assert signed_chain([]) == ([], [])


def test_a_longer_branch_of_a_stranger_counts_for_nothing() -> None:
    """Also one that says it is signed by the box's own key."""
    entries = entries_of(6)
    stranger = Journal(Ed25519PrivateKey.generate(), Head.of(entries[2]))
    strange = [stranger.entry(Kind.GAP, {"n": n}, n) for n in range(20)]
    pretender = Journal(Ed25519PrivateKey.generate(), Head.of(entries[3]))
    pretender.key = Journal(KEY, Head()).key
    pretended = [pretender.entry(Kind.GAP, {"n": n}, n) for n in range(10)]
    chain, forged = signed_chain([*strange, *entries, *pretended], [KEY.public_key()])
    assert chain == entries
    assert {entry.line for entry in forged} == {entry.line for entry in [*strange, *pretended]}


@given(st.data())
def test_nothing_behind_a_changed_entry_is_taken(data: st.DataObject) -> None:
    """A changed line has another hash than the next one hangs on; the newest has its signature."""
    entries = entries_of(8)
    place = data.draw(st.integers(1, 7))
    at = data.draw(st.integers(0, len(entries[place].line) - 1))
    line = bytearray(entries[place].line)
    line[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = parse_line(bytes(line))
    except JournalDamaged:
        return
    chain, _ = signed_chain([*entries[:place], changed, *entries[place + 1 :]], [KEY.public_key()])
    assert chain == entries[:place]


def test_older_keys_count_where_a_newer_one_goes_on() -> None:
    entries = entries_of(4)
    other = Ed25519PrivateKey.generate()
    journal = Journal(other, Head.of(entries[-1]))
    entries += [journal.entry(Kind.KEY, journal.key_data(), 9), journal.entry(Kind.GAP, {}, 10)]
    assert signed_chain(entries, [other.public_key()]) == (entries, [])
