"""The settings file, read and judged whole: every fault at once, each with its place.

Shell: reads the file, looks at the password files and resolves the volumes' paths.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config import places, rules, schema
from config.places import Key
from config.problems import ConfigError, Place, Problem
from config.rules import Fault, Raw
from config.schema import Settings
from config.secrets import file_fault

__all__ = ["ConfigError", "Place", "Problem", "load", "parse"]

#: 64 cameras with full archives take 60 KB.
FILE_BYTES_MAX = 4 * 2**20

_DECODE_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_DIGITS_UNQUOTED = re.compile(r"=\s*\d{20}\s*(#.*)?$", re.ASCII)
_TABLES: dict[str, type[BaseModel]] = {
    "site": schema.Site,
    "storage": schema.Storage,
    "retention": schema.Retention,
    "evidence": schema.Evidence,
    "camera": schema.Camera,
    "platform": schema.Platform,
    "console": schema.Console,
    "metrics": schema.Metrics,
}


def load(path: Path) -> Settings:
    """The settings in ``path``.

    Raises:
        ConfigError: with every fault that was found.
    """
    return parse(_read(path), file=str(path))


def parse(
    text: str, *, file: str, is_to_come: Callable[[Path], bool] = lambda path: False
) -> Settings:
    """The settings in ``text``; ``file`` names it in messages. Looks at the paths that it names.

    Args:
        is_to_come: whether a password file is written once the settings are known to be good.

    Raises:
        ConfigError: with every fault that was found.
    """
    try:
        raw = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise ConfigError([_syntax_problem(str(error), text, file)]) from None
    except RecursionError:
        place = Place(file=file, line=0, key="")
        raise ConfigError(
            [Problem(place=place, what="the file is nested too deep", mend="flatten it")]
        ) from None
    found: list[Fault] = []
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        found += [_field_fault(detail) for detail in error.errors(include_url=False)]
    found += [*rules.faults(raw), *_volume_faults(raw), *_password_faults(raw, is_to_come)]
    if settings is None or found:
        raise ConfigError(_problems(found, raw, text, file))
    return settings


def _read(path: Path) -> str:
    def refused(sentence: str, mend: str) -> ConfigError:
        place = Place(file=str(path), line=0, key="")
        return ConfigError([Problem(place=place, what=sentence, mend=mend)])

    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise refused("the settings file does not exist", "name one with --config") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise refused(f"the settings file cannot be read: {reason}", "mend its rights") from None
    if len(data) > FILE_BYTES_MAX:
        raise refused(f"the settings file is above {FILE_BYTES_MAX} bytes", "is it the right one?")
    try:
        # TOML knows no carriage return alone; tomllib takes \r\n as \n.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = Place(file=str(path), line=line, key="")
        problem = Problem(place=place, what="the file is not UTF-8", mend="save it as UTF-8")
        raise ConfigError([problem]) from None


def _syntax_problem(message: str, text: str, file: str) -> Problem:
    match = _DECODE_LINE.search(message)
    line = int(match[1]) if match else 0
    at_fault = text.split("\n")[line - 1] if line else ""
    mend = "mend the line; values that are text stand in quotes"
    if _DIGITS_UNQUOTED.search(at_fault.rstrip()):
        mend = "put the 20 digits in quotes"
    # tomllib quotes keys and single characters, never values.
    what = message[: match.start()] if match else message
    what = what.removesuffix(" (at end of document)")[:200]
    place = Place(file=file, line=line, key="")
    return Problem(place=place, what=f"this is not TOML: {what}", mend=mend)


def _problems(found: list[Fault], raw: Raw, text: str, file: str) -> Iterator[Problem]:
    lines = places.key_lines(text)
    for fault in dict.fromkeys(found):
        key = _shown(fault.key, raw)
        yield Problem(
            place=Place(file=file, line=places.line_of(fault.key, lines), key=key),
            what=f"{key or 'the file'} {fault.predicate}",
            mend=fault.mend,
        )


def _shown(key: Key, raw: Raw) -> str:
    """("camera", 0, "gb_id") as camera[gate-exit].gb_id, or camera[no. 1].gb_id without an id."""
    shown = ""
    for position, part in enumerate(key):
        if isinstance(part, int):
            items = rules.tables(raw, str(key[0])) if position == 1 else []
            item = items[part] if part < len(items) else {}
            name = item.get("id", item.get("name"))
            is_name = isinstance(name, str) and name.isprintable() and 0 < len(name) <= 63
            shown += f"[{name}]" if is_name else f"[no. {part + 1}]"
        else:
            name = part if part.isprintable() and len(part) <= 63 else f"{part[:40]!r}…"
            shown += f".{name}" if shown else name
    return shown


def _field_fault(detail: ErrorDetails) -> Fault:
    key: Key = tuple(detail["loc"])
    predicate, mend = _field_words(detail, key)
    return Fault(key=key, predicate=predicate, mend=mend)


def _field_words(detail: ErrorDetails, key: Key) -> tuple[str, str]:
    """Predicate and mend. Values are shown only where they are numbers: others may be secrets."""
    context: dict[str, Any] = detail.get("ctx", {})
    value = detail.get("input")
    match detail["type"]:
        case "refused":
            return context["sentence"], context["mend"]
        case "missing":
            return "is missing", "add it"
        case "extra_forbidden":
            return "is no setting", _mend_of_unknown(key)
        case "greater_than_equal" if key[-1] == "min_days":
            return f"is {value}, below the {context['ge']} days that the law asks for", (
                f"set {context['ge']} or more"
            )
        case "greater_than_equal":
            return f"is {value}, too little", f"set {context['ge']} or more"
        case "less_than_equal":
            return f"is {value}, too much", f"set {context['le']} or less"
        case "bool_type":
            return "is neither true nor false", "write true or false, without quotes"
        case "literal_error":
            return "is none of its choices", f"write {context['expected']}"
        case "too_short":
            return "is empty", "name at least one"
        case "string_too_long":
            return "is too long", f"shorten it to at most {context['max_length']} characters"
        case "string_pattern_mismatch":
            return "is malformed", f"write it to fit {context['pattern']}"
        case "model_type" | "dict_type" | "model_attributes_type":
            name = key[0] if key else ""
            head = f"[[{name}]]" if name in ("camera", "platform") else f"[{name}]"
            return "is no table", f"write it as {head}"
        case "tuple_type":
            name = key[0]
            if len(key) == 1:
                return "is no array of tables", f"write [[{name}]] instead of [{name}]"
            return "is no list", 'write it as in ["…", "…"]'
    message = detail["msg"]
    return f"is wrong: {message[:1].lower()}{message[1:]}", ""


def _mend_of_unknown(key: Key) -> str:
    name = str(key[-1])
    if "pass" in name.lower() or "secret" in name.lower():
        return "secrets stand in files of their own: remove it, and use password_file"
    known: list[str] = list(_TABLES)
    if len(key) > 1:
        model = schema.Archive if key[-2] == "archive" else _TABLES.get(str(key[0]))
        known = list(model.model_fields) if model else []
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "remove it"


def _volume_faults(raw: Raw) -> Iterator[Fault]:
    storage = rules.table(raw, "storage")
    volumes = storage.get("volumes")
    state = storage.get("state_dir")
    named: list[tuple[Key, str]] = []
    for index, volume in enumerate(volumes if isinstance(volumes, list) else []):
        named.append((("storage", "volumes", index), volume))
    named.append((("storage", "state_dir"), state or ""))
    resolved = [
        (key, path, Path(os.path.realpath(path)))
        for key, path in named
        if isinstance(path, str) and path.startswith("/") and "\0" not in path
    ]
    root = Path("/")
    for key, _, real in resolved:
        if real == root:
            yield Fault(key=key, predicate="is the root folder", mend="name a folder of its own")
    resolved = [item for item in resolved if item[2] != root]
    for position, (key, path, real) in enumerate(resolved):
        for _, other_path, other in resolved[:position]:
            if real == other:
                relation = "is the same folder as"
            elif real.is_relative_to(other):
                relation = "lies inside"
            elif other.is_relative_to(real):
                relation = "contains"
            else:
                continue
            yield Fault(
                key=key,
                predicate=f"({path}) {relation} {other_path}",
                mend="volumes and state_dir each need a folder of their own",
            )


def _password_faults(raw: Raw, is_to_come: Callable[[Path], bool]) -> Iterator[Fault]:
    for name in ("camera", "platform"):
        for index, item in enumerate(rules.tables(raw, name)):
            path = item.get("password_file")
            if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
                continue
            fault = None if is_to_come(Path(path)) else file_fault(Path(path))
            if fault is not None:
                yield Fault(
                    key=(name, index, "password_file"),
                    predicate=f"cannot be used: {fault[0]}",
                    mend=fault[1],
                )
