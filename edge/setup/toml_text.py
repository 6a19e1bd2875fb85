"""Plain values written as TOML 1.0. Core."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_text(document: Mapping[str, Any]) -> str:
    """``document`` (text, numbers, truth, lists and tables of these) as TOML.

    Raises:
        TypeError: a value of another kind.
    """
    return "\n".join(_table(document, ())).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    tables: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping) or _is_tables(value):
            tables.append((key, value))
        else:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in tables:
        below = (*path, key)
        name = ".".join(map(_key, below))
        if isinstance(value, Mapping):
            yield from ("", f"[{name}]", *_table(value, below))
        else:
            for one in value:
                yield from ("", f"[[{name}]]", *_table(one, below))


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _key(key: str) -> str:
    is_bare = key and all(char.isascii() and (char.isalnum() or char in "_-") for char in key)
    return key if is_bare else _value(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"{type(value).__name__} is nothing that settings hold")
