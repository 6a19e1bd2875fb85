"""Setting a site up: cameras found, tried, named; capacity; platform; checklist. Shell.

Only ``edge`` reaches cameras, so finding, trying and stills are asked of it. What is changed goes
into the settings file as any change of settings does (edge.console.settings_pages).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from config.errors import XueliangError
from config.fence import host_of, network_of
from config.load import ConfigError
from config.schema import Camera
from edge import control
from edge.console import settings_file
from edge.console.acceptance import checklist
from edge.console.commands import run_command
from edge.console.guard import BadRequest, NotFound
from edge.console.phrases import LANGUAGES
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.settings_pages import put_in_force
from edge.console.settings_text import CannotChange, quoted, with_table, with_value, without
from edge.console.visit import Visit
from edge.platform_why import platform_why
from retention.audit_chain import Action, Outcome, printable
from retention.model import GapCause

DISCOVER_TIMEOUT_S = 30.0
TRY_TIMEOUT_S = 60.0
STILL_TIMEOUT_S = 20.0
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?", re.ASCII)
ROLES = ("face", "vehicle", "general")
#: Causes of a trial that failed at a camera that answers.
REACHED = (GapCause.CAMERA_AUTH, GapCause.CAMERA_REFUSED)
ADD_FIELDS = ("id", "name", "role", "gb_id", "onvif", "rtsp", "username")


async def setup(visit: Visit) -> Response:
    return await _page(visit)


async def _page(
    visit: Visit,
    status: int = 200,
    *,
    found: list[dict[str, Any]] | None = None,
    trial: dict[str, Any] | None = None,
    still: tuple[str, str] | None = None,
    error: XueliangError | None = None,
    problems: Any = (),
) -> Response:
    """
    Args:
        found: cameras that announced themselves.
        trial: how a camera that is to be added answered.
        still: a camera's id and its picture (JPEG, Base64).
    """
    parts = visit.parts
    seen = await parts.look()
    told = (seen.told or {}).get("cameras", {})
    return visit.page(
        "setup.html",
        status,
        states={camera.id: told.get(camera.id, {}) for camera in parts.settings.camera},
        platforms=[_in_words(one, visit.language) for one in seen.platforms],
        found=found,
        trial=trial,
        other_network=_other_network(parts.settings.camera, trial, visit.form.get("onvif", "")),
        still=still,
        roles=ROLES,
        form={name: visit.form.get(name, "") for name in ADD_FIELDS},
        duplicates=_duplicates(parts.settings.camera),
        **visit.trouble(error),
        problems=problems,
    )


def _duplicates(cameras: tuple[Camera, ...]) -> list[str]:
    """Names that stand more than once: no two views may carry the same text."""
    names = [camera.name for camera in cameras]
    return sorted({name for name in names if names.count(name) > 1})


def _in_words(platform: Mapping[str, Any], language: str) -> dict[str, Any]:
    words = {
        key: platform_why(platform[key])[LANGUAGES.index(language)]
        for key in ("state", "trouble")
        if platform.get(key)
    }
    return {**platform, **words}


def _other_network(cameras: tuple[Camera, ...], trial: dict[str, Any] | None, address: str) -> str:
    """The network of a camera that was not reached, if those of the settings are in others alone:
    on an installed box it is not open to edge yet (config.fence)."""
    if trial is None or trial["cause"] in REACHED:
        return ""
    network = network_of(host_of(address.strip()))
    known = {network_of(host_of(str(one.onvif or one.rtsp or ""))) for one in cameras}
    return network if network and known and network not in known | {None} else ""


async def discover(visit: Visit) -> Response:
    try:
        found = await visit.parts.ask_edge("discover", timeout_s=DISCOVER_TIMEOUT_S)
    except XueliangError as error:
        return await _page(visit, 409, error=error)
    return await _page(visit, found=found)


async def add_camera(visit: Visit) -> Response:
    """Try it, keep its password with edge, and put it into the settings."""
    form = visit.form
    if form.get("onvif") and form.get("anyway") != "yes":
        try:
            trial = await visit.parts.ask_edge(
                "try_camera",
                timeout_s=TRY_TIMEOUT_S,
                address=form["onvif"].strip(),
                username=form.get("username", ""),
                password=form.get("password", ""),
            )
        except XueliangError as error:
            return await _page(visit, 409, error=error)
        if not trial["ok"]:
            return await _page(visit, 409, trial=trial)
    try:
        values = {name: quoted(form[name].strip()) for name in ADD_FIELDS if form.get(name)}
        if form.get("password"):
            camera = form.get("id", "").strip()
            kept = await visit.parts.ask_edge(
                "camera_password", camera=camera, password=form["password"]
            )
            await visit.record(
                Action.SETTINGS_CHANGED, f"camera:{printable(camera)[:63]}", what="password kept"
            )
            values["password_file"] = quoted(kept["password_file"])
        return await _change(visit, lambda text: with_table(text, "camera", values))
    except XueliangError as error:
        return await _page(visit, 409, error=error)


async def change_camera(visit: Visit) -> Response:
    """Name, code, role, and whether platforms get it."""
    index, _ = _camera(visit)
    form = visit.form

    def changed(text: str) -> str:
        text = with_value(text, ("camera", index, "name"), quoted(form.get("name", "").strip()))
        text = with_value(text, ("camera", index, "role"), quoted(form.get("role", "")))
        exposed = "true" if form.get("expose") == "yes" else "false"
        text = with_value(text, ("camera", index, "expose"), exposed)
        gb_id = form.get("gb_id", "").strip()
        if gb_id:
            return with_value(text, ("camera", index, "gb_id"), quoted(gb_id))
        return without(text, ("camera", index, "gb_id"))

    try:
        return await _change(visit, changed)
    except XueliangError as error:
        return await _page(visit, 409, error=error)


async def _change(visit: Visit, change: Any) -> Response:
    """Apply a change of the settings' text."""
    path = visit.parts.config_path
    found = await asyncio.to_thread(settings_file.read, path)
    try:
        text = change(found.text)
    except CannotChange as error:
        raise BadRequest(
            f"the settings file is written in a form of its own: {error}",
            hint="change it under Settings",
        ) from None
    try:
        await put_in_force(visit, text, found.digest)
    except ConfigError as error:
        return await _page(visit, 422, problems=error.problems)
    return visit.go("/setup?done=settings_applied#cameras")


