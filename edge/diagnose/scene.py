"""What has become of a scene since it was learnt: hidden, gone, or shifted. Core, numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.diagnose.measures import PROFILE, Scene
from edge.diagnose.pictures import Grey

#: Mean edge strength of a cell that has something in it.
TEXTURED = 1.5
#: Cells with something in them that a scene must have to be compared.
TEXTURED_MIN = 20
#: Grey levels by which a cell differs that shows something else.
CHANGED = 18.0
#: Profiles of a scene and of the same scene shifted agree by as much, people walking about or not.
AGREEING = 0.35
#: Moves are looked for up to this share of the picture.
REACH = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Shares are of the picture or of its cells with something in them, 0 to 1."""

    textured: float  # cells with something in them
    hidden: float  # the largest connected part that has lost its edges
    kept: float | None  # of the cells with something in them: those that show the same edges
    kept_outside: float | None  # the same, of those outside the hidden part
    left: float  # of all edges there were: how much edge there is now
    alike: float  # how well the greys of the cells agree, -1 to 1
    shift: float  # how far the picture has gone sideways or up and down
    shift_gain: float  # how much better it agrees there than where it was, 0 to 2


def compare(now: Scene, before: Scene) -> Change:
    """``before`` is a baseline's."""
    textured = before.edges > TEXTURED
    strong = now.edges > 0.3 * before.edges
    factor, offset = _exposure(now, before, textured & strong)
    changed = np.abs(now.grey - (factor * before.grey + offset)) > CHANGED
    # a darker picture has weaker edges everywhere
    lost = textured & (now.edges < 0.25 * min(1.0, factor) * before.edges)
    plain = ~textured & (now.edges < TEXTURED) & changed
    hidden = _largest(lost | plain)
    cosine = (now.directions * before.directions).sum(axis=2) / np.maximum(
        np.linalg.norm(now.directions, axis=2) * np.linalg.norm(before.directions, axis=2), 1e-6
    )
    kept = textured & strong & (cosine > 0.85)
    columns = _shift(now.columns, before.columns)
    rows = _shift(now.rows, before.rows)
    shift, gain = max(columns, rows, key=lambda one: one[1])
    return Change(
        textured=float(textured.mean()),
        hidden=float(hidden.mean()),
        kept=_share(kept, textured),
        kept_outside=_share(kept, textured & ~hidden),
        left=float(now.edges.sum()) / max(float(before.edges.sum()), 1e-3),
        alike=_correlation(now.grey, before.grey),
        shift=shift,
        shift_gain=gain,
    )


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float | None:
    count = int(whole.sum())
    return float((part & whole).sum()) / count if count >= TEXTURED_MIN else None


def _exposure(now: Scene, before: Scene, fit: NDArray[np.bool_]) -> tuple[float, float]:
    """Factor and offset that make the greys of before those of now, of cells that still show the
    same; the camera's exposure goes with the light."""
    if fit.sum() < 12 or float(before.grey[fit].std()) < 4:
        return 1.0, 0.0
    factor, offset = np.polyfit(before.grey[fit], now.grey[fit], 1)
    return float(np.clip(factor, 0.3, 3.0)), float(offset)


def _correlation(one: Grey, two: Grey) -> float:
    one, two = one - one.mean(), two - two.mean()
    size = float(np.sqrt((one**2).sum() * (two**2).sum()))
    return float((one * two).sum()) / size if size > 1e-3 else 0.0


def _shift(now: Grey, before: Grey) -> tuple[float, float]:
    """How far a profile has gone (a share of it), and how much better it agrees there."""
    now, before = _sharpened(now), _sharpened(before)
    reach = int(REACH * PROFILE)
    agreement = np.array(
        [
            _correlation(
                now[max(0, by) : PROFILE + min(0, by)], before[max(0, -by) : PROFILE - max(0, by)]
            )
            for by in range(-reach, reach + 1)
        ]
    )
    best = int(np.argmax(agreement))
    still = float(agreement[reach - 1 : reach + 2].max())
    if agreement[best] < AGREEING:
        return 0.0, 0.0
    return abs(best - reach) / PROFILE, float(agreement[best]) - still


def _sharpened(profile: Grey) -> Grey:
    """Without what changes slowly over it, as light does."""
    wide = np.convolve(np.pad(profile, 12, mode="edge"), np.ones(25) / 25, mode="valid")
    sharp: Grey = (profile - wide).astype(np.float32)
    return sharp


def _largest(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part."""
    left = {(int(row), int(column)) for row, column in np.argwhere(cells)}
    largest: list[tuple[int, int]] = []
    while left:
        part = [left.pop()]
        for row, column in part:  # grows while it is walked
            for near in (
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            ):
                if near in left:
                    left.remove(near)
                    part.append(near)
        largest = max(largest, part, key=len)
    found = np.zeros(cells.shape, dtype=np.bool_)
    for place in largest:
        found[place] = True
    return found
