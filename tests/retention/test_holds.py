"""Holds: what they touch is held whole, and who may end them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.holds import (
    EVERY_CAMERA,
    Hold,
    HoldRefused,
    HoldState,
    added,
    expired,
    held,
    release,
    spans_held,
)

_HOLD = Hold(
    id="h-1",
    camera="gate",
    from_us=100,
    to_us=200,
    case="2026-17",
    requester="李警官",
    unit="派出所",
    reason="盗窃",
    expires_us=None,
    added_us=50,
    added_by="os:root",
)

_INSTANTS = st.integers(0, 60)


@st.composite
def _holds(draw: st.DrawFn) -> Hold:
    from_us = draw(_INSTANTS)
    return replace(
        _HOLD,
        id=draw(st.uuids().map(str)),
        camera=draw(st.sampled_from(["gate", "yard", EVERY_CAMERA])),
        from_us=from_us,
        to_us=from_us + draw(st.integers(1, 20)),
        expires_us=draw(st.none() | _INSTANTS),
        asked_us=draw(st.none() | _INSTANTS),
        released_us=draw(st.none() | _INSTANTS),
    )


@given(
    holds=st.lists(_holds(), max_size=5),
    start_us=_INSTANTS,
    size_us=st.integers(0, 20),
    now_us=st.none() | _INSTANTS,
)
def test_a_segment_is_held_if_any_of_its_instants_is(
    holds: list[Hold], start_us: int, size_us: int, now_us: int | None
) -> None:
    """Against the definition, instant by instant."""
    instants = range(start_us, start_us + max(size_us, 1))
    expected = any(
        hold.camera in ("gate", EVERY_CAMERA)
        and hold.released_us is None
        and not (hold.expires_us is not None and now_us is not None and hold.expires_us <= now_us)
        and any(hold.from_us <= instant < hold.to_us for instant in instants)
        for hold in holds
    )
    assert held("gate", start_us, start_us + size_us, holds, now_us) == expected
    spans = spans_held("gate", holds, now_us)
    assert expected == any(from_us <= one < to_us for from_us, to_us in spans for one in instants)
    assert spans == sorted(spans)


def test_an_asked_release_still_holds_and_a_jumped_clock_ends_nothing() -> None:
    asked = replace(_HOLD, asked_us=60, asked_by="王园长", expires_us=1000)
    assert asked.state(None) is HoldState.RELEASE_ASKED
    assert held("gate", 199, 260, [asked], 999)
    assert held("gate", 199, 260, [asked], None), "time is not trusted"
    assert not held("gate", 199, 260, [asked], 1000)
    assert asked.state(1000) is HoldState.EXPIRED
    assert replace(asked, released_us=70).state(1000) is HoldState.RELEASED


def test_two_persons_release() -> None:
    first = release(_HOLD, "王园长", two_persons=True)
    assert first == {"event": "release_asked", "id": "h-1", "by": "王园长"}
    asked = replace(_HOLD, asked_us=60, asked_by="Wang Lei")
    for same in ("Wang Lei", " wang  lei ", "ＷＡＮＧ　ＬＥＩ"):
        with pytest.raises(HoldRefused, match="another person"):
            release(asked, same, two_persons=True)
    second = release(asked, "李主任", two_persons=True)
    assert second == {"event": "released", "id": "h-1", "by": "李主任"}


def test_one_person_releases_where_the_settings_say_so() -> None:
    assert release(_HOLD, "王园长", two_persons=False)["event"] == "released"


def test_what_cannot_be_released() -> None:
    with pytest.raises(HoldRefused, match="no such hold"):
        release(None, "王园长", two_persons=True)
    gone = replace(_HOLD, released_us=1, released_by="李主任")
    with pytest.raises(HoldRefused, match="released by 李主任"):
        release(gone, "王园长", two_persons=True)
    with pytest.raises(HoldRefused, match="nobody is named"):
        release(_HOLD, "  ", two_persons=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"to_us": 100}, "ends before it begins"),
        ({"expires_us": 50}, "expires before now"),
        ({"case": " "}, "no case"),
        ({"requester": ""}, "no requester"),
        ({"reason": ""}, "no reason"),
        ({"reason": "x" * 201}, "201 characters"),
        ({"unit": "a\nb"}, "control characters"),
    ],
)
def test_a_hold_that_says_nothing_sensible_is_refused(
    changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(HoldRefused, match=sentence):
        added(replace(_HOLD, **changes), [])  # type: ignore[arg-type]


def test_an_id_is_given_once() -> None:
    with pytest.raises(HoldRefused, match="already"):
        added(_HOLD, [_HOLD])


def test_an_end_by_term_is_told_as_such() -> None:
    assert expired(_HOLD) == {"event": "released", "id": "h-1", "by": "expiry"}
