"""What setting a site up takes of ``edge``: it alone reaches the cameras, keeps their passwords.

Shell. The console, on another network and another user, asks on the control socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from config.address import Address
from config.errors import XueliangError
from config.log import hide
from config.schema import ID_CHARS_MAX, Settings
from config.secrets import PASSWORD_BYTES_MAX, Secret
from edge import control
from edge.camera.onvif_service import OnvifService
from edge.care.discover import discover, reserved_interfaces, try_camera
from retention.whole_file import make_folder, replace_file

FOLDER = "secrets"
_ID = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class SetupRefused(XueliangError):
    """What was asked for makes no sense, or could not be kept."""

    code = "setup_refused"


class SetupDesk:
    """Commands of the control socket.

    Args:
        settings: those in force now.
    """

    def __init__(self, onvif: OnvifService, settings: Callable[[], Settings]) -> None:
        self._onvif = onvif
        self._settings = settings
        self._turn = asyncio.Lock()  # one look at the network at a time

    def commands(self) -> dict[str, control.Command]:
        return {
            "discover": self._discover,
            "try_camera": self._try_camera,
            "camera_password": self._camera_password,
        }

    async def _discover(self, _arguments: dict[str, Any]) -> Any:
        """Cameras that announce themselves, but for interfaces that are a platform's."""
        settings = self._settings()
        known = {str(one.onvif): one.id for one in settings.camera if one.onvif is not None}
        async with self._turn:
            found = await discover(self._onvif, closed=reserved_interfaces(settings))
        return [
            {
                "address": str(one.address),
                "maker": one.maker,
                "model": one.model,
                "location": one.location,
                "camera": known.get(str(one.address), ""),
            }
            for one in found
        ]

    async def _try_camera(self, arguments: dict[str, Any]) -> Any:
        """Whether a camera answers with these credentials, and what it says of itself."""
        secret = _password(arguments)
        hide(secret)
        try:
            address = Address.parse(str(arguments.get("address")))
        except ValueError as error:
            raise SetupRefused(str(error), hint="write it as in 192.0.2.10:80") from None
        username = str(arguments.get("username", ""))
        async with self._turn:
            trial = await try_camera(self._onvif, address, username, secret.reveal())
        told = trial.description
        return {
            "ok": trial.is_ok,
            "cause": None if trial.cause is None else trial.cause.value,
            "detail": trial.detail,
            "hint": trial.hint,
            "manufacturer": "" if told is None else told.manufacturer,
            "model": "" if told is None else told.model,
            "profiles": [] if told is None else [asdict(one) for one in told.profiles],
        }

    async def _camera_password(self, arguments: dict[str, Any]) -> Any:
        """Keep a camera's password in a file of edge's own; its path."""
        secret = _password(arguments)
        hide(secret)
        camera = str(arguments.get("camera"))
        if not 0 < len(camera) <= ID_CHARS_MAX or not set(camera) <= _ID:
            raise SetupRefused("this is no id of a camera", hint="use a-z, 0-9 and hyphens")
        folder = self._settings().storage.state_dir / FOLDER
        try:
            path = await asyncio.to_thread(_keep, folder, camera, secret)
        except OSError as error:
            raise SetupRefused(
                f"the password cannot be kept in {folder}: {error.strerror}",
                hint="is the state folder's disk full or read-only?",
            ) from error
        return {"password_file": str(path)}


def _password(arguments: dict[str, Any]) -> Secret:
    text = arguments.get("password", "")
    if not isinstance(text, str) or len(text.encode()) > PASSWORD_BYTES_MAX:
        raise SetupRefused("the password is too long", hint="is it the right one?")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise SetupRefused("the password holds control characters", hint="type it anew")
    return Secret(text)


def _keep(folder: Path, camera: str, secret: Secret) -> Path:
    make_folder(folder, 0o700)
    path = folder / camera
    replace_file(path, secret.reveal().encode(), mode=0o600)
    return path
