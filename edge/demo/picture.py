"""What a demo camera sees: a moving picture with its name, its clock and a machine-readable bar.

Core: numpy only. A picture is an I420 array of ``height * 3 / 2`` rows by ``width`` columns, as
PyAV's ``VideoFrame.from_ndarray(..., format="yuv420p")`` takes it.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.demo import font

Plane = npt.NDArray[np.uint8]

_BLACK = 16
_WHITE = 235
#: The bar holds the frame number and the capture instant in milliseconds.
NUMBER_BITS = 32
MILLISECOND_BITS = 48
_BEIJING = datetime.timezone(datetime.timedelta(hours=8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """What the bar of one decoded picture says."""

    frame_number: int
    utc_ms: int


class Painter:
    """Paints the pictures of one camera; keeps the still background between pictures.

    A lost one shows nothing but blue. With grain, the middle half is noisy as at night: an encoder
    fills the bit rate it is given.
    Width and height must be even, the width at least 96 and the height at least 64, in pixels.
    """

    def __init__(
        self,
        *,
        name: str,
        width: int,
        height: int,
        hue: int,
        has_grain: bool = False,
        is_lost: bool = False,
    ) -> None:
        if width % 2 or height % 2 or width < 96 or height < 64:
            raise ValueError(f"a picture of {width}x{height} cannot be painted")
        self._name = name
        self._width = width
        self._height = height
        self._background = _background(width, height, hue)
        self._grain = _grain(width, height) if has_grain else None
        self._is_lost = is_lost
        if is_lost:
            self._background = _blue(width, height)
        self._clock_scale = max(1, width // (font.ADVANCE * 30))

    def paint(self, frame_number: int, utc_us: int) -> Plane:
        """The picture of one instant; ``utc_us`` is what its clock shows (microseconds)."""
        picture = self._background.copy()
        if self._is_lost:
            return picture
        luma = picture[: self._height]
        self._walkers(luma, frame_number)
        if self._grain is not None:
            rows = self._height // 2
            first = frame_number * 7 % (len(self._grain) - rows)
            luma[self._height // 4 : self._height // 4 + rows] += self._grain[first : first + rows]
        scale = self._clock_scale
        _write(luma, self._name[:24], row=2 * scale, column=2 * scale, scale=scale)
        clock_row = self._height - _bar_height(self._height) * 2 - 10 * scale
        _write(luma, clock_text(utc_us), row=clock_row, column=2 * scale, scale=scale)
        _draw_bars(luma, frame_number, utc_us // 1000)
        return picture

    def _walkers(self, luma: Plane, frame_number: int) -> None:
        """Three light figures that walk at different speeds."""
        size = self._height // 8
        span = self._width - size
        for walker in range(3):
            step = (frame_number * (3 + 2 * walker) + walker * span // 3) % (2 * span)
            left = step if step < span else 2 * span - step
            top = self._height // 4 + walker * size
            luma[top : top + size, left : left + size] = 110 + 40 * walker


def clock_text(utc_us: int) -> str:
    """Beijing time with milliseconds and offset, as cameras burn it in."""
    at = datetime.datetime.fromtimestamp(0, _BEIJING) + datetime.timedelta(microseconds=utc_us)
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03d}+08:00"


def read_bars(luma: npt.NDArray[Any]) -> Bars:
    """What the bar of a decoded picture says; ``luma`` is its Y plane."""
    rows = _bar_height(luma.shape[0])
    return Bars(
        frame_number=_read_row(luma[-2 * rows : -rows], NUMBER_BITS),
        utc_ms=_read_row(luma[-rows:], MILLISECOND_BITS),
    )


def _background(width: int, height: int, hue: int) -> Plane:
    picture = np.empty((height * 3 // 2, width), dtype=np.uint8)
    ramp = np.linspace(60, 120, width, dtype=np.uint8)
    picture[:height] = ramp
    picture[: height // 4] //= 2
    picture[height * 3 // 4 : height] //= 2
    chroma = picture[height:].reshape(2, height // 2, width // 2)
    chroma[0] = 128 + hue * 37 % 32 - 16
    chroma[1] = 128 + hue * 61 % 32 - 16
    return picture


def _blue(width: int, height: int) -> Plane:
    picture = np.full((height * 3 // 2, width), 41, dtype=np.uint8)
    chroma = picture[height:].reshape(2, height // 2, width // 2)
    chroma[0], chroma[1] = 240, 110  # ITU-R BT.601
    return picture


def _grain(width: int, height: int) -> Plane:
    """More rows of noise than a picture shows, so that each shows other ones."""
    numbers = np.random.default_rng(seed=width * height)
    return numbers.integers(0, 48, size=(height // 2 + 97, width), dtype=np.uint8)


def _bar_height(height: int) -> int:
    """Rows of one of the two bars, a multiple of four pixels."""
    return max(4, height // 32 // 4 * 4)


def _write(luma: Plane, text: str, *, row: int, column: int, scale: int) -> None:
    """White letters on a black box."""
    mask = font.text_mask(text, scale)[:, : luma.shape[1] - column]
    rows, columns = mask.shape
    luma[max(0, row - scale) : row + rows + scale, max(0, column - scale) : column + columns] = (
        _BLACK
    )
    luma[row : row + rows, column : column + columns][mask] = _WHITE


def _draw_bars(luma: Plane, frame_number: int, utc_ms: int) -> None:
    rows = _bar_height(luma.shape[0])
    _draw_row(luma[-2 * rows : -rows], frame_number, NUMBER_BITS)
    _draw_row(luma[-rows:], utc_ms, MILLISECOND_BITS)


def _draw_row(band: Plane, value: int, bits: int) -> None:
    cell = band.shape[1] // bits
    levels = [_WHITE if value >> (bits - 1 - bit) & 1 else _BLACK for bit in range(bits)]
    band[:] = _BLACK
    band[:, : cell * bits] = np.repeat(np.array(levels, dtype=np.uint8), cell)


def _read_row(band: npt.NDArray[Any], bits: int) -> int:
    cell = band.shape[1] // bits
    value = 0
    for bit in range(bits):
        inner = band[1:-1, bit * cell : (bit + 1) * cell]
        value = value << 1 | int(inner.mean() > 128)
    return value
