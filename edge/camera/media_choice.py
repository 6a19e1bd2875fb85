"""Which profile of a camera is meant, and where its stream may be had. Core."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from config.address import Address
from edge.camera.description import URI_CHARS_MAX, Profile, clean
from edge.camera.errors import CameraError
from retention.model import GapCause

MAIN, SUB = "main", "sub"
_RTSP_PORT = 554


def choose_profile(profiles: Sequence[Profile], wanted: str) -> Profile:
    """The profile with that token or name; else "main" is the largest picture, "sub" the next.

    Raises:
        CameraError: there is none.
    """
    for profile in profiles:
        if profile.token == wanted:
            return profile
    for profile in profiles:
        if profile.name.casefold() == wanted.casefold():
            return profile
    # sorted() is stable: among equals the camera's own order decides
    usable = sorted(
        (profile for profile in profiles if profile.encoding not in ("", "JPEG")),
        key=lambda profile: -profile.width * profile.height,
    ) or [profile for profile in profiles if profile.encoding != "JPEG"]
    if wanted == MAIN and usable:
        return usable[0]
    if wanted == SUB and len(usable) > 1:
        return usable[1]
    names = ", ".join(profile.name or profile.token for profile in profiles[:8])
    raise CameraError(
        GapCause.CONFIG,
        clean(f"the camera has no profile {wanted!r} with video; it has: {names or 'none'}"),
        hint="set profile to main, sub, or a name or token that the camera has",
    )


def stream_candidates(uri: str, reached: Address) -> tuple[str, ...]:
    """The addresses to try for ``uri`` of a camera that answers at ``reached``.

    Behind address translation a camera names an address that only it knows, so the host that it
    was reached at comes first; the URI as given second, unless it could only be this machine.
    Credentials in the URI are taken out.

    Raises:
        CameraError: it is no rtsp URI.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    is_plain = len(uri) <= URI_CHARS_MAX and uri.isascii() and uri.isprintable() and " " not in uri
    if not host or not is_plain or parts.scheme not in ("rtsp", "rtsps") or port == 0:
        raise CameraError(
            GapCause.STREAM_DAMAGED,
            "the camera names no usable stream address",
            hint="look at the camera's RTSP settings, or use rtsp = instead of onvif =",
        )
    ours = str(Address(host=reached.host, port=port or _RTSP_PORT))
    candidates = [parts._replace(netloc=ours).geturl()]
    if host != reached.host and not _is_nowhere(host):
        theirs = parts.netloc.rpartition("@")[2]
        candidates.append(parts._replace(netloc=theirs).geturl())
    return tuple(candidates)


def service_address(xaddr: str, reached: Address, fallback: str) -> str:
    """Where a service is called: the camera's own address if it is reached there, else its path
    at the address where it is reached; ``fallback`` is the path when it names none."""
    try:
        parts = urlsplit(xaddr if len(xaddr) <= URI_CHARS_MAX else "")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        return f"http://{reached}{fallback}"
    path = parts.path if parts.path.startswith("/") and parts.path.isascii() else fallback
    if "\\" in path or not path.isprintable() or " " in path:
        path = fallback
    if parts.scheme == "http" and host == reached.host and port > 0:
        return f"http://{Address(host=host, port=port)}{path}"
    return f"http://{reached}{path}"


def _is_nowhere(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.casefold() == "localhost"
    return address.is_loopback or address.is_unspecified or address.is_multicast
