"""What one look at a camera measures. Core, numpy: pictures in, numbers out, no verdict.

A look is some close pictures (a fraction of a second apart) and, where there is one, a picture of
about a minute before. Everything that judgement or a baseline needs is in :class:`Measures`; the
pictures are given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.diagnose.pictures import (
    CELLS_X,
    CELLS_Y,
    Grey,
    Picture,
    cells,
    shift_between,
    smooth,
    tiles,
)

#: Directions of edges that are told apart in a cell.
DIRECTIONS = 4
#: Pictures are summed up in so many columns for finding a small move.
PROFILE = 240
_TILE = 8
ACUITY_CELLS_MIN = 12
#: Shifts that are less clear than that are none.
CLEAR_MIN = 0.05
#: Waves of less than so many grey levels are measured as if they were as strong.
STRIPES_GREY = 0.5
#: Of fewer parts one edge across the picture is the median.
PARTS_MIN = 12
_WAVES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Pictures of one check, all of one size."""

    close: Sequence[Picture]  # in order of time, at least one
    earlier: Picture | None
    decoder_errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A picture boiled down until nobody can be recognised in it: 16 by 12 cells of mean grey, of
    edge strength and of four directions of edges, and how much edge stands in each column and row.
    """

    grey: Grey  # 12, 16
    edges: Grey  # 12, 16
    directions: Grey  # 12, 16, 4; shares of each cell
    columns: Grey  # PROFILE
    rows: Grey  # PROFILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Grey levels unless said otherwise."""

    mean: float
    low: float  # 5th percentile
    high: float  # 95th
    brightest: float  # 99.5th
    spread: float  # standard deviation
    plain_share: float  # of pixels within 4 levels of the commonest grey and colour
    plain_blue: float  # that commonest colour: blue beyond yellow
    white_share: float  # of pixels at 250 and above
    colour: float  # mean distance from grey
    cast_red: float  # mean red minus green, over mean grey
    cast_yellow: float  # mean yellow minus blue, over mean grey
    cast_ratio: float  # how far the mean colour lies off grey, over how much colours scatter
    acuity: float | None  # how steep the steepest edges are: 0 to 1; None: too few edges
    noise: float
    stripes: float  # how far the strongest wave rises above waves like it
    still_mean: float | None  # difference of a minute's distance; None without an earlier picture
    still_most: float | None  # where it is greatest
    shake: float | None  # pixels, of pictures shaking to and fro; None where they do not tell
    mosaic_share: float  # of tiles that are plain and cut off
    smear_share: float  # of tiles in the decoder's grey or green
    decoder_errors: int
    scene: Scene


def measure(look: Look) -> Measures:
    """All of it; about 60 ms of CPU for pictures 960 pixels wide."""
    picture = look.close[0]
    grey = picture.grey
    low, high, brightest = np.percentile(grey[::2, ::2], (5, 95, 99.5))
    mean = float(grey.mean())
    plain_share, plain_blue = _plain(picture)
    red, yellow = float(picture.red_green.mean()), float(picture.yellow_blue.mean())
    scatter = float(
        np.abs(picture.red_green - red).mean() + np.abs(picture.yellow_blue - yellow).mean()
    )
    still_mean, still_most = _stillness(picture, look.earlier)
    mosaic, smear = _tiles_gone_wrong(picture)
    return Measures(
        mean=mean,
        low=float(low),
        high=float(high),
        brightest=float(brightest),
        spread=float(grey.std()),
        plain_share=plain_share,
        plain_blue=plain_blue,
        white_share=float((grey >= 250).mean()),
        colour=float(np.hypot(picture.red_green, picture.yellow_blue).mean()),
        cast_red=red / max(mean, 8.0),
        cast_yellow=yellow / max(mean, 8.0),
        cast_ratio=float(np.hypot(red, yellow)) / max(scatter, 1.0),
        acuity=_acuity(grey),
        noise=_noise(picture, look.earlier or look.close[-1]),
        stripes=_stripes(grey),
        still_mean=still_mean,
        still_most=still_most,
        shake=_shake(look.close),
        mosaic_share=mosaic,
        smear_share=smear,
        decoder_errors=look.decoder_errors,
        scene=scene_of(grey),
    )


