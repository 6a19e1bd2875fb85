"""Text for a terminal, where Chinese characters take two columns. Core."""

from __future__ import annotations

import re
import unicodedata

WIDTH = 80
#: A word with the blanks before it, or one wide character: a line may end behind either.
_PIECE = re.compile(r"\s*(?:[^\s\u2e80-\uffef]+|[\u2e80-\uffef])")
#: May stand in the last two columns, so that it need not begin a line.
_CLOSING = "，。；：、！？）》」』”’,.;:!?)]}"


def columns(text: str) -> int:
    """Columns that it takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def wrapped(text: str, first: str = "", rest: str = "", width: int = WIDTH) -> list[str]:
    """One line's text as several of ``width`` columns at most; what is longer in itself (a path, an
    address) is not broken.

    Args:
        first, rest: what stands before the first line, and before those that follow.
    """
    lines, line = [], first
    is_begun = False
    for piece in _PIECE.findall(text):
        room = width if piece in _CLOSING else width - 2  # for what closes a sentence
        is_over = columns(line) + columns(piece) > room
        if is_begun and is_over:
            lines.append(line)
            line, piece = rest, piece.lstrip()
        line += piece if is_begun else piece.lstrip()
        is_begun = True
    return [*lines, line]
