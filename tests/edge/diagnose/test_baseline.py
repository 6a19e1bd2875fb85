"""Baselines: means and extremes of what was normal, finished after a day, nothing else kept."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.diagnose.baseline import FULL, USABLE, Baseline, as_json, from_json, learn
from edge.diagnose.measures import PROFILE, Measures, Scene
from edge.diagnose.wire import fields_json, measures_of_json

NUMBERS = st.floats(0, 255, width=32)
ALWAYS = (
    *("mean", "low", "high", "brightest", "spread", "plain_share", "plain_blue", "white_share"),
    *("colour", "cast_red", "cast_yellow", "cast_ratio", "noise", "stripes", "mosaic_share"),
    "smear_share",
)
MAYBE = st.none() | NUMBERS


def scene(value: float) -> Scene:
    return Scene(
        grey=np.full((12, 16), value, np.float32),
        edges=np.full((12, 16), value / 10, np.float32),
        directions=np.full((12, 16, 4), 0.25, np.float32),
        columns=np.full(PROFILE, value, np.float32),
        rows=np.full(PROFILE, value, np.float32),
    )


@st.composite
def measured(draw: st.DrawFn) -> Measures:
    given_numbers: dict[str, Any] = {name: draw(NUMBERS) for name in ALWAYS}
    maybe: dict[str, Any] = {
        name: draw(MAYBE) for name in ("acuity", "still_mean", "still_most", "shake")
    }
    return Measures(
        **given_numbers, **maybe, decoder_errors=draw(st.integers(0, 9)), scene=scene(draw(NUMBERS))
    )


def learnt(looks: list[Measures]) -> Baseline:
    baseline = None
    for one in looks:
        baseline = learn(baseline, one)
    assert baseline is not None
    return baseline


@given(st.lists(measured(), min_size=1, max_size=12))
def test_means_lie_within_and_extremes_at_the_ends_of_what_was_seen(looks: list[Measures]) -> None:
    baseline = learnt(looks)
    assert baseline.count == len(looks)
    assert baseline.is_usable is (len(looks) >= USABLE)
    noises = [one.noise for one in looks]
    assert min(noises) - 1e-3 <= baseline.noise <= max(noises) + 1e-3
    assert abs(baseline.noise - sum(noises) / len(noises)) < 1e-2
    assert baseline.stripes == max(one.stripes for one in looks)
    stills = [one.still_most for one in looks if one.still_most is not None]
    assert baseline.still_most == (min(stills) if stills else None)
    greys = [float(one.scene.grey[0, 0]) for one in looks]
    assert abs(float(baseline.scene.grey[5, 5]) - sum(greys) / len(greys)) < 1e-1


@given(measured(), measured())
def test_a_finished_baseline_stands(first: Measures, second: Measures) -> None:
    baseline = learnt([first])
    finished = Baseline(
        **{name: getattr(baseline, name) for name in Baseline.__slots__ if name != "count"},
        count=FULL,
    )
    assert learn(finished, second) is finished


@given(st.lists(measured(), min_size=1, max_size=3))
def test_it_comes_back_from_its_file_as_it_was(looks: list[Measures]) -> None:
    baseline = learnt(looks)
    again = from_json(json.loads(json.dumps(as_json(baseline))))
    assert again is not None
    assert as_json(again) == as_json(baseline)


@given(measured())
def test_measures_come_through_the_pipe(measures: Measures) -> None:
    told = json.loads(json.dumps(fields_json(measures)))
    assert fields_json(measures_of_json(told)) == fields_json(measures)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@given(_JSON, measured(), st.data())
def test_anything_else_is_no_baseline(junk: Any, measures: Measures, data: st.DataObject) -> None:
    assert from_json(junk) is None
    document = as_json(learnt([measures]))
    name = data.draw(st.sampled_from(sorted(document)))
    document[name] = data.draw(st.sampled_from(["", [], {}, float("nan"), float("inf"), "12"]))
    assert from_json(document) is None


def test_what_is_kept_is_numbers_that_show_nobody() -> None:
    """16 by 12 cells and two profiles: the whole of it, whatever the camera's size."""
    document = as_json(learnt([plain()]))
    kept = {name: len(values) for name, values in document.pop("scene").items()}
    assert kept == {"grey": 192, "edges": 192, "directions": 768, "columns": 240, "rows": 240}
    assert all(value is None or type(value) in (int, float) for value in document.values())


def plain() -> Measures:
    zeros = dict.fromkeys(
        ALWAYS,
        0.0,
    )
    return Measures(
        **zeros,
        acuity=None,
        still_mean=None,
        still_most=None,
        shake=None,
        decoder_errors=0,
        scene=scene(9),
    )
