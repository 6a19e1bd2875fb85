"""Values as JSON knows them, and back, by the types that dataclasses declare. Core.

For messages between our own processes: a class is declared once, and nothing is written by hand
for it. Known types: ``int``, ``float``, ``bool``, ``str``, ``bytes`` (base64), string enumerations,
dataclasses (a list of their fields in order), ``tuple[X, ...]``, ``dict[str, X]``, ``X | None``.
What does not fit the declaration is refused: a value read back is of the declared type.
"""

from __future__ import annotations

import base64
import dataclasses
import types
from collections.abc import Callable, Hashable
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from config.errors import XueliangError

_Convert = Callable[[Any], Any]


class NotPlain(XueliangError):
    """A value is not what its message declares."""

    code = "not_plain"


@cache
def encoder(kind: Hashable) -> _Convert:
    """Turns values of a type into what :mod:`json` takes. Raises TypeError for unknown types."""
    if kind in (int, float, bool, str):
        return _same
    if kind is bytes:
        return _to_base64
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return str
    if dataclasses.is_dataclass(kind):
        parts = tuple((name, encoder(part)) for name, part in _fields(kind))
        return lambda value: [convert(getattr(value, name)) for name, convert in parts]
    inner, shape = _generic(kind)
    convert = encoder(inner)
    if shape is None:
        return lambda value: None if value is None else convert(value)
    if shape is dict:
        return lambda value: {key: convert(one) for key, one in value.items()}
    return lambda value: [convert(one) for one in value]


@cache
def decoder(kind: Hashable) -> _Convert:
    """The way back; it raises :class:`NotPlain` for what the type does not allow."""
    if kind in (int, bool, str):
        return lambda value: _checked(value, kind)
    if kind is float:
        return lambda value: float(value) if type(value) is int else _checked(value, float)
    if kind is bytes:
        return _from_base64
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return lambda value: _word(kind, value)
    if dataclasses.is_dataclass(kind):
        return _dataclass_decoder(kind)
    inner, shape = _generic(kind)
    convert = decoder(inner)
    if shape is None:
        return lambda value: None if value is None else convert(value)
    if shape is dict:
        return lambda value: {
            _checked(key, str): convert(one) for key, one in _checked(value, dict).items()
        }
    return lambda value: tuple(convert(one) for one in _checked(value, list))


def _fields(kind: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    return [(one.name, hints[one.name]) for one in dataclasses.fields(kind)]


def _generic(kind: Any) -> tuple[Any, type | None]:
    """The inner type of a container and its shape; None for an optional value."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return inner[0], tuple
    if origin is dict and inner[0] is str:
        return inner[1], dict
    if origin in (Union, types.UnionType) and len(inner) == 2 and type(None) in inner:
        return next(one for one in inner if one is not type(None)), None
    raise TypeError(f"{kind} has no plain form")


def _dataclass_decoder(kind: Any) -> _Convert:
    names = tuple(name for name, _ in _fields(kind))
    converts = tuple(decoder(part) for _, part in _fields(kind))

    def decode(value: Any) -> Any:
        if type(value) is not list or len(value) != len(names):
            raise NotPlain(f"a {kind.__name__} has {len(names)} fields")
        return kind(**{n: c(v) for n, c, v in zip(names, converts, value, strict=True)})

    return decode


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise NotPlain(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _word(kind: type[StrEnum], value: Any) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        raise NotPlain(f"{str(value)[:40]!r} is no {kind.__name__}") from None


def _same(value: Any) -> Any:
    return value


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _from_base64(value: Any) -> bytes:
    try:
        return base64.b64decode(_checked(value, str), validate=True)
    except ValueError:
        raise NotPlain("base64 expected") from None
