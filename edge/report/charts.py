"""Plots of a report as plain SVG: no script, nothing from elsewhere, readable without colour. Core.

Every text is escaped here; a plot's numbers stand in tables beside it, or in ``report.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

#: Of a day or a share: how good it is, its colour, and the sign that says so without colour.
LEVELS = (
    (1.0, "#1f7a4d", ""),
    (0.999, "#8cc29a", "·"),
    (0.99, "#f0cf65", "–"),
    (0.9, "#e2873a", "!"),
    (0.0, "#b3261e", "×"),
)
NOTHING = "#e4e6e8"
_LINES = ("#20639b", "#b3261e", "#1f7a4d", "#8a5a00", "#6a3d9a", "#444444")
_INK, _FAINT = "#333333", "#c8ccd0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One day of a strip."""

    ratio: float | None  # None: nothing was due
    title: str


def level(ratio: float) -> tuple[str, str]:
    """Colour and sign of a share."""
    return next((colour, sign) for least, colour, sign in LEVELS if ratio >= least)


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on a colour."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 130 else "#1a1a1a"


def strips(columns: Sequence[str], rows: Mapping[str, Sequence[Cell]], label: str) -> str:
    """A row a camera, a column a day.

    Args:
        columns: dates as people read them; every seventh is written.
    """
    left, cell, top = 150.0, min(26.0, 800.0 / max(1, len(columns))), 18
    height = 20
    parts = [
        _text(left + place * cell, 12, name[5:])
        for place, name in enumerate(columns)
        if place % 7 == 0 and (place + 3 < len(columns) or len(columns) < 4)
    ]
    for line, (name, cells) in enumerate(rows.items()):
        y = top + line * height
        parts.append(_text(0, y + 13, _short(name)))
        for place, one in enumerate(cells):
            colour, sign = (NOTHING, "") if one.ratio is None else level(one.ratio)
            x = left + place * cell
            parts.append(_box(x, y, cell - 1, height - 3, colour, one.title))
            if sign:
                parts.append(
                    f'<text x="{x + cell / 2:.1f}" y="{y + 13}" text-anchor="middle"'
                    f' font-size="10" fill="{ink_on(colour)}">{sign}</text>'
                )
    width = left + len(columns) * cell
    return _svg(max(width, 400), top + len(rows) * height, parts, label)


def bars(
    values: Mapping[str, float], unit: str, label: str, mark: tuple[float, str] | None = None
) -> str:
    """One horizontal bar each; ``mark`` is a line at a value, with its text."""
    left, room, height = 170.0, 560.0, 22
    top = 18 if mark else 4
    most = max([*values.values(), mark[0] if mark else 0, 1e-9])
    parts = []
    for line, (name, value) in enumerate(values.items()):
        y = top + line * height
        length = room * value / most
        colour = _LINES[1] if mark and value < mark[0] else _LINES[0]
        parts += [
            _text(0, y + 13, _short(name)),
            _box(left, y, length, height - 6, colour),
            _text(left + length + 6, y + 13, f"{_number(value)} {unit}"),
        ]
    bottom = top + len(values) * height
    if mark:
        x = left + room * mark[0] / most
        parts += [
            _line(x, top - 4, x, bottom, _INK, ' stroke-dasharray="4 3"'),
            _text(x, 10, mark[1], anchor="middle"),
        ]
    return _svg(left + room + 110, bottom, parts, label)


def columns(values: Mapping[str, float], unit: str, label: str) -> str:
    """A column a day, with the scale's end at the left."""
    left, room, tall = 90.0, 780.0, 110
    most = max([*values.values(), 1e-9])
    width = room / max(1, len(values))
    parts = [
        _text(0, 14, f"{_number(most)} {unit}"),
        _line(left, tall, left + room, tall, _FAINT),
    ]
    for place, (name, value) in enumerate(values.items()):
        high = (tall - 8) * value / most
        x = left + place * width
        title = f"{name}: {_number(value)} {unit}"
        parts.append(_box(x, tall - high, max(1.0, width - 1), high, _LINES[0], title))
        if place % max(1, len(values) // 10) == 0 and x < left + room - 40:
            parts.append(_text(x, tall + 14, name[5:]))
    return _svg(left + room, tall + 20, parts, label)


def dots(
    dates: Sequence[str], lines: Mapping[str, Mapping[str, float]], limit: float, label: str
) -> str:
    """Offsets by night, a line a camera, around zero; the band is what counts as right.

    What is farther off than four times the limit stands at the edge.
    """
    left, room, tall = 90.0, 640.0, 150
    middle, span = tall / 2, limit * 4
    scale = (tall / 2 - 10) / span
    step = room / max(1, len(dates) - 1)
    places = {date: left + number * step for number, date in enumerate(dates)}
    band = limit * scale
    parts = [
        _box(left, middle - band, room, 2 * band, "#e3f1e7"),
        _line(left, middle, left + room, middle, _FAINT),
        _text(0, middle - band + 4, f"+{limit:g} s"),
        _text(0, middle + band + 4, f"-{limit:g} s"),
    ]
    for number, (name, offsets) in enumerate(lines.items()):
        colour = _LINES[number % len(_LINES)]
        points = [
            (places[date], middle - max(-span, min(span, offset)) * scale)
            for date, offset in offsets.items()
            if date in places
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{colour}"/>' for x, y in points]
        parts += [
            _box(left + room + 16, 8 + number * 18, 10, 10, colour),
            _text(left + room + 32, 17 + number * 18, _short(name)),
        ]
    parts += [
        _text(places[date], tall + 12, date[5:])
        for number, date in enumerate(dates)
        if number % max(1, len(dates) // 8) == 0
    ]
    return _svg(left + room + 170, max(tall + 18, 12 + len(lines) * 18), parts, label)


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _box(x: float, y: float, width: float, height: float, colour: str, title: str = "") -> str:
    inside = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        f' fill="{colour}">{inside}</rect>'
    )


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, more: str = "") -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}"{more}/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}">{escape(text)}</text>'
    )


def _short(text: str) -> str:
    """What fits to the left of a row: a Chinese character is as wide as two letters."""
    wide = 0
    for place, character in enumerate(text):
        wide += 1 if character.isascii() else 2
        if wide > 22:
            return text[:place] + "…"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
