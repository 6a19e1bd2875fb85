"""Pictures as arrays, and the few things that every measure of them needs. Core, numpy.

A picture comes decoded as blue, green, red (OpenCV's order), and is worked on in grey at most 960
pixels wide, halved as often as needed: halving keeps the coder's grid of blocks on a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Grey: TypeAlias = NDArray[np.floating[Any]]  # 32 bits, mostly
Colours: TypeAlias = NDArray[np.uint8]

WIDTH_MAX = 960
#: Cells that a picture is summed up in: columns, rows.
CELLS_X, CELLS_Y = 16, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Rows by columns, 0 to 255."""

    grey: Grey
    #: Red minus green, and yellow minus blue: the opponent colours, a quarter as many each way.
    red_green: Grey
    yellow_blue: Grey


def halved(image: Colours) -> Colours:
    """Means of two by two pixels."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    even = image[:height, :width].astype(np.uint16)
    total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    halves: Colours = (total // 4).astype(np.uint8)
    return halves


def picture_of(image: Colours) -> Picture:
    """Take in a decoded picture (rows, columns, blue-green-red)."""
    while image.shape[1] > WIDTH_MAX:
        image = halved(image)
    small = image
    for _ in range(2):
        small = halved(small)
    blue, green, red = (small[:, :, n].astype(np.float32) for n in range(3))
    grey = image @ np.array([0.114, 0.587, 0.299], dtype=np.float32)  # ITU-R BT.601
    return Picture(
        grey=grey.astype(np.float32), red_green=red - green, yellow_blue=(red + green) / 2 - blue
    )


def smooth(grey: Grey, times: int = 1) -> Grey:
    """Binomial low-pass, 1-2-1 each way; one pixel is lost at each edge each time."""
    for _ in range(times):
        grey = (grey[:-2] + 2 * grey[1:-1] + grey[2:]) / 4
        grey = (grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]) / 4
    return grey


def tiles(grey: Grey, size: int) -> Grey:
    """A view of whole tiles: rows, columns, ``size``, ``size``."""
    rows, columns = grey.shape[0] // size, grey.shape[1] // size
    cut = grey[: rows * size, : columns * size]
    return cut.reshape(rows, size, columns, size).swapaxes(1, 2)


def cells(values: Grey) -> Grey:
    """Means over the 12 by 16 cells of a picture; what does not fit is left out at the ends."""
    height, width = values.shape[0] // CELLS_Y, values.shape[1] // CELLS_X
    cut = values[: height * CELLS_Y, : width * CELLS_X]
    means: Grey = cut.reshape(CELLS_Y, height, CELLS_X, width).mean(axis=(1, 3))
    return means


def shift_between(first: Grey, second: Grey) -> tuple[int, int, float]:
    """How far ``second`` is shifted against ``first`` (down, right; pixels), by phase correlation
    of the coarser half of their waves, and how clear that is (1: nothing but shifted)."""
    window = np.outer(np.hanning(first.shape[0]), np.hanning(first.shape[1])).astype(np.float32)
    one = np.fft.rfft2((first - first.mean()) * window)
    two = np.fft.rfft2((second - second.mean()) * window)
    product = two * np.conj(one)
    down_hz = np.abs(np.fft.fftfreq(first.shape[0]))[:, None]
    right_hz = np.fft.rfftfreq(first.shape[1])[None, :]
    coarse = np.hypot(down_hz, right_hz) < 0.25
    phases = np.where(coarse, product / np.maximum(np.abs(product), 1e-6), 0)
    surface = np.fft.irfft2(phases, s=first.shape) * (first.size / (2 * coarse.sum()))
    place = int(np.argmax(surface))
    down, right = divmod(place, first.shape[1])
    if down > first.shape[0] // 2:
        down -= first.shape[0]
    if right > first.shape[1] // 2:
        right -= first.shape[1]
    return down, right, float(surface.flat[place])
