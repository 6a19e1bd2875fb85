"""Templates and static files, all from this folder. Shell."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from config.instants import format_instant

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, read once."""

    content: bytes
    media_type: str
    tag: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Everything in ``static/``, by name: nothing else can be asked for."""
    found = {}
    for path in sorted((HERE / "static").iterdir()):
        content = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        tag = hashlib.sha256(content).hexdigest()[:16]
        found[path.name] = StaticFile(content, kind, tag)
    return found


def asset(name: str) -> str:
    """The address of a static file; it changes with its content."""
    return f"/static/{name}?v={static_files()[name].tag}"


def local_time(zone: tzinfo) -> Callable[..., str]:
    """Instants as pages show them: ``2026-11-25 20:15:30``, of the site."""

    def show(instant_us: int | None, seconds: bool = True) -> str:
        if instant_us is None:
            return "–"
        try:
            text = format_instant(instant_us, zone, timespec="seconds")
        except OverflowError:
            return str(instant_us)
        return text[: 19 if seconds else 16].replace("T", " ")

    return show


@cache
def environment() -> jinja2.Environment:
    """Escapes everything; a name that is not given is an error."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["asset"] = asset
    found.filters["size"] = size
    return found


def size(size_bytes: float) -> str:
    """Bytes as people read them."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} TiB"


def render(template: str, values: dict[str, Any]) -> str:
    return environment().get_template(template).render(values)
