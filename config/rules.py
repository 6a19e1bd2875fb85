"""What the keys of a settings file must hold together.

Core. Looks at the raw TOML values, whatever they are, so that these faults are found beside those
of single fields and all are told at once; a value of a wrong type is left to the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from config.address import PORT_MAX, Address, PortRange
from config.places import Key

Raw = Mapping[str, Any]
#: How many ports from metrics.bind on serve metrics: edge, uplink, console.
METRICS_PORTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``predicate`` goes behind the name of ``key``: "is the id of another camera too"."""

    key: Key
    predicate: str
    mend: str


def faults(raw: Raw) -> Iterator[Fault]:
    """Every fault between keys."""
    cameras, platforms = tables(raw, "camera"), tables(raw, "platform")
    for index, camera in enumerate(cameras):
        yield from _camera(("camera", index), camera)
    for index, platform in enumerate(platforms):
        yield from _platform(("platform", index), platform, cameras)
    yield from _repeated([(("camera", i, "id"), c.get("id")) for i, c in enumerate(cameras)])
    codes: list[tuple[Key, object]] = [
        (("camera", index, "gb_id"), camera.get("gb_id")) for index, camera in enumerate(cameras)
    ]
    yield from _repeated(codes)
    yield from _device_ids(codes, platforms)
    yield from _repeated(
        [(("platform", i, "name"), p.get("name")) for i, p in enumerate(platforms)]
    )
    site = table(raw, "site")
    if ("longitude" in site) != ("latitude" in site):
        yield Fault(
            key=("site",),
            predicate="has only one of longitude and latitude",
            mend="give both (WGS-84 degrees), or none",
        )
    yield from _retiring(table(raw, "storage"))
    yield from _retention(table(raw, "retention"))
    for index, camera in enumerate(cameras):
        yield from _own_band(("camera", index), camera, table(raw, "retention"))
    yield from _exposed(cameras, platforms)
    yield from _binds(raw)
    yield from _export_dir(raw)


def tables(raw: Raw, name: str) -> list[Raw]:
    """The tables of the array ``name``; an empty one where something else stands."""
    value = raw.get(name)
    if not isinstance(value, list):
        return []
    return [item if isinstance(item, dict) else {} for item in value]


def table(raw: Raw, name: str) -> Raw:
    """The table ``name``; an empty one where it is missing or something else."""
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _camera(key: Key, camera: Raw) -> Iterator[Fault]:
    if "onvif" in camera and "rtsp" in camera:
        yield Fault(
            key=(*key, "rtsp"),
            predicate="stands beside onvif",
            mend="keep onvif, or rtsp for a camera without ONVIF",
        )
    if "onvif" not in camera and "rtsp" not in camera:
        yield Fault(
            key=key,
            predicate="has neither onvif nor rtsp",
            mend='say where it is: onvif = "host:port", or rtsp = "rtsp://…" without ONVIF',
        )
    if "password_file" in camera and not camera.get("username"):
        yield Fault(
            key=(*key, "password_file"), predicate="stands without username", mend="add username"
        )
    archive = table(camera, "archive")
    if ("longitude" in archive) != ("latitude" in archive):
        yield Fault(
            key=(*key, "archive"),
            predicate="has only one of longitude and latitude",
            mend="give both (WGS-84 degrees), or none",
        )


def _platform(key: Key, platform: Raw, cameras: list[Raw]) -> Iterator[Fault]:
    if ("interface" in platform) == ("bind" in platform):
        both = "both" if "bind" in platform else "neither"
        yield Fault(
            key=key,
            predicate=f"has {both} of interface and bind",
            mend="name the reserved network interface, or one address of this machine",
        )
    ports = _parsed(PortRange.parse, platform.get("media_ports"))
    port = platform.get("port", 5060)
    if ports is not None and isinstance(port, int) and port in ports:
        yield Fault(
            key=(*key, "media_ports"),
            predicate=f"contains port {port} of SIP",
            mend="choose another range",
        )
    yield from _directories(key, platform, cameras)
    channels = platform.get("channels")
    known = {c["id"]: c for c in cameras if isinstance(c.get("id"), str)}
    for channel in channels if isinstance(channels, list) else []:
        if not isinstance(channel, str):
            continue
        if channel not in known:
            yield Fault(
                key=(*key, "channels"),
                predicate=f"names {channel[:80]!r}, which is no camera's id",
                mend="use the ids of [[camera]]",
            )
        elif known[channel].get("expose", True) is False:
            yield Fault(
                key=(*key, "channels"),
                predicate=f"names {channel!r}, which has expose = false",
                mend="expose the camera, or leave it out",
            )


def _directories(key: Key, platform: Raw, cameras: list[Raw]) -> Iterator[Fault]:
    """Codes once each, parents that are there, cameras that are known."""
    known = {camera["id"] for camera in cameras if isinstance(camera.get("id"), str)}
    tree = tables(platform, "directory")
    codes = {one["id"] for one in tree if isinstance(one.get("id"), str)}
    yield from _repeated(
        [((*key, "directory", i, "id"), one.get("id")) for i, one in enumerate(tree)]
    )
    for index, one in enumerate(tree):
        place = (*key, "directory", index)
        parent, inside = one.get("parent"), one.get("cameras")
        if isinstance(parent, str) and (parent not in codes or parent == one.get("id")):
            yield Fault(
                key=(*place, "parent"),
                predicate=f"is {parent[:80]!r}, which is no other directory's id",
                mend="use the id of another [[platform.directory]], or leave it out",
            )
        for camera in inside if isinstance(inside, list) else []:
            if isinstance(camera, str) and camera not in known:
                yield Fault(
                    key=(*place, "cameras"),
                    predicate=f"names {camera[:80]!r}, which is no camera's id",
                    mend="use the ids of [[camera]]",
                )


