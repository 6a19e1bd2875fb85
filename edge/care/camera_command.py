"""``xueliang camera``: what a camera is set to, and setting it, on record. Shell.

Works beside a running ``edge`` or without one; talks to the camera through an ONVIF process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict
from typing import Any, TypeVar

from config.address import Address
from config.errors import XueliangError
from config.log import hide
from config.schema import Camera, Settings
from config.secrets import Secret, read_secret
from edge import control
from edge.auditing import on_record
from edge.camera.inspection import EncoderSettings, Inspection
from edge.camera.onvif_service import OnvifService
from edge.care.encoder import gop_seconds, mended, shortfalls
from edge.care.minimum import minimum_of
from edge.care.overlays import overlay_findings
from edge.care.passwords import weakness
from edge.care.store import reached_at
from edge.status import UnknownCamera
from retention.audit_chain import Action
from retention.clock import is_clock_synchronized
from retention.model import US_PER_S

T = TypeVar("T")


class CameraNotSet(XueliangError):
    """The camera cannot be set so, or did not take it."""

    code = "camera_not_set"


class _Reached:
    """A camera of the settings, for one command."""

    def __init__(self, settings: Settings, camera_id: str) -> None:
        self.settings = settings
        self.camera = _camera(settings, camera_id)
        address = reached_at(settings.storage.state_dir, self.camera)
        if address is None:
            raise CameraNotSet(
                f"camera {camera_id} has no ONVIF address",
                hint="it is set up by rtsp =; set it on its own page",
            )
        self.address: Address = address
        secret = Secret("")
        if self.camera.password_file is not None:
            secret = read_secret(self.camera.password_file)
            hide(secret)
        self.secret = secret

    def run(self, work: Callable[[OnvifService], Coroutine[Any, Any, T]]) -> T:
        async def main() -> T:
            async with OnvifService() as onvif:
                return await work(onvif)

        return asyncio.run(main())

    async def inspect(self, onvif: OnvifService) -> Inspection:
        camera = self.camera
        return await onvif.inspect(
            str(self.address), camera.username, self.secret.reveal(), camera.profile
        )

    async def care(self, onvif: OnvifService, verb: str, **arguments: Any) -> dict[str, Any]:
        camera = self.camera
        return await onvif.care(
            str(self.address),
            camera.username,
            self.secret.reveal(),
            camera.profile,
            verb,
            arguments,
        )


def _camera(settings: Settings, camera_id: str) -> Camera:
    for camera in settings.camera:
        if camera.id == camera_id:
            return camera
    known = ", ".join(camera.id for camera in settings.camera)
    raise UnknownCamera(f"camera {camera_id!r} is unknown", hint=f"known: {known}")


# Show ------------------------------------------------------------------------------------------


def show(settings: Settings, camera_id: str) -> dict[str, Any]:
    """A look at a camera, and what is wrong with it.

    Raises:
        UnknownCamera, CameraNotSet, SecretUnusable, CameraError.
    """
    reached = _Reached(settings, camera_id)
    looked = reached.run(reached.inspect)
    offset_us = None if looked.clock is None else looked.clock.middle_us
    return {
        "camera": camera_id,
        "name": reached.camera.name,
        "address": str(reached.address),
        "manufacturer": looked.manufacturer,
        "model": looked.model,
        "firmware": looked.firmware,
        "serial": looked.serial,
        "clock_offset_seconds": None if offset_us is None else round(offset_us / US_PER_S, 2),
        "ntp": looked.is_ntp,
        "encoder": None if looked.encoder is None else asdict(looked.encoder),
        "osd": None if looked.overlays is None else [asdict(one) for one in looked.overlays],
        "profiles": [asdict(one) for one in looked.profiles],
        "profile": looked.profile,
        "findings": list(_findings(reached, looked)),
        "not_told": list(looked.troubles),
    }


def _findings(reached: _Reached, looked: Inspection) -> Iterator[dict[str, str]]:
    found = [weakness(reached.camera.username, reached.secret.reveal())]
    if looked.encoder is not None:
        found += shortfalls(looked.encoder, minimum_of(reached.settings))
    if looked.overlays is not None:
        found += overlay_findings(looked.overlays, reached.camera.name)
    for one in found:
        if one is not None:
            yield {"zh": one.zh, "en": one.en}
    if looked.clock is not None and abs(looked.clock.middle_us) >= US_PER_S:
        seconds = looked.clock.middle_us / US_PER_S
        yield {"zh": f"时钟误差 {seconds:+.1f} 秒", "en": f"its clock is off by {seconds:+.1f} s"}


def render_shown(document: dict[str, Any]) -> str:
    """A thing a line."""
    offset = document["clock_offset_seconds"]
    source = {True: "NTP", False: "手动 manual", None: "-"}[document["ntp"]]
    lines = [
        f"{document['camera']}  {document['name']}  {document['address']}",
        f"  型号 model    {document['manufacturer']} {document['model']}",
        f"  固件 firmware {document['firmware'] or '-'}  序列号 serial {document['serial'] or '-'}",
        f"  时钟 clock    {'-' if offset is None else f'{offset:+.1f} s'}  {source}",
        f"  编码 encoder  {_encoder_text(document['encoder'])}",
        f"  字符 OSD      {_osd_text(document['osd'])}",
        "  码流 profiles "
        + ", ".join(
            _profile_text(one) + ("*" if one["token"] == document["profile"] else "")
            for one in document["profiles"]
        ),
    ]
    lines += [f"  未提供 not told: {one}" for one in document["not_told"]]
    lines += [f"  问题 finding: {one['zh']} {one['en']}" for one in document["findings"]]
    return "\n".join(lines)


def _profile_text(profile: dict[str, Any]) -> str:
    name: str = profile["name"] or profile["token"]
    if not profile["encoding"]:
        return name  # H.265: ONVIF Media 1 tells no encoder
    return f"{name} {profile['encoding']} {profile['width']}x{profile['height']}"


def _osd_text(osd: list[dict[str, Any]] | None) -> str:
    if osd is None:
        return "-"
    return ", ".join(one["text"] or one["kind"] for one in osd) or "无 none"


def _encoder_text(encoder: dict[str, Any] | None) -> str:
    if encoder is None:
        return "-"
    gop_s = gop_seconds(EncoderSettings(**encoder))
    gop = "-" if gop_s is None else f"{gop_s:.1f} s"
    return (
        f"{encoder['codec']} {encoder['width']}x{encoder['height']} {encoder['fps']} fps"
        f" {encoder['bits_per_second'] // 1000} kbit/s GOP {gop}"
    )


# Set -------------------------------------------------------------------------------------------


def apply_encoder(settings: Settings, camera_id: str) -> dict[str, Any]:
    """Raise what is below the site's minimum, and nothing else.

    Raises:
        CameraNotSet: the camera tells no encoder, or did not take all of it.
        UnknownCamera, SecretUnusable, CameraError, AuditUnavailable.
    """
    reached = _Reached(settings, camera_id)
    least = minimum_of(settings)

    async def work(onvif: OnvifService) -> dict[str, Any]:
        looked = await reached.inspect(onvif)
        if looked.encoder is None:
            raise CameraNotSet(
                f"camera {camera_id} tells no encoder for its profile",
                hint="H.265 is set on the camera's own page (ONVIF Media 1 does not know it)",
            )
        before, wanted = looked.encoder, mended(looked.encoder, least)
        if wanted == before:
            return {"camera": camera_id, "changed": False, "before": asdict(before)}
        with on_record(
            settings,
            Action.CAMERA_SET,
            camera_id,
            what="encoder",
            before=_encoder_text(asdict(before)),
            wanted=_encoder_text(asdict(wanted)),
        ) as deed:
            told = await reached.care(onvif, "apply_encoder", **asdict(wanted))
            after = EncoderSettings(**told["encoder"]) if told["encoder"] else before
            deed.told["after"] = _encoder_text(asdict(after))
        left = [one.en for one in shortfalls(after, least)]
        if left:
            raise CameraNotSet(
                f"camera {camera_id} did not take all of it: {'; '.join(left)}",
                hint="set it on the camera's own page, or lower [care.encoder]",
            )
        return {
            "camera": camera_id,
            "changed": True,
            "before": asdict(before),
            "after": asdict(after),
        }

    return reached.run(work)


def render_applied(document: dict[str, Any]) -> str:
    before = _encoder_text(document["before"])
    if not document["changed"]:
        return f"{document['camera']}: 已符合要求，未改动 nothing to change: {before}"
    return f"{document['camera']}: {before} -> {_encoder_text(document['after'])}"


def set_osd(settings: Settings, camera_id: str, text: str | None) -> dict[str, Any]:
    """Write the camera's name, or ``text``, into its picture. Raises as :func:`apply_encoder`."""
    reached = _Reached(settings, camera_id)
    name = reached.camera.name if text is None else text

    async def work(onvif: OnvifService) -> dict[str, Any]:
        with on_record(settings, Action.CAMERA_SET, camera_id, what="osd", text=name) as deed:
            told = await reached.care(onvif, "set_osd", name=name)
            deed.told["before"] = told["before"]
        looked = await reached.inspect(onvif)
        if not any(one.text.strip() == name.strip() for one in looked.overlays or ()):
            raise CameraNotSet(
                f"camera {camera_id} did not take the text",
                hint="set it on the camera's own page; some take ASCII only",
            )
        return {"camera": camera_id, "before": told["before"], "text": name}

    return reached.run(work)


