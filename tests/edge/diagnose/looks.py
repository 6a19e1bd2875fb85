"""Staged looks through the real path: our writer's segments, the child that decodes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from edge.diagnose.defects import Defect
from edge.diagnose.inspector import Inspector
from edge.diagnose.measures import Measures
from retention.model import US_PER_S
from tests.edge.diagnose import staging
from tests.edge.diagnose.staging import RATE, Encoded
from tests.edge.diagnose.store import APART_S, Footage, clip


@dataclass(frozen=True, slots=True)
class Stage:
    """What the camera shows in one minute."""

    defect: Defect | None = None
    strength: float = 0.5
    at: int = 0  # of the clip's pictures
    is_night: bool = False


@cache
def minute(stage: Stage, seed: int) -> tuple[Encoded, Encoded]:
    """The first and the last group of pictures of a minute."""
    frames = clip()
    chance = np.random.default_rng(seed)
    count = 11
    first = frames[(stage.at + 20) % 40 : (stage.at + 20) % 40 + 1]
    shown = np.concatenate([first, frames[stage.at : stage.at + count]])
    if stage.is_night:
        shown = staging.infrared(shown, chance)
    seconds = [0.0, *(APART_S + n / RATE for n in range(count))]
    shown = staging.camera_shows(shown, stage.defect, stage.strength, seconds, chance)
    both = staging.encode(shown, RATE, crf=26, key=1)
    return both.cut(0, 1), both.cut(1, len(shown))


def record(footage: Footage, *stages: Stage) -> None:
    """A minute for each; of a frozen picture two that are the same, of which the second counts."""
    minutes = []
    for n, stage in enumerate(stages):
        shown = minute(stage, footage.minutes + n)
        if stage.defect is Defect.FROZEN:
            minutes.append(shown)
        footage.marks.append(footage.minutes + len(minutes))
        minutes.append(shown)
    footage.add(*minutes)


def measures_of(footage: Footage) -> list[Measures]:
    """What the child measures of each stage's minute."""
    inspector = Inspector(footage.site.index_path, footage.site.volumes)
    try:
        found = []
        for number in footage.marks:
            until_us = footage.start_us + (number * 60 + 59) * US_PER_S
            looked = inspector.look(footage.camera, until_us, 0)
            assert looked.measures is not None, looked
            found.append(looked.measures)
        return found
    finally:
        inspector.close()