def _repeated(values: list[tuple[Key, object]]) -> Iterator[Fault]:
    seen: dict[str, Key] = {}
    for key, value in values:
        if not isinstance(value, str):
            continue
        if value in seen:
            first = int(seen[value][-2]) + 1
            yield Fault(
                key=key,
                predicate=f"is {value[:80]!r}, as of {key[-3]} no. {first} too",
                mend="give each its own",
            )
        else:
            seen[value] = key


def _device_ids(codes: list[tuple[Key, object]], platforms: list[Raw]) -> Iterator[Fault]:
    taken = {code for _, code in codes if isinstance(code, str)}
    for index, platform in enumerate(platforms):
        device = platform.get("device_id")
        if isinstance(device, str) and device in taken:
            yield Fault(
                key=("platform", index, "device_id"),
                predicate="is the gb_id of a camera",
                mend="the recorder has a code of its own, of type 118",
            )


def _retiring(storage: Raw) -> Iterator[Fault]:
    volumes, retiring = storage.get("volumes"), storage.get("retiring")
    if not isinstance(volumes, list) or not isinstance(retiring, list):
        return
    for index, place in enumerate(retiring):
        if isinstance(place, str) and place not in volumes:
            yield Fault(
                key=("storage", "retiring", index),
                predicate=f"names {place[:80]!r}, which is not among volumes",
                mend="a volume that retires stays in volumes until it is empty",
            )
    if volumes and all(place in retiring for place in volumes):
        yield Fault(
            key=("storage", "retiring"),
            predicate="names every volume: nothing could be recorded",
            mend="add the volume that takes over to volumes",
        )


def _retention(retention: Raw) -> Iterator[Fault]:
    least, most = retention.get("min_days", 90), retention.get("max_days", 97)
    if type(least) is int and type(most) is int and most < least:
        key: Key = ("retention", "max_days" if "max_days" in retention else "min_days")
        yield Fault(
            key=key,
            predicate=f"makes no band: max_days ({most}) is below min_days ({least})",
            mend="set max_days to min_days or more",
        )


def _own_band(key: Key, camera: Raw, retention: Raw) -> Iterator[Fault]:
    """A camera's band, of which either end may be the site's."""
    own = [name for name in ("max_days", "min_days") if name in camera]
    least, most = (
        camera.get(name, retention.get(name, default))
        for name, default in (("min_days", 90), ("max_days", 97))
    )
    if own and type(least) is int and type(most) is int and most < least:
        yield Fault(
            key=(*key, own[0]),
            predicate=f"makes no band: max_days ({most}) is below min_days ({least})",
            mend="set the camera's max_days to its min_days or more",
        )


def _exposed(cameras: list[Raw], platforms: list[Raw]) -> Iterator[Fault]:
    offered: set[str] = set()
    for platform in platforms:
        channels = platform.get("channels", [])
        if isinstance(channels, list):
            every = [camera.get("id") for camera in cameras]
            offered.update(c for c in channels or every if isinstance(c, str))
    for index, camera in enumerate(cameras):
        name = camera.get("id")
        is_offered = (
            isinstance(name, str) and name in offered and camera.get("expose", True) is not False
        )
        if is_offered and "gb_id" not in camera:
            yield Fault(
                key=("camera", index),
                predicate="is offered to a platform, but has no gb_id",
                mend="add its gb_id, or set expose = false",
            )


def _binds(raw: Raw) -> Iterator[Fault]:
    metrics = _parsed(Address.parse, table(raw, "metrics").get("bind", "127.0.0.1:9580"))
    console = _parsed(Address.parse, table(raw, "console").get("bind", "127.0.0.1:8443"))
    if metrics is None:
        return
    last = metrics.port + METRICS_PORTS - 1
    if metrics.is_ip and not metrics.is_loopback:
        yield Fault(
            key=("metrics", "bind"),
            predicate=f"binds to {metrics.host}, which others can reach",
            mend="write 127.0.0.1; a district reads the metrics through the console",
        )
    if last > PORT_MAX:
        yield Fault(
            key=("metrics", "bind"),
            predicate=f"leaves no room for the next {METRICS_PORTS - 1} ports, which it takes too",
            mend="choose a lower port",
        )
    if console is not None and metrics.port <= console.port <= last:
        yield Fault(
            key=("console", "bind"),
            predicate=f"takes port {console.port}, as the metrics do ({metrics.port} to {last})",
            mend="choose another port",
        )


def _export_dir(raw: Raw) -> Iterator[Fault]:
    """Copies come and go there: never among footage."""
    given = table(raw, "console").get("export_dir")
    volumes = table(raw, "storage").get("volumes")
    if not isinstance(given, str) or not isinstance(volumes, list):
        return
    for volume in volumes:
        if not isinstance(volume, str):
            continue
        one, other = PurePosixPath(given), PurePosixPath(volume)
        if one.is_relative_to(other) or other.is_relative_to(one):
            yield Fault(
                key=("console", "export_dir"),
                predicate=f"lies on the volume {volume}, or around it",
                mend="name a folder apart from the volumes",
            )


def _parsed(parse: Callable[[str], Any], value: object) -> Any:
    if not isinstance(value, str):
        return None
    try:
        return parse(value)
    except ValueError:
        return None
