"""What differs between two versions of the settings, for the record. Core.

Values are told, since how long footage is kept is nobody's secret; where a password stands, and
whose it is, is not told. Tables with an id or a name go by it, not by their place in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from config.schema import Settings

#: Told only as changed.
WITHOUT_VALUE = frozenset({"username", "password_file", "webhook_token_file"})


def changes(old: Settings, new: Settings) -> list[str]:
    """One line a difference, as in ``retention.max_days: 97 -> 120``, in the order of the file."""
    return list(_differences("", old, new))


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    old, new = _plain(old, new), _plain(new, old)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in old:
                yield f"{where}: added"
            elif key not in new:
                yield f"{where}: removed"
            elif key in WITHOUT_VALUE and old[key] != new[key]:
                yield f"{where}: changed"
            else:
                yield from _differences(where, old[key], new[key])
    else:
        yield f"{path}: {_text(old)} -> {_text(new)}"


def _plain(value: Any, other: Any) -> Any:
    """A table, or a list of named tables, as a mapping; so is an empty list beside one."""
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, tuple) and all(isinstance(item, BaseModel) for item in value or other):
        return {str(getattr(item, "id", getattr(item, "name", ""))): item for item in value}
    return value


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_text, value))}]"
    return "none" if value is None else str(value)
