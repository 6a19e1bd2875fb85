"""Walks along a chain: what was signed is found again, and nothing else passes."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from retention.chain import FIRST_LINK, link_all, ranges_of
from retention.chain_walk import ChainedSegments, DeletedPiece, Walk, walk


def _digest(number: int) -> bytes:
    return hashlib.sha256(f"segment {number}".encode()).digest()


def _chain(*checkpoints: list[int]) -> list[ChainedSegments]:
    made: list[ChainedSegments] = []
    position, before = 0, FIRST_LINK
    for numbers in checkpoints:
        after = link_all(before, [(number, _digest(number)) for number in numbers])
        made.append(
            ChainedSegments(
                position=position,
                numbers=ranges_of(numbers),
                segments=len(numbers),
                before=before,
                after=after,
                name=f"checkpoint {len(made)}",
            )
        )
        position, before = position + len(numbers), after
    return made


def _links(checkpoints: list[list[int]]) -> tuple[list[int], list[bytes]]:
    order = [number for numbers in checkpoints for number in numbers]
    links = [FIRST_LINK]
    for number in order:
        links.append(link_all(links[-1], [(number, _digest(number))]))
    return order, links


def _pieces(checkpoints: list[list[int]], gone: set[int]) -> list[DeletedPiece]:
    """As a sweeper tells them: longest stretches, cut only where numbers do not rise."""
    order, links = _links(checkpoints)
    pieces: list[DeletedPiece] = []
    start = None
    for place in range(len(order) + 1):
        inside = place < len(order) and order[place] in gone
        falls = start is not None and inside and order[place] < order[place - 1]
        if start is not None and (not inside or falls):
            numbers = order[start:place]
            pieces.append(
                DeletedPiece(
                    numbers=ranges_of(numbers),
                    before=links[start],
                    after=links[place],
                    name=f"tombstone {len(pieces)}",
                )
            )
            start = None
        if inside and start is None:
            start = place
    return pieces


lists = st.lists(st.integers(1, 40), unique=True, min_size=1, max_size=24)
splits = st.tuples(lists, st.sets(st.integers(1, 23)), st.sets(st.integers(1, 40)))


def _cut(numbers: list[int], places: set[int]) -> list[list[int]]:
    ends = [*sorted(place for place in places if place < len(numbers)), len(numbers)]
    pieces, start = [], 0
    for end in ends:
        pieces.append(sorted(numbers[start:end]))
        start = end
    return pieces


def _walked(
    checkpoints: list[ChainedSegments],
    pieces: list[DeletedPiece],
    known: dict[int, bytes],
    *,
    is_whole: bool = True,
) -> Walk:
    return walk(checkpoints, pieces, known.get, is_whole=is_whole)


@given(splits)
def test_what_is_there_and_what_was_taken_away_add_up(
    drawn: tuple[list[int], set[int], set[int]],
) -> None:
    numbers, places, wanted = drawn
    parts = _cut(numbers, places)
    gone = wanted & set(numbers)
    known = {number: _digest(number) for number in numbers if number not in gone}
    result = _walked(_chain(*parts), _pieces(parts, gone), known)
    assert result.breaks == []
    assert (result.segments, result.deleted) == (len(known), len(gone))


@given(splits, st.data())
def test_any_part_of_it_can_be_walked_alone(
    drawn: tuple[list[int], set[int], set[int]], data: st.DataObject
) -> None:
    numbers, places, wanted = drawn
    parts = _cut(numbers, places)
    gone = wanted & set(numbers)
    known = {number: _digest(number) for number in numbers if number not in gone}
    chain = _chain(*parts)
    chosen = sorted(data.draw(st.sets(st.integers(0, len(chain) - 1), min_size=1)))
    some = [chain[place] for place in chosen]
    assert _walked(some, _pieces(parts, gone), known, is_whole=False).breaks == []


@given(splits, st.data())
def test_a_changed_removed_or_inserted_segment_breaks_it(
    drawn: tuple[list[int], set[int], set[int]], data: st.DataObject
) -> None:
    numbers, places, wanted = drawn
    parts = _cut(numbers, places)
    gone = wanted & set(numbers)
    known = {number: _digest(number) for number in numbers if number not in gone}
    pieces = _pieces(parts, gone)
    chain = _chain(*parts)
    kinds = ["swap a link", "drop a checkpoint"] if len(chain) > 1 else ["swap a link"]
    kinds += ["change", "remove"] if known else []
    kinds += ["drop a tombstone", "bend a tombstone", "bring back"] if pieces else []
    kind = data.draw(st.sampled_from(kinds))
    if kind in ("change", "remove"):
        number = data.draw(st.sampled_from(sorted(known)))
        if kind == "change":
            known[number] = _digest(1000)
        else:
            del known[number]
    elif kind == "bring back":
        known[data.draw(st.sampled_from(sorted(gone)))] = _digest(2000)
    elif kind == "drop a tombstone":
        pieces.pop(data.draw(st.integers(0, len(pieces) - 1)))
    elif kind == "bend a tombstone":
        place = data.draw(st.integers(0, len(pieces) - 1))
        name = data.draw(st.sampled_from(["before", "after"]))
        piece, bent = pieces[place], _digest(3000)
        pieces[place] = (
            replace(piece, before=bent) if name == "before" else replace(piece, after=bent)
        )
    elif kind == "drop a checkpoint":
        chain.pop(data.draw(st.integers(0, len(chain) - 2)))
    else:
        place = data.draw(st.integers(0, len(chain) - 1))
        chain[place] = replace(chain[place], after=_digest(4000))
    assert _walked(chain, pieces, known).breaks


def test_a_segment_that_is_going_is_passed_as_gone() -> None:
    parts = [[1, 2, 3]]
    known = {number: _digest(number) for number in (1, 2, 3)}
    result = walk(_chain(*parts), _pieces(parts, {2}), known.get, {2}.__contains__)
    assert result.breaks == []
    assert result.deleted == 1
    assert walk(_chain(*parts), _pieces(parts, {2}), known.get).breaks
