"""edge.demo.picture: pictures that people and programs can read."""

import pytest

from edge.demo.picture import Bars, Painter, clock_text, read_bars

_NOW_US = 1_795_474_249_364_000


@pytest.mark.parametrize(("width", "height"), [(640, 360), (320, 180), (96, 64), (1920, 1080)])
def test_the_bars_tell_frame_number_and_instant(width: int, height: int) -> None:
    painter = Painter(name="gate", width=width, height=height, hue=1)
    picture = painter.paint(123_456, _NOW_US)
    assert picture.shape == (height * 3 // 2, width)
    assert read_bars(picture[:height]) == Bars(frame_number=123_456, utc_ms=_NOW_US // 1000)


def test_the_picture_moves_and_its_background_stays() -> None:
    painter = Painter(name="gate", width=320, height=180, hue=1)
    first = painter.paint(0, _NOW_US)
    assert (painter.paint(5, _NOW_US) != first).any()
    assert (painter.paint(0, _NOW_US) == first).all()


def test_the_clock_is_beijing_time_with_milliseconds() -> None:
    assert clock_text(_NOW_US) == "2026-11-24 06:50:49.364+08:00"
    assert clock_text(0) == "1970-01-01 08:00:00.000+08:00"


@pytest.mark.parametrize(("width", "height"), [(641, 360), (640, 361), (94, 64), (96, 62)])
def test_a_size_that_cannot_be_painted_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="cannot be painted"):
        Painter(name="x", width=width, height=height, hue=0)


def test_grain_fills_the_bit_rate_and_leaves_the_bars_readable() -> None:
    painter = Painter(name="gate", width=320, height=180, hue=1, has_grain=True)
    one, two = painter.paint(1, _NOW_US), painter.paint(2, _NOW_US)
    assert (one[45:135] != two[45:135]).mean() > 0.9
    assert read_bars(two[:180]).frame_number == 2
