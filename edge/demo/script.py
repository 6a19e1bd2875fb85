"""Commands to a demo site that runs in a process of its own: one JSON object per line.

``{"camera": "yard", "do": "stall"}`` is answered with ``{"ok": true}``, or with ``"ok": false``
and an ``error``. The commands are the methods of :class:`edge.demo.camera.DemoCamera`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

from edge.demo import plan_json
from edge.demo.camera import DemoCamera
from edge.demo.rtsp_server import Misbehaviour
from edge.demo.site import DemoSite


def introduce(site: DemoSite) -> dict[str, Any]:
    """What a client must know of each camera; holds passwords."""
    return {"cameras": [_camera(camera) for camera in site.cameras.values()]}


async def perform(site: DemoSite, line: bytes) -> dict[str, Any]:
    """Carry out one command line; every fault of the line becomes an answer."""
    try:
        command = json.loads(line)
        camera = site[command.pop("camera")]
        name = command.pop("do")
        return {"ok": True, **await _do(camera, name, command)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


async def _do(camera: DemoCamera, name: str, given: dict[str, Any]) -> dict[str, Any]:
    match name:
        case "stall":
            camera.stall()
        case "resume":
            camera.resume()
        case "drop":
            camera.drop()
        case "unplug":
            camera.unplug()
        case "plug":
            await camera.plug()
        case "password":
            camera.change_password(given["password"])
        case "misbehave":
            camera.misbehaviour = Misbehaviour(given["how"])
        case "raw":
            camera.send_raw(bytes.fromhex(given["hex"]))
        case "broken_unit":
            camera.send_broken_unit()
        case "jump":
            camera.jump_timestamps(int(given["by_us"]))
        case "freeze":
            camera.freeze_timestamps(bool(given["frozen"]))
        case "switch":
            stream = plan_json.stream_from(given["stream"])
            camera.switch(await asyncio.to_thread(camera.prepare, stream))
        case "clock":
            camera.clock_offset_us = int(given["offset_us"])
        case "authority":
            camera.stream_uri_authority = given["authority"]
        case "event":
            camera.fire(given["kind"], given.get("active"))
        case "onvif_silent":
            camera.set_onvif_silent(bool(given["silent"]))
        case "sent":
            return {"sent": [dataclasses.asdict(one) for one in camera.sent]}
        case "counts":
            return camera.counts()
        case _:
            raise ValueError(f"{name!r} is no command")
    return {}


def _camera(camera: DemoCamera) -> dict[str, Any]:
    plan = camera.plan
    video = camera.media.video
    return {
        "id": plan.id,
        "name": plan.name or plan.id,
        "rtsp": camera.url,
        "onvif": camera.device.address if camera.device is not None else None,
        "username": plan.username,
        "password": plan.password,
        "profile": plan.profiles[0],
        "codec": video.codec,
        "width": video.width,
        "height": video.height,
    }
