"""The lines of a TOML text on which its keys stand, for messages about them.

Core. A scan, not a parser: :mod:`tomllib` judges the text, this only finds keys in a text that it
took. Any other text gives a useless map, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A key as a path: names, and the index of an array's table: ("camera", 0, "id").
Key = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<text>\"\"\"(?:[^\\]|\\.)*?\"{3,5} | '''.*?'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*')
  | (?P<newline>\n)
  | (?P<open>[\[{])
  | (?P<close>[\]}])
  | (?P<equals>=)
  | (?P<dot>\.)
  | (?P<bare>[A-Za-z0-9_-]+)
  | (?P<other>[^\S\n]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[Key, int]:
    """The line (from 1) of every table and key of ``text``; keys of inline tables are left out."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    for line, statement in _statements(text):
        if statement and statement[0] == ("open", "["):
            is_array = statement[1:2] == [("open", "[")]
            table = _resolved(_names(statement), counts)
            if is_array and table:
                count = counts.get(table, 0)
                counts[table] = count + 1
                table = (*table, count)
        else:
            names = _names(statement)
            for end in range(1, len(names) + 1):
                lines.setdefault((*table, *names[:end]), line)
            continue
        lines.setdefault(table, line)
    return lines


def line_of(key: Key, lines: dict[Key, int]) -> int:
    """The line of ``key``, or of the nearest thing around it; 0 where there is none."""
    for end in range(len(key), 0, -1):
        if key[:end] in lines:
            return lines[key[:end]]
    return 0


def _statements(text: str) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Each statement's first line and its tokens up to the value (a table head keeps all)."""
    line = 1
    start = 1
    depth = 0
    has_value = False
    tokens: list[tuple[str, str]] = []
    for match in _TOKEN.finditer(text):
        kind, token = str(match.lastgroup), match.group()
        if kind == "newline" and (depth <= 0 or not has_value):
            if tokens:
                yield start, tokens
            tokens, depth, has_value = [], 0, False
        elif kind == "equals":
            has_value = True
        elif kind in ("open", "close"):
            depth += 1 if kind == "open" else -1
        if kind not in ("newline", "comment", "other", "equals") and not has_value:
            if not tokens:
                start = line
            tokens.append((kind, token))
        line += token.count("\n")
    if tokens:
        yield start, tokens


def _names(tokens: list[tuple[str, str]]) -> Key:
    names: list[str] = []
    for kind, token in tokens:
        if kind == "bare":
            names.append(token)
        elif kind == "text":
            names.append(token[1:-1])
    return tuple(names)


def _resolved(names: Key, counts: dict[Key, int]) -> Key:
    """``names`` with the index of the newest table of each array on the way: camera.0.archive."""
    path: Key = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if path in counts and position < len(names) - 1:
            path = (*path, counts[path] - 1)
    return path