async def still(visit: Visit) -> Response:
    """A picture of a camera as it is set up, for its angle and its text; on record as footage."""
    _, camera = _camera(visit)
    await visit.record(
        Action.FOOTAGE_ACCESS,
        f"cameras:{camera.id}",
        Outcome.BEGUN,
        purpose="setup_still",
        reason="开通测试 set-up test",
    )
    try:
        told = await asyncio.to_thread(
            lambda: control.ask(
                visit.parts.state_dir,
                "snapshot",
                socket_name=control.ORDERS_SOCKET_NAME,
                timeout_s=STILL_TIMEOUT_S,
                camera=camera.id,
            )
        )
    except XueliangError as error:
        return await _page(visit, 409, error=error)
    return await _page(visit, still=(camera.id, str(told["jpeg"])))


def _camera(visit: Visit) -> tuple[int, Camera]:
    for index, camera in enumerate(visit.parts.settings.camera):
        if camera.id == visit.request.path_params["id"]:
            return index, camera
    raise NotFound("there is no such camera", hint="see the list of cameras")


async def plan(visit: Visit) -> Response:
    """Capacity as it stands, or for other numbers."""
    options = []
    for name in ("cameras", "mbps", "days"):
        if text := visit.query(name).strip():
            if not _NUMBER.fullmatch(text):
                raise BadRequest(f"{name} is no number", hint="write digits")
            options += [f"--{name}", text]
    document = await run_command(visit.parts, "plan", *options)
    return visit.page("plan.html", plan=document)


async def acceptance(visit: Visit) -> Response:
    """The checklist, with what this box knows filled in, to be printed and signed."""
    return visit.page(
        "acceptance.html", checks=await checklist(visit), now=visit.parts.clock.utc_us()
    )


RULES = (
    Rule(method="GET", path="/setup", endpoint=setup, permission=Permission.SETUP, nav="nav.setup"),
    Rule(method="POST", path="/setup/discover", endpoint=discover, permission=Permission.SETUP),
    Rule(method="POST", path="/setup/cameras", endpoint=add_camera, permission=Permission.SETUP),
    Rule(
        method="POST",
        path="/setup/cameras/{id}",
        endpoint=change_camera,
        permission=Permission.SETUP,
    ),
    Rule(
        method="POST",
        path="/setup/cameras/{id}/still",
        endpoint=still,
        permission=Permission.SETUP,
    ),
    Rule(method="GET", path="/setup/plan", endpoint=plan, permission=Permission.SETUP),
    Rule(method="GET", path="/setup/acceptance", endpoint=acceptance, permission=Permission.REPORT),
)
