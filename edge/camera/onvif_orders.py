"""Orders to one camera through ONVIF: move, presets, a key frame, a picture, a restart. Shell.

ONVIF PTZ, Media and Device services (version 20.12). Numbers of presets are the platform's (1 to
255, GB/T 28181): a preset that was set from here carries its number in its name, a camera's own
ones count by their token where that is such a number. Runs in the ONVIF process only.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from config.address import Address
from edge.camera.description import clean
from edge.camera.errors import CameraError
from edge.camera.onvif import (
    DESCRIBE_S,
    TIMEOUT_S,
    Known,
    OnvifCamera,
    calling,
    demanded,
)
from edge.camera.soap_http import Deadline, Poster
from retention.clock import Clock
from retention.model import US_PER_S, GapCause

#: A move that nobody renews ends by itself: a platform that is cut off leaves no camera turning.
MOVE_TIMEOUT = "PT10S"
#: What was learnt of a camera is believed for so long: a move must not wait for four calls.
KNOWN_US = 300 * US_PER_S
PRESETS_MAX = 256
PRESET_NUMBER_MAX = 255
#: What a preset that we set is called.
_OURS = re.compile(r"GB([0-9]{1,3})")
_JPEG = b"\xff\xd8"

Arguments = Mapping[str, Any]


class Orderer:
    """Carries out orders; remembers where each camera's services are. For many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[int, Known]] = {}

    def order(
        self,
        address: Address,
        username: str,
        password: str,
        profile: str,
        verb: str,
        arguments: Arguments,
    ) -> dict[str, Any]:
        """The camera's answer as JSON-able values; blocks at most ``DESCRIBE_S``.

        Raises:
            CameraError: it cannot be reached, refuses, or has no such ability.
        """
        do = _VERBS.get(verb)
        if do is None:
            raise CameraError(GapCause.CAMERA_REFUSED, f"{clean(verb)!r} is no order to a camera")
        with Deadline(DESCRIBE_S) as deadline:
            poster = Poster(
                username=username, password=password, timeout_s=TIMEOUT_S, deadline=deadline
            )
            camera = OnvifCamera(poster, username, password, address, self._clock)
            key = (str(address), profile)
            try:
                known = self._learnt(key, camera, profile)
                return do(_Reached(camera, known, poster, address), arguments)
            except CameraError:
                with self._lock:
                    self._known.pop(key, None)  # it may have moved, or its clock may have
                raise

    def _learnt(self, key: tuple[str, str], camera: OnvifCamera, profile: str) -> Known:
        now_us = self._clock.monotonic_us()
        with self._lock:
            learnt_us, known = self._known.get(key, (0, None))
        if known is not None and now_us - learnt_us < KNOWN_US:
            camera.believe(known)
            return known
        known = camera.know(profile)
        with self._lock:
            self._known[key] = (now_us, known)
        return known


class _Reached:
    """A camera with what is known of it."""

    def __init__(self, camera: OnvifCamera, known: Known, poster: Poster, address: Address) -> None:
        self.camera = camera
        self.profile = known.profile
        self.poster = poster
        self.address = address
        self._known = known

    def ptz(self) -> Any:
        if not self._known.ptz_url:
            raise CameraError(GapCause.CAMERA_REFUSED, "the camera cannot turn (no PTZ on ONVIF)")
        return self.camera.ptz(self._known.ptz_url)

    def media(self) -> Any:
        return self.camera.media(self._known.media_url)


