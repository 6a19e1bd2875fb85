"""Cameras on the network, and whether one can be used: for command, wizard and set-up. Shell.

``discover`` and ``try_camera`` are for an event loop that has an ONVIF process
(``async with OnvifService() as onvif``); ``discover_now`` starts and ends one.
Nothing of SOAP is loaded by whoever calls them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from config.address import Address, is_ip
from config.errors import XueliangError
from config.schema import Settings
from edge.camera.description import CameraDescription, Profile
from edge.camera.discovery import PORT, Announcement
from edge.camera.discovery_probe import interface_address, own_addresses
from edge.camera.errors import CameraError
from edge.camera.inspection import Inspection
from edge.camera.onvif_service import OnvifService
from retention.model import GapCause

SECONDS = 3.0
SECONDS_MAX = 60.0
#: Devices asked for their profiles at one time.
ASKED_AT_ONCE = 8


class DiscoveryRefused(XueliangError):
    """There is no interface to ask over."""

    code = "discovery_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What is tried on a device; ``camera``: its id in the settings, empty if there is none."""

    username: str
    password: str = field(repr=False)
    camera: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCamera:
    """A device on the network. Maker and model are what it announces, until it was asked.

    ``profiles`` is None where it was not asked, or did not answer: ``trouble`` says why.
    """

    address: Address
    maker: str
    model: str
    location: str
    endpoint: str  # the same for ever, whatever its address
    camera: str = ""  # the id of the settings that names this address
    serial: str = ""
    firmware: str = ""
    profiles: tuple[Profile, ...] | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraTrial:
    """Whether a camera can be used with these credentials. ``detail`` and ``hint`` are sentences
    for a person; neither holds a password."""

    is_ok: bool
    cause: GapCause | None = None
    detail: str = ""
    hint: str = ""
    description: CameraDescription | None = None
    inspection: Inspection | None = None


async def discover(
    onvif: OnvifService,
    *,
    seconds: float = SECONDS,
    interface: str = "",
    closed: Iterable[str] = (),
    logins: Mapping[str, Login] | None = None,
    login: Login | None = None,
    port: int = PORT,
) -> tuple[FoundCamera, ...]:
    """Cameras that answer within ``seconds``, in order of address.

    Args:
        interface: a name or an IPv4 address of ours; every interface otherwise.
        closed: names and addresses of interfaces over which nothing goes, as the reserved ones.
        logins: by ``host:port``, or by host: tried on the device at that address.
        login: tried on all others.
        port: another than WS-Discovery's, for tests.

    Raises:
        DiscoveryRefused: there is no such interface.
        CameraError: the ONVIF process is lost.
    """
    announced = await onvif.discover(
        min(seconds, SECONDS_MAX), _addresses(interface, closed), port=port
    )
    turn = asyncio.Semaphore(ASKED_AT_ONCE)

    async def found(device: Announcement) -> FoundCamera:
        known = (logins or {}).get(str(device.address)) or (logins or {}).get(device.address.host)
        async with turn:
            return await _asked(onvif, device, known or login)

    return tuple(await asyncio.gather(*map(found, announced)))


def discover_now(
    *,
    seconds: float = SECONDS,
    interface: str = "",
    closed: Iterable[str] = (),
    logins: Mapping[str, Login] | None = None,
    login: Login | None = None,
    port: int = PORT,
) -> tuple[FoundCamera, ...]:
    """:func:`discover` for who has no event loop; blocks ``seconds`` and some more."""

    async def run() -> tuple[FoundCamera, ...]:
        async with OnvifService() as onvif:
            return await discover(
                onvif,
                seconds=seconds,
                interface=interface,
                closed=closed,
                logins=logins,
                login=login,
                port=port,
            )

    _addresses(interface, closed)  # refused before a process is started
    return asyncio.run(run())


async def try_camera(
    onvif: OnvifService, address: Address, username: str, password: str, profile: str = "main"
) -> CameraTrial:
    """Ask a camera what it is, where its stream is, and for what care minds; never raises."""
    try:
        told = await onvif.describe(str(address), username, password, profile)
    except CameraError as error:
        return CameraTrial(is_ok=False, cause=error.cause, detail=error.detail, hint=error.hint)
    try:
        looked = await onvif.inspect(str(address), username, password, profile)
    except CameraError as error:  # it can be recorded all the same
        return CameraTrial(is_ok=True, detail=error.detail, hint=error.hint, description=told)
    return CameraTrial(is_ok=True, description=told, inspection=looked)


def reserved_interfaces(settings: Settings) -> tuple[str, ...]:
    """Interfaces and addresses of platforms: they open for what was agreed, and nothing else."""
    both = ((one.interface, one.bind) for one in settings.platform)
    return tuple(name for pair in both for name in pair if name is not None)


def _addresses(interface: str, closed: Iterable[str]) -> list[str]:
    shut = frozenset(closed)
    own = own_addresses(shut)
    if not interface:
        return own
    address = interface if is_ip(interface, version=4) else interface_address(interface)
    if address is None or address not in own or interface in shut:
        raise DiscoveryRefused(
            f"{interface!r} is no network interface that may be asked over",
            hint=f"there are: {', '.join(own) or 'none'}; a platform's reserved one is left alone",
        )
    return [address]


async def _asked(onvif: OnvifService, device: Announcement, login: Login | None) -> FoundCamera:
    """What is announced, and with credentials what the device says itself."""
    announced = FoundCamera(
        address=device.address,
        maker=device.name,
        model=device.hardware,
        location=device.location,
        endpoint=device.endpoint,
        camera="" if login is None else login.camera,
    )
    if login is None:
        return announced
    try:
        told = await onvif.describe(str(device.address), login.username, login.password, "main")
    except CameraError as error:
        return replace(announced, trouble=error.sentence())
    return replace(
        announced,
        maker=told.manufacturer or announced.maker,
        model=told.model or announced.model,
        serial=told.serial,
        firmware=told.firmware,
        profiles=told.profiles,
    )
