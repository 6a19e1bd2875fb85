"""Looks with their labels: made at run time, through a real encoder and the real decoder.

Holds OpenCV: never to be imported by a test, whose process may hold PyAV.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge.diagnose.decoder import Undecodable, decode
from edge.diagnose.defects import Defect
from edge.diagnose.measures import Look, Measures, measure
from edge.diagnose.pictures import picture_of
from tests.edge.diagnose import staging
from tests.edge.diagnose.pieces import mp4_of
from tests.edge.diagnose.staging import RATE, View

CLOSE = 12
#: A broken stream instead of a broken picture, in place of a light.
STREAM = "stream"
STRENGTHS = (0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look, and what was done to it (None: nothing)."""

    view: str
    label: Defect | None
    strength: float
    detail: str  # of undamaged ones: the light
    measures: Measures | None  # None: it did not decode


def look_at(earlier: bytes, close: bytes, count: int = 6, step: int = 2) -> Look:
    """Decode both pieces. Raises Undecodable."""
    pictures, errors = decode(close, count, step)
    before, more = decode(earlier, 1, 1)
    return Look(
        close=[picture_of(one) for one in pictures],
        earlier=picture_of(before[0]),
        decoder_errors=errors + more,
    )


def look_of(
    view: View,
    at: int,
    label: Defect | None,
    strength: float,
    light: str,
    chance: np.random.Generator,
) -> Look:
    """A look at picture ``at`` of a view and at the one before, with a defect staged in both."""
    apart = round(view.apart_s * RATE)
    close = view.frames[at : at + CLOSE]
    frames = np.concatenate([view.frames[at - apart : at - apart + 1], close])
    if light == "infrared":
        frames = staging.infrared(frames, chance)
    elif light and light != STREAM:
        frames = staging.daylight(frames, float(light))
    seconds = [100.0, *(160.0 + n / RATE for n in range(len(close)))]
    is_torn = label is Defect.BROKEN and light == STREAM
    staged = None if is_torn else label
    frames = staging.camera_shows(frames, staged, strength, seconds, chance)
    quality = int(chance.integers(23, 30))
    both = staging.encode(frames, RATE, crf=quality, key=1)
    earlier, later = both.cut(0, 1), both.cut(1, len(frames))
    if label is Defect.FROZEN:  # the coder's rate control has gone on meanwhile
        earlier = staging.encode(frames[:1], RATE, crf=quality + round(2 * strength))
    if is_torn:
        later = staging.torn(later, strength, chance)
    return look_at(mp4_of(earlier), mp4_of(later))


def places(view: View, count: int) -> list[int]:
    """Pictures of a view to look at, spread over it."""
    first = round(view.apart_s * RATE)
    last = max(first, len(view.frames) - CLOSE)
    return [round(one) for one in np.linspace(first, last, count)]


LIGHTS = ("8", "9.5", "11", "12", "13", "14.5", "16", "17")


def undamaged(view: View, count: int, chance: np.random.Generator) -> Iterator[Sample]:
    """Looks over a day's light and a night under infrared."""
    for n, at in enumerate(places(view, count)):
        light = "infrared" if n % 2 else LIGHTS[int(chance.integers(len(LIGHTS)))]
        yield _sample(view, at, None, 0.0, light, chance)


def sequence(view: View, count: int, chance: np.random.Generator) -> Iterator[Sample]:
    """A camera's undamaged checks, one after the other: light goes from morning to evening, the
    last quarter is night under infrared."""
    spots = places(view, 12)
    for n in range(count):
        hour = 7.5 + 10 * n / (0.75 * count)
        light = "infrared" if n >= 0.75 * count else f"{hour:.2f}"
        yield _sample(view, spots[n * 5 % 12], None, 0.0, light, chance)


def damaged(
    view: View,
    each: int,
    chance: np.random.Generator,
    defects: Sequence[Defect] = tuple(Defect),
) -> Iterator[Sample]:
    """``each`` looks of each defect and strength; a third of them at night, colours apart."""
    for defect in defects:
        for strength in STRENGTHS:
            for at in (int(one) for one in chance.choice(places(view, 4 * each), each, False)):
                is_night = defect is not Defect.COLOUR_CAST and chance.random() < 1 / 3
                light = "infrared" if is_night else LIGHTS[int(chance.integers(len(LIGHTS)))]
                if defect is Defect.BROKEN and chance.random() < 0.4:
                    light = STREAM
                yield _sample(view, at, defect, strength, light, chance)


def _sample(
    view: View,
    at: int,
    label: Defect | None,
    strength: float,
    light: str,
    chance: np.random.Generator,
) -> Sample:
    try:
        measures = measure(look_of(view, at, label, strength, light, chance))
    except Undecodable:
        assert light == STREAM, "staged footage must decode"
        measures = None
    return Sample(view=view.name, label=label, strength=strength, detail=light, measures=measures)