def scene_of(grey: Grey) -> Scene:
    """The reduced picture that a baseline is made of."""
    low = smooth(grey, 2)
    across = low[1:-1, 2:] - low[1:-1, :-2]
    down = low[2:, 1:-1] - low[:-2, 1:-1]
    strength = np.hypot(across, down)
    strength = np.where(strength > 6, strength, 0)  # of noise nothing is to be learnt
    angle = np.arctan2(down, across)  # an edge and its opposite are one direction
    part = np.floor((angle / np.pi + 1) * DIRECTIONS + 0.5).astype(np.int32) % DIRECTIONS
    by_direction = np.stack(
        [cells(np.where(part == n, strength, 0)) for n in range(DIRECTIONS)], axis=-1
    )
    edges = by_direction.sum(axis=-1)
    return Scene(
        grey=cells(grey),
        edges=edges,
        directions=by_direction / np.maximum(edges, 1e-3)[:, :, None],
        columns=_profile(np.abs(across).mean(axis=0)),
        rows=_profile(np.abs(down).mean(axis=1)),
    )


def _profile(values: Grey) -> Grey:
    places = np.linspace(0, len(values) - 1, PROFILE)
    return np.interp(places, np.arange(len(values)), values).astype(np.float32)


def _plain(picture: Picture) -> tuple[float, float]:
    """The share of the commonest grey and colour, and how blue that is."""
    grey = picture.grey[::4, ::4][: picture.red_green.shape[0], : picture.red_green.shape[1]]
    keys = (
        (grey.astype(np.int32) >> 3) * 4096
        + (picture.red_green.astype(np.int32) + 256 >> 3) * 64
        + (picture.yellow_blue.astype(np.int32) + 256 >> 3)
    )
    values, counts = np.unique(keys, return_counts=True)
    common = int(values[np.argmax(counts)])
    centre = (common // 4096 * 8 + 4, common // 64 % 64 * 8 - 252, common % 64 * 8 - 252)
    near = (
        (np.abs(grey - centre[0]) <= 8)
        & (np.abs(picture.red_green - centre[1]) <= 12)
        & (np.abs(picture.yellow_blue - centre[2]) <= 12)
    )
    return float(near.mean()), float(-centre[2])


def _acuity(grey: Grey) -> float | None:
    """The steepest edges' rise over one pixel against their rise over six, in the sharper third of
    the cells that have edges: the camera's lettering stays sharp when the lens does not."""
    low = smooth(grey)
    ratios = []
    for one in (low, low.T):
        near = np.abs(one[:, 1:-5] - one[:, :-6])
        far = np.abs(one[:, 6:] - one[:, :-6])
        size = (one.shape[0] // CELLS_Y, (one.shape[1] - 6) // CELLS_X)
        steep, rise = (_most(values, *size) for values in (near, far))
        fit = rise > 15
        ratios += list((steep[fit] / rise[fit]).flat)
    if len(ratios) < ACUITY_CELLS_MIN:
        return None
    return float(np.percentile(ratios, 67))


def _most(values: Grey, height: int, width: int) -> Grey:
    """The 97th percentile of each cell."""
    cut = values[: height * CELLS_Y, : width * CELLS_X]
    each = cut.reshape(CELLS_Y, height, CELLS_X, width).swapaxes(1, 2).reshape(CELLS_Y, CELLS_X, -1)
    place = int(0.97 * each.shape[2])
    most: Grey = np.partition(each, place, axis=2)[:, :, place]
    return most


def _noise(picture: Picture, other: Picture) -> float:
    """Of the quieter tiles: what neither neighbours nor another picture have (standard deviation).

    The smaller one of two: in space fine texture looks like noise, in time movement does.
    """
    grey = picture.grey
    rough = (grey - _padded_smooth(grey))[1:-1, 1:-1]
    difference = (grey - other.grey)[1:-1, 1:-1]
    difference = difference - _padded_smooth(difference)
    inside = (grey > 8) & (grey < 247)
    fit = tiles(inside[1:-1, 1:-1].astype(np.float32), 16).mean(axis=(2, 3)) > 0.9
    if fit.sum() < 12:
        return 0.0
    # 1-2-1 leaves 0.64 of white noise's variance; a difference has twice of it
    space = tiles(rough, 16).std(axis=(2, 3))[fit] / 0.8
    time = tiles(difference, 16).std(axis=(2, 3))[fit] / 0.8 / 2**0.5
    return float(np.percentile(np.minimum(space, time), 30))


def _padded_smooth(grey: Grey) -> Grey:
    return np.pad(smooth(grey), 1, mode="edge")


def _stripes(grey: Grey) -> float:
    """The strongest wave that runs through most of the picture, over the median of waves of about
    its length: spectra of parts are joined by their median, so a fence in one place is none."""
    most = 0.0
    for _ in range(3):
        if (grey.shape[0] // _WAVES) * (grey.shape[1] // _WAVES) < PARTS_MIN:
            break
        most = max(most, _strongest_wave(grey))
        grey = tiles(grey, 2).mean(axis=(2, 3))
    return most


def _strongest_wave(grey: Grey) -> float:
    window = np.outer(np.hanning(_WAVES), np.hanning(_WAVES)).astype(np.float32)
    parts = tiles(grey, _WAVES)
    parts = (parts - parts.mean(axis=(2, 3), keepdims=True)) * window
    waves = np.median(np.abs(np.fft.rfft2(parts)), axis=(0, 1))
    down = np.fft.fftfreq(_WAVES, 1 / _WAVES)[:, None]
    across = np.arange(_WAVES // 2 + 1)[None, :]
    length = np.hypot(down, across)
    floor = STRIPES_GREY * float(window.sum()) / 2
    most = 0.0
    for low in range(3, _WAVES // 2 - 2, 2):
        ring = waves[(length >= low) & (length < low + 2)]
        most = max(most, float(ring.max()) / max(float(np.median(ring)), floor))
    return most


def _stillness(picture: Picture, earlier: Picture | None) -> tuple[float | None, float | None]:
    """The mean difference, and that of the tile that differs most: a running clock shows there."""
    if earlier is None or earlier.grey.shape != picture.grey.shape:
        return None, None
    each = tiles(np.abs(picture.grey - earlier.grey), _TILE).mean(axis=(2, 3))
    return float(each.mean()), float(each.max())


def _shake(close: Sequence[Picture]) -> float | None:
    """The mean step of pictures that go to and fro as a whole: of four quarters three agree."""
    if len(close) < 4:
        return None
    steps: list[NDArray[np.float64]] = []
    for first, second in zip(close, close[1:], strict=False):
        step = _common_shift(first.grey, second.grey)
        if step is not None:
            steps.append(step)
    if len(steps) < 3:
        return None
    walked = float(np.mean([np.hypot(*step) for step in steps]))
    gone = float(np.hypot(*np.sum(steps, axis=0))) / len(steps)
    return max(0.0, walked - gone)  # who pans goes somewhere


def _common_shift(first: Grey, second: Grey) -> NDArray[np.float64] | None:
    height, width = first.shape[0] // 2, first.shape[1] // 2
    found = []
    for top in (0, height):
        for left in (0, width):
            place = (slice(top, top + height), slice(left, left + width))
            down, right, clear = shift_between(first[place], second[place])
            if clear > CLEAR_MIN:
                found.append((down, right))
    for one in found:
        alike = [two for two in found if abs(one[0] - two[0]) <= 1 and abs(one[1] - two[1]) <= 1]
        if len(alike) >= 3:
            mean: NDArray[np.float64] = np.array(alike, dtype=np.float64).mean(axis=0)
            return mean
    return None


def _tiles_gone_wrong(picture: Picture) -> tuple[float, float]:
    """Shares of tiles that are plain and cut off from two neighbours or more, and of those in the
    grey or green that decoders show where they have nothing."""
    parts = tiles(picture.grey, _TILE)
    mean, scatter = parts.mean(axis=(2, 3)), parts.std(axis=(2, 3))
    plain = scatter < 2.5
    down, right = (np.abs(np.diff(mean, axis=axis)) > 12 for axis in (0, 1))
    jumps = np.zeros(mean.shape, dtype=np.int32)
    jumps[:-1] += down
    jumps[1:] += down
    jumps[:, :-1] += right
    jumps[:, 1:] += right
    mosaic = float((plain & (jumps >= 2)).mean())
    red_green = tiles(picture.red_green, _TILE // 4)
    yellow_blue = tiles(picture.yellow_blue, _TILE // 4)
    rows, columns = min(mean.shape[0], red_green.shape[0]), min(mean.shape[1], red_green.shape[1])
    mean, scatter = mean[:rows, :columns], scatter[:rows, :columns]
    red = red_green[:rows, :columns].mean(axis=(2, 3))
    yellow = yellow_blue[:rows, :columns].mean(axis=(2, 3))
    nothing = (np.abs(mean - 129) < 5) & (np.abs(red) < 4) & (np.abs(yellow) < 4)
    green = (np.abs(mean - 79) < 15) & (np.abs(red + 135) < 25) & (np.abs(yellow - 67) < 20)
    return mosaic, float(((nothing | green) & (scatter < 1)).mean())