def set_clock(settings: Settings, camera_id: str, *, ntp: bool) -> dict[str, Any]:
    """Give a camera this host's time, or point its NTP here.

    Raises:
        CameraNotSet: this host's own clock is not trusted. Else as :func:`apply_encoder`.
    """
    reached = _Reached(settings, camera_id)
    if not _is_time_trusted(settings):
        raise CameraNotSet(
            "this host's own clock is not trusted, so no camera gets it",
            hint="see: xueliang check",
        )
    mode = "ntp" if ntp else "set"

    async def work(onvif: OnvifService) -> dict[str, Any]:
        before = (await reached.inspect(onvif)).clock
        off_ms = None if before is None else before.middle_us // 1000
        with on_record(
            settings, Action.CAMERA_SET, camera_id, what="clock", mode=mode, off_ms=off_ms
        ):
            server = settings.care.ntp_server
            told = await reached.care(onvif, "set_clock", mode=mode, server=server)
        after = (await reached.inspect(onvif)).clock
        return {
            "camera": camera_id,
            "mode": mode,
            "ntp_server": told.get("server"),
            "offset_seconds_before": None if off_ms is None else off_ms / 1000,
            "offset_seconds": None if after is None else round(after.middle_us / US_PER_S, 2),
        }

    return reached.run(work)


def _is_time_trusted(settings: Settings) -> bool:
    """As the running ``edge`` judges it; without one, whether something disciplines the clock."""
    try:
        told = control.ask(settings.storage.state_dir, "status")["time"]
    except (control.ControlUnavailable, control.ControlRefused):
        return is_clock_synchronized()
    return bool(told and told["trusted"])
