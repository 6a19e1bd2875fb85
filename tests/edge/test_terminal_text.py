"""Lines that fit a terminal, with nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.terminal_text import columns, wrapped

WORDS = st.lists(st.text("abcé录像盘，。;-/", min_size=1, max_size=12), max_size=30)


@given(WORDS, st.integers(30, 100))
def test_lines_fit_and_nothing_is_lost(words: list[str], width: int) -> None:
    text = " ".join(words)
    lines = wrapped(text, "- ", "  ", width)
    assert all(columns(line) <= width for line in lines)
    assert "".join("".join(line[2:] for line in lines).split()) == "".join(text.split())
    assert lines[0].startswith("- ")
    assert all(line.startswith("  ") for line in lines[1:])


def test_what_is_longer_than_a_line_stays_whole() -> None:
    path = "/srv/" + "x" * 100
    assert wrapped(f"see {path} now", "", "  ") == ["see", f"  {path}", "  now"]


def test_what_closes_a_sentence_begins_no_line() -> None:
    assert wrapped("录像盘。", width=8) == ["录像盘。"]
