"""Looks with their labels: made at run time, through a real encoder and the real decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge.diagnose.decoder import Undecodable, decode
from edge.diagnose.defects import Defect
from edge.diagnose.measures import Look, Measures, measure
from edge.diagnose.pictures import picture_of
from retention.model import (
    US_PER_S,
    AccessUnit,
    ClockState,
    Fragment,
    MediaFormat,
    SegmentHeader,
    Track,
)
from retention.mp4.mux import Muxer
from tests.edge.diagnose import staging
from tests.edge.diagnose.staging import RATE, Encoded, Frames, View

T0 = 1_795_478_400 * US_PER_S
CLOSE = 12
#: A broken stream instead of a broken picture, in place of a light.
STREAM = "stream"
#: What happens before the sensor, which then adds its grain.
OPTICAL = frozenset(
    {Defect.TOO_DARK, Defect.TOO_BRIGHT, Defect.LOW_CONTRAST, Defect.COVERED}
    | {Defect.BLURRED, Defect.COLOUR_CAST, Defect.MOVED, Defect.SHAKING}
)
STRENGTHS = (0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look, and what was done to it (None: nothing)."""

    view: str
    label: Defect | None
    strength: float
    detail: str  # of undamaged ones: the light
    measures: Measures | None  # None: it did not decode


def mp4_of(encoded: Encoded, rate: int = RATE, start_us: int = T0) -> bytes:
    """One group of pictures as our own writer stores it."""
    muxer = Muxer(
        SegmentHeader(
            camera="gate",
            run="0" * 32,
            number=1,
            start_us=start_us,
            clock=ClockState.TRUSTED,
            format=MediaFormat(video=encoded.format),
        )
    )
    return muxer.header + muxer.fragment(fragment_of(encoded, rate, start_us))


def fragment_of(encoded: Encoded, rate: int, start_us: int) -> Fragment:
    step_us = US_PER_S // rate
    return Fragment(
        units=tuple(
            AccessUnit(track=Track.VIDEO, pts_us=start_us + n * step_us, is_key=is_key, data=data)
            for n, (data, is_key) in enumerate(zip(encoded.pictures, encoded.keys, strict=True))
        ),
        start_us=start_us,
        end_us=start_us + len(encoded.pictures) * step_us,
        is_key=True,
    )


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
    if label in OPTICAL:
        frames = staging.sensor_grain(_staged(frames, label, strength, chance), chance)
        frames = staging.with_clock(frames, seconds)
    elif label in (Defect.FROZEN, Defect.LOST):  # what stands, stands with its clock
        frames = staging.with_clock(staging.sensor_grain(frames, chance), seconds)
        frames = _staged(frames, label, strength, chance)
    else:
        frames = staging.sensor_grain(frames, chance)
        if light != STREAM:
            frames = _staged(frames, label, strength, chance)
        frames = staging.with_clock(frames, seconds)
    quality = int(chance.integers(23, 30))
    both = staging.encode(frames, RATE, crf=quality, key=1)
    earlier, later = both.cut(0, 1), both.cut(1, len(frames))
    if label is Defect.FROZEN:  # the coder's rate control has gone on meanwhile
        earlier = staging.encode(frames[:1], RATE, crf=quality + round(2 * strength))
    if label is Defect.BROKEN and light == STREAM:
        later = staging.torn(later, strength, chance)
    return look_at(mp4_of(earlier), mp4_of(later))


def _staged(
    frames: Frames, label: Defect | None, strength: float, chance: np.random.Generator
) -> Frames:
    return frames if label is None else staging.STAGES[label](frames, strength, chance)


def places(view: View, count: int) -> list[int]:
    """Pictures of a view to look at, spread over it."""
    first = round(view.apart_s * RATE)
    last = max(first, len(view.frames) - CLOSE)
    return [round(one) for one in np.linspace(first, last, count)]


LIGHTS = ("8", "9.5", "11", "12", "13", "14.5", "16", "17")


def undamaged(view: View, count: int, chance: np.random.Generator) -> Iterator[Sample]:
    """Looks over a day's light and a night under infrared."""
    for n, at in enumerate(places(view, count)):
        light = "infrared" if n % 4 == 3 else LIGHTS[int(chance.integers(len(LIGHTS)))]
        yield _sample(view, at, None, 0.0, light, chance)


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
