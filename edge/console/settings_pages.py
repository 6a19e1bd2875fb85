"""Settings: what is in force, and for an integrator the file, judged before it is applied. Shell.

Applying replaces the file, keeps the old one beside it, puts it on record and has the services read
it anew. No password stands in the settings; where one stands is not shown to others.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from config.changes import WITHOUT_VALUE, changes
from config.errors import XueliangError
from config.load import ConfigError, parse
from config.problems import Problem
from config.schema import Settings
from edge import control
from edge.console import settings_file
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit
from retention.audit_chain import Action, Outcome

TEXT_BYTES_MAX = 2 * 2**20
#: Changed only with a restart of the services.
NEEDS_RESTART = ("storage", "console", "metrics")
#: Volumes may be added and retire while edge runs.
LIVE_OF_STORAGE = ("volumes", "retiring")


async def settings(visit: Visit) -> Response:
    return await page(visit, 200)


async def page(
    visit: Visit,
    status: int,
    *,
    text: str | None = None,
    base: str = "",
    problems: Sequence[Problem] = (),
    differences: Sequence[str] | None = None,
    error: XueliangError | None = None,
) -> Response:
    """``text``: what the person wrote; else what stands in the file."""
    parts = visit.parts
    content = None
    if visit.may(Permission.SETTINGS):
        content = await asyncio.to_thread(settings_file.read, parts.config_path)
    return visit.page(
        "settings.html",
        status,
        tables=list(shown(parts.settings)),
        file=str(parts.config_path),
        text=text if text is not None or content is None else content.text,
        base=base or ("" if content is None else content.digest),
        problems=problems,
        differences=differences,
        restart=visit.query("restart").split(",") if visit.query("restart") else [],
        **visit.trouble(error),
    )


def shown(found: Settings) -> Any:
    """Tables of (name, rows), of what is in force; users and password files are left out."""
    for name in type(found).model_fields:
        value = getattr(found, name)
        if isinstance(value, tuple):
            for one in value:
                title = getattr(one, "id", "") or getattr(one, "name", "")
                yield f"{name} {title}", list(_rows(one))
        elif isinstance(value, BaseModel):
            yield name, list(_rows(value))


def _rows(table: BaseModel, prefix: str = "") -> Any:
    for name in type(table).model_fields:
        value = getattr(table, name)
        if name in WITHOUT_VALUE or name.endswith("_file") or value in ("", None, ()):
            continue
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{prefix}{name}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            yield f"{prefix}{name}", str(len(value))
        else:
            yield f"{prefix}{name}", _shown(value)


def _shown(value: Any) -> str:
    """As TOML has it, near enough for a reader."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


async def check(visit: Visit) -> Response:
    """Every fault of a text at once, or what it would change."""
    text = _text_of(visit)
    base = visit.form.get("base", "")
    try:
        fresh = await asyncio.to_thread(parse, text, file=str(visit.parts.config_path))
    except ConfigError as error:
        return await page(visit, 422, text=text, base=base, problems=error.problems)
    found = changes(visit.parts.settings, fresh)
    return await page(visit, 200, text=text, base=base, differences=found)


async def apply(visit: Visit) -> Response:
    text, base = _text_of(visit), visit.form.get("base", "")
    try:
        restart = await put_in_force(visit, text, base)
    except ConfigError as error:
        return await page(visit, 422, text=text, base=base, problems=error.problems)
    except XueliangError as error:
        return await page(visit, 409, text=text, base=base, error=error)
    query = f"&restart={','.join(restart)}" if restart else ""
    return visit.go(f"/settings?done=settings_applied{query}")


async def put_in_force(visit: Visit, text: str, base: str) -> list[str]:
    """Replace the file by ``text``, on record first; tables that only a restart brings in force.

    Raises:
        ConfigError, SettingsChanged, SettingsNotWritable, AuditUnavailable: the file stays.
    """
    parts, path = visit.parts, visit.parts.config_path
    old = parts.settings
    fresh = await asyncio.to_thread(parse, text, file=str(path))
    lines = changes(old, fresh)
    await visit.record(
        Action.SETTINGS_CHANGED,
        str(path),
        Outcome.BEGUN,
        changed="; ".join(lines),
        count=len(lines),
        sha256=settings_file.digest_of(text),
        was_sha256=base,
    )
    try:
        _, kept = await asyncio.to_thread(settings_file.replace, path, text, base, parts.clock)
    except XueliangError as error:
        await visit.record(Action.SETTINGS_CHANGED, str(path), Outcome.FAILED, why=str(error))
        raise
    await visit.record(Action.SETTINGS_CHANGED, str(path), kept_as=kept.name, count=len(lines))
    await _have_read(visit)
    return restarts(old, fresh)


async def _have_read(visit: Visit) -> None:
    """Edge is asked; uplink sees the new file by itself."""
    try:
        await visit.parts.ask_edge("reload")
    except (control.ControlUnavailable, control.ControlRefused):
        pass  # it reads the file when it starts
    await visit.parts.reload()


def restarts(old: Settings, new: Settings) -> list[str]:
    """Tables whose change takes a restart."""
    found = []
    for name in NEEDS_RESTART:
        before, after = getattr(old, name), getattr(new, name)
        if name == "storage" and set(before.volumes) <= set(after.volumes):
            live = {key: getattr(after, key) for key in LIVE_OF_STORAGE}
            before = before.model_copy(update=live)
        if before != after:
            found.append(name)
    return found


def differences(old: str, new: str) -> list[str]:
    """Lines that differ between two texts, as diff -u tells them."""
    return list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1))[2:]


def _text_of(visit: Visit) -> str:
    """Browsers send lines with CR LF."""
    return visit.form.get("text", "").replace("\r\n", "\n")


RULES = (
    Rule(
        method="GET",
        path="/settings",
        endpoint=settings,
        permission=Permission.SETTINGS_VIEW,
        nav="nav.settings",
    ),
    Rule(
        method="POST",
        path="/settings/check",
        endpoint=check,
        permission=Permission.SETTINGS,
        body_bytes_max=TEXT_BYTES_MAX,
    ),
    Rule(
        method="POST",
        path="/settings/apply",
        endpoint=apply,
        permission=Permission.SETTINGS,
        body_bytes_max=TEXT_BYTES_MAX,
    ),
)
