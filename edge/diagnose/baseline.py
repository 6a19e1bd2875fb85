"""What a camera's picture looks like when it is right, by day and by night. Core, numpy.

Learnt from normal checks alone: of use after :data:`USABLE` of them, finished after :data:`FULL`
(a day at one check in five minutes). From then on it stands, so that dust that settles slowly
or a bracket that sinks is not learnt along; an administrator has it learnt anew.

Kept are numbers: means and extremes of the measures, and the running mean of
:class:`edge.diagnose.measures.Scene`: 16 by 12 cells of grey, edge strength and four directions of
edges, and two rows of 240 edge strengths. Nobody can be recognised in these, the less so as they
are means of many pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from edge.diagnose.measures import Measures, Scene
from edge.diagnose.pictures import Grey
from edge.diagnose.wire import fields_json, fields_of_json

USABLE = 6
FULL = 288
#: Pictures with less colour come from a camera in its night mode.
NIGHT_COLOUR = 4.0


class Light(StrEnum):
    DAY = "day"
    NIGHT = "night"  # grey: the infrared filter is out of the way


def light_of(measures: Measures) -> Light:
    return Light.NIGHT if measures.colour < NIGHT_COLOUR else Light.DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Of one camera in one light."""

    count: int
    acuity: float | None  # mean
    noise: float  # mean
    cast_red: float  # mean
    cast_yellow: float  # mean
    stripes: float  # greatest
    white_share: float  # greatest
    mosaic_share: float  # greatest
    smear_share: float  # greatest
    still_most: float | None  # least: something always moved as much, if only the clock
    scene: Scene  # mean

    @property
    def is_usable(self) -> bool:
        return self.count >= USABLE


def learn(known: Baseline | None, measures: Measures) -> Baseline:
    """With one more normal check; a finished baseline stays as it is."""
    if known is None:
        return Baseline(
            count=1,
            acuity=measures.acuity,
            noise=measures.noise,
            cast_red=measures.cast_red,
            cast_yellow=measures.cast_yellow,
            stripes=measures.stripes,
            white_share=measures.white_share,
            mosaic_share=measures.mosaic_share,
            smear_share=measures.smear_share,
            still_most=measures.still_most,
            scene=measures.scene,
        )
    if known.count >= FULL:
        return known
    share = 1 / (known.count + 1)
    return Baseline(
        count=known.count + 1,
        acuity=_mean(known.acuity, measures.acuity, share),
        noise=known.noise + (measures.noise - known.noise) * share,
        cast_red=known.cast_red + (measures.cast_red - known.cast_red) * share,
        cast_yellow=known.cast_yellow + (measures.cast_yellow - known.cast_yellow) * share,
        stripes=max(known.stripes, measures.stripes),
        white_share=max(known.white_share, measures.white_share),
        mosaic_share=max(known.mosaic_share, measures.mosaic_share),
        smear_share=max(known.smear_share, measures.smear_share),
        still_most=_least(known.still_most, measures.still_most),
        scene=_scene_mean(known.scene, measures.scene, share),
    )


def _mean(known: float | None, new: float | None, share: float) -> float | None:
    if known is None or new is None:
        return new if known is None else known
    return known + (new - known) * share


def _least(known: float | None, new: float | None) -> float | None:
    if known is None or new is None:
        return new if known is None else known
    return min(known, new)


def _scene_mean(known: Scene, new: Scene, share: float) -> Scene:
    def mix(one: Grey, two: Grey) -> Grey:
        mixed: Grey = (one + (two - one) * np.float32(share)).astype(np.float32)
        return mixed

    return Scene(
        grey=mix(known.grey, new.grey),
        edges=mix(known.edges, new.edges),
        directions=mix(known.directions, new.directions),
        columns=mix(known.columns, new.columns),
        rows=mix(known.rows, new.rows),
    )


# As JSON ---------------------------------------------------------------------------------------


def as_json(baseline: Baseline) -> dict[str, Any]:
    return fields_json(baseline)


def from_json(told: Any) -> Baseline | None:
    """None for what is no baseline of this version: it is then learnt anew."""
    try:
        count = told["count"]
        if type(count) is not int or count < 1:
            return None
        return Baseline(count=count, **fields_of_json(Baseline, told, but="count"))
    except (KeyError, TypeError, ValueError):
        return None
