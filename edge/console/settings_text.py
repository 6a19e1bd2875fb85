"""Small changes to the text of a settings file, comments and all else left as they are. Core.

The text is TOML that :mod:`config.load` has taken. What comes out is read and judged again before
it is put in force; so a change that went wrong here is refused there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from config.places import Key, key_lines

_ASSIGNMENT = re.compile(
    r"""(\s*[A-Za-z0-9_-]+\s*=\s*)          # the key
    ("(?:[^"\\]|\\.)*" | '[^']*' | [^\#"'\[{]*?)  # a value in one line: no list or table
    (\s*(?:\#.*)?)                        # a comment
    """,
    re.VERBOSE,
)


class CannotChange(ValueError):
    """The value does not stand on a line of its own, in a form that is understood here."""


def quoted(text: str) -> str:
    """A TOML basic string: what JSON writes is one (TOML 1.0, strings)."""
    return json.dumps(text, ensure_ascii=False)


def with_value(text: str, key: Key, value: str) -> str:
    """``text`` with ``key`` (of a table that stands there) set to ``value``, written as TOML.

    Raises:
        CannotChange: the table is not there, or the value stands in a form of its own.
    """
    lines, known = text.split("\n"), key_lines(text)
    if key in known:
        place = known[key] - 1
        match = _ASSIGNMENT.fullmatch(lines[place])
        if match is None:
            raise CannotChange(f"line {place + 1} is changed by hand")
        lines[place] = f"{match[1]}{value}{match[3]}"
        return "\n".join(lines)
    if key[:-1] not in known:
        raise CannotChange("its table does not stand in the file")
    head = known[key[:-1]] - 1
    if not lines[head].lstrip().startswith("["):
        raise CannotChange(f"line {head + 1} is changed by hand")
    lines.insert(head + 1, f"{key[-1]} = {value}")
    return "\n".join(lines)


def without(text: str, key: Key) -> str:
    """``text`` without the line of ``key``; as it is where there is none.

    Raises:
        CannotChange: the value takes more than a line.
    """
    known = key_lines(text)
    if key not in known:
        return text
    lines, place = text.split("\n"), known[key] - 1
    if _ASSIGNMENT.fullmatch(lines[place]) is None:
        raise CannotChange(f"line {place + 1} is changed by hand")
    del lines[place]
    return "\n".join(lines)


def with_table(text: str, name: str, values: Mapping[str, str]) -> str:
    """``text`` with one more ``[[name]]`` behind it; values are written as TOML."""
    lines = [f"[[{name}]]", *(f"{key} = {value}" for key, value in values.items())]
    return text.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n"
