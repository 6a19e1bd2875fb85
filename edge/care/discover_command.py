"""``xueliang discover``: the cameras of the network, as a table or JSON. Shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from config.load import load
from config.log import hide
from config.schema import Settings
from config.secrets import Secret, SecretUnusable, read_secret
from edge.camera.description import Profile
from edge.care.discover import FoundCamera, Login, discover_now, reserved_interfaces
from edge.status import table

PROFILES_SHOWN_MAX = 4


def found_cameras(
    config_path: Path,
    *,
    seconds: float,
    interface: str,
    username: str,
    password_file: Path | None,
    port: int,
) -> tuple[FoundCamera, ...]:
    """Asks the network; cameras of the settings, where there are any, are asked with their own
    passwords, all others with the one given.

    Raises:
        ConfigError: the settings are bad. SecretUnusable: the password file is.
        DiscoveryRefused: there is no such interface.
    """
    settings = load(config_path) if _is_there(config_path) else None
    login = None
    if username:
        secret = Secret("") if password_file is None else read_secret(password_file)
        hide(secret)
        login = Login(username=username, password=secret.reveal())
    return discover_now(
        seconds=seconds,
        interface=interface,
        closed=() if settings is None else reserved_interfaces(settings),
        logins={} if settings is None else _logins(settings),
        login=login,
        port=port,
    )


def _is_there(path: Path) -> bool:
    """A file that this user may not even see is none: the network can be asked all the same."""
    try:
        return path.exists()
    except PermissionError:
        return False


def _logins(settings: Settings) -> dict[str, Login]:
    """By address; who may not read a password learns only what the device announces."""
    found: dict[str, Login] = {}
    for camera in settings.camera:
        if camera.onvif is None:
            continue
        secret = Secret("")
        if camera.password_file is not None:
            try:
                secret = read_secret(camera.password_file)
            except SecretUnusable as error:
                sys.stderr.write(f"{camera.id}: {error.sentence()}\n")
                continue
            hide(secret)
        found[str(camera.onvif)] = Login(
            username=camera.username, password=secret.reveal(), camera=camera.id
        )
    return found


def found_json(found: tuple[FoundCamera, ...]) -> list[dict[str, Any]]:
    """``profiles`` is null where the device was not asked, or did not answer."""
    return [
        {
            "address": str(one.address),
            "maker": one.maker,
            "model": one.model,
            "location": one.location,
            "endpoint": one.endpoint,
            "camera": one.camera or None,
            "serial": one.serial,
            "firmware": one.firmware,
            "profiles": None if one.profiles is None else [_profile_json(p) for p in one.profiles],
            "trouble": one.trouble,
        }
        for one in found
    ]


def _profile_json(profile: Profile) -> dict[str, Any]:
    return {
        "token": profile.token,
        "name": profile.name,
        "encoding": profile.encoding,
        "width": profile.width,
        "height": profile.height,
    }


def render_found(found: tuple[FoundCamera, ...]) -> str:
    """A camera a line; what is wrong with one below."""
    if not found:
        return (
            "没有摄像机应答。请确认摄像机已通电、在同一网段，并已开启 ONVIF 和“WS-发现”。\n"
            "No camera answered: are they on, in this network, with ONVIF and WS-Discovery on?"
        )
    rows = [["地址 address", "厂商 maker", "型号 model", "设置 camera", "码流 profiles"]]
    rows += [
        [
            str(one.address),
            one.maker or "-",
            one.model or "-",
            one.camera or "未添加 new",
            _profiles_text(one.profiles),
        ]
        for one in found
    ]
    lines = table(rows)
    troubles = [f"{one.address}: {one.trouble}" for one in found if one.trouble]
    lines += ["", *troubles] if troubles else []
    if all(one.profiles is None for one in found):
        lines += [
            "",
            "加 --username 和 --password-file 可查看码流: with these, profiles are shown, too.",
        ]
    return "\n".join(lines)


def _profiles_text(profiles: tuple[Profile, ...] | None) -> str:
    if profiles is None:
        return "-"
    shown = [
        f"{one.name or one.token} {one.encoding} {one.width}x{one.height}"
        if one.encoding
        else (one.name or one.token)
        for one in profiles[:PROFILES_SHOWN_MAX]
    ]
    more = len(profiles) - len(shown)
    return ", ".join(shown) + (f" +{more}" if more else "")