def _move(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    pan, tilt, zoom = (_axis(arguments.get(name)) for name in ("pan", "tilt", "zoom"))
    velocity: dict[str, Any] = {}
    if pan or tilt:
        velocity["PanTilt"] = {"x": pan, "y": tilt}
    if zoom:
        velocity["Zoom"] = {"x": zoom}
    if not velocity:
        return _stop(reached, {})
    wanted = {"ProfileToken": reached.profile, "Velocity": velocity, "Timeout": MOVE_TIMEOUT}
    with demanded(), calling("ContinuousMove"):
        reached.ptz().ContinuousMove(wanted)
    return {}


def _stop(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    del arguments
    with demanded(), calling("Stop"):
        reached.ptz().Stop({"ProfileToken": reached.profile, "PanTilt": True, "Zoom": True})
    return {}


def _presets(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    del arguments
    found = [
        {"number": number, "name": name} for number, (_, name) in sorted(_numbered(reached).items())
    ]
    return {"presets": found}


def _preset_set(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    number = _number(arguments)
    wanted: dict[str, Any] = {"ProfileToken": reached.profile, "PresetName": f"GB{number}"}
    known = _numbered(reached).get(number)
    if known is not None:
        wanted |= {"PresetToken": known[0], "PresetName": known[1]}
    with demanded(), calling("SetPreset"):
        reached.ptz().SetPreset(wanted)
    return {}


def _preset_call(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    wanted = {"ProfileToken": reached.profile, "PresetToken": _token(reached, arguments)}
    with demanded(), calling("GotoPreset"):
        reached.ptz().GotoPreset(wanted)
    return {}


def _preset_delete(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    wanted = {"ProfileToken": reached.profile, "PresetToken": _token(reached, arguments)}
    with demanded(), calling("RemovePreset"):
        reached.ptz().RemovePreset(wanted)
    return {}


def _key_frame(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    del arguments
    with demanded(), calling("SetSynchronizationPoint"):
        reached.media().SetSynchronizationPoint({"ProfileToken": reached.profile})
    return {}


def _snapshot(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    """The camera's still picture, Base64; fetched where the camera was reached, nowhere else."""
    del arguments
    with demanded(), calling("GetSnapshotUri"):
        told = reached.media().GetSnapshotUri({"ProfileToken": reached.profile})
        uri = str(getattr(told, "Uri", None) or "").strip()
    answer = reached.poster.get(_own(uri, reached.address))
    if answer.status != 200 or not answer.body.startswith(_JPEG):
        raise CameraError(GapCause.STREAM_DAMAGED, "the camera gives no JPEG picture")
    return {"jpeg": base64.b64encode(answer.body).decode()}


def _reboot(reached: _Reached, arguments: Arguments) -> dict[str, Any]:
    del arguments
    with demanded(), calling("SystemReboot"):
        reached.camera.device().SystemReboot()
    return {}


_VERBS: Mapping[str, Callable[[_Reached, Arguments], dict[str, Any]]] = {
    "move": _move,
    "stop": _stop,
    "presets": _presets,
    "preset_set": _preset_set,
    "preset_call": _preset_call,
    "preset_delete": _preset_delete,
    "key_frame": _key_frame,
    "snapshot": _snapshot,
    "reboot": _reboot,
}
VERBS = frozenset(_VERBS)


def _numbered(reached: _Reached) -> dict[int, tuple[str, str]]:
    """Number of each preset, to its token and name; ours first, then the camera's own."""
    with demanded(), calling("GetPresets"):
        told = list(reached.ptz().GetPresets({"ProfileToken": reached.profile}) or [])
    found: dict[int, tuple[str, str]] = {}
    others: list[tuple[str, str]] = []
    for preset in told[:PRESETS_MAX]:
        token, name = str(getattr(preset, "token", "")), clean(getattr(preset, "Name", None))
        ours = _OURS.fullmatch(name)
        if ours and 1 <= int(ours[1]) <= PRESET_NUMBER_MAX:
            found.setdefault(int(ours[1]), (token, name))
        elif token:
            others.append((token, name))
    for token, name in others:
        is_number = token.isascii() and token.isdecimal() and len(token) <= 3
        if is_number and 1 <= int(token) <= PRESET_NUMBER_MAX:
            found.setdefault(int(token), (token, name or token))
    return found


def _token(reached: _Reached, arguments: Arguments) -> str:
    number = _number(arguments)
    known = _numbered(reached).get(number)
    if known is None:
        raise CameraError(GapCause.CAMERA_REFUSED, f"the camera has no preset {number}")
    return known[0]


def _number(arguments: Arguments) -> int:
    number = arguments.get("number")
    if type(number) is not int or not 1 <= number <= PRESET_NUMBER_MAX:
        raise CameraError(GapCause.CAMERA_REFUSED, "a preset has a number from 1 to 255")
    return number


def _axis(value: object) -> float:
    if not isinstance(value, int | float) or not -1 <= value <= 1:
        return 0.0
    return round(float(value), 3)


def _own(uri: str, reached: Address) -> str:
    """The path of ``uri`` at the address where the camera was reached: credentials go there only.

    Its port is kept where the host is the camera's own.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if not host or not port or parts.scheme != "http" or not uri.isascii() or " " in uri:
        raise CameraError(GapCause.STREAM_DAMAGED, "the camera names no usable picture address")
    where = Address(host=reached.host, port=port if host == reached.host else reached.port)
    return parts._replace(netloc=str(where)).geturl()
