"""SDP as GB/T 28181 uses it (2022 clause 9.3 to 9.5 and annex G; RFC 4566): offers read, answers
written. Core.

Offers are read tolerantly: any order, blanks, odd case, what is unknown is passed over. Answers
copy ``s``, ``t`` and ``y`` as they came and keep to what receivers are known to take.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from config.address import is_ip
from config.errors import XueliangError
from retention.model import Codec, MediaFormat

OFFER_BYTES_MAX = 16 * 1024
#: Seconds of NTP's era are larger than any of ours (RFC 4566, 5.9).
_NTP_EPOCH_S = 2_208_988_800
_SSRC_MAX = (1 << 32) - 1
#: Encodings of a payload that is a program stream, whatever private things a vendor puts in.
_PS_NAMES = ("PS", "HIKVISION", "DAHUA")


class Kind(StrEnum):
    """What is asked for."""

    PLAY = "play"
    PLAYBACK = "playback"
    DOWNLOAD = "download"
    TALK = "talk"

    @property
    def label(self) -> str:
        """As metrics call it."""
        return "live" if self is Kind.PLAY else self.value


class Transport(StrEnum):
    UDP = "udp"
    TCP_ACTIVE = "tcp_active"  # we connect
    TCP_PASSIVE = "tcp_passive"  # we listen


class OfferUnfit(XueliangError):
    """An offer that cannot be served; ``status`` says how it is refused (gb28181.md 4.6)."""

    code = "offer_unfit"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a platform asks for."""

    kind: Kind
    session_name: str  # as it came
    channel: str  # of u=; empty where the Request-URI says it
    times: str  # t= as it came
    start_s: int  # epoch seconds; 0 with live
    end_s: int  # 0: to the end of the recording
    host: str  # where media go
    port: int
    profile: str  # as it came: RTP/AVP, TCP/RTP/AVP
    transport: Transport
    payload_type: int
    ssrc: int | None
    ssrc_text: str  # y= as it came
    speed: float  # of a download, 1 where nothing sensible was asked
    stream: int | None  # 0 main, 1 sub


def parse_offer(body: bytes) -> Offer:
    """Read an offer.

    Raises:
        OfferUnfit: with the status to refuse it with.
    """
    fields = _fields(body)
    kind, times, start_s, end_s = _what(fields)
    media = _media(fields)
    host, port, profile = _receiver(fields, media)
    if media.kind == "audio" and kind is not Kind.TALK:
        raise OfferUnfit("the offer asks for sound alone", status=488)
    attributes = [value for letter, value in fields if letter == "a"]
    ssrc_text = _first(fields, "y").strip()
    return Offer(
        kind=kind,
        session_name=_first(fields, "s").strip(),
        channel=_first(fields, "u").split(":")[0].strip(),
        times=times,
        start_s=start_s,
        end_s=end_s,
        host=host,
        port=port,
        profile=profile,
        transport=_transport(profile, attributes),
        payload_type=96 if kind is Kind.TALK else _payload_type(media, attributes),
        ssrc=_ssrc(ssrc_text),
        ssrc_text=ssrc_text,
        speed=_speed(attributes),
        stream=_stream(attributes),
    )


def _fields(body: bytes) -> list[tuple[str, str]]:
    if len(body) > OFFER_BYTES_MAX:
        raise OfferUnfit("the offer is too long", status=400)
    found = []
    for line in body.decode("utf-8", "replace").replace("\r", "\n").split("\n"):
        letter, equals, value = line.strip().partition("=")
        if equals and len(letter.strip()) == 1:
            found.append((letter.strip().lower(), value.strip()))
    if not found:
        raise OfferUnfit("there is no SDP in the INVITE", status=400)
    return found


def _first(fields: list[tuple[str, str]], letter: str) -> str:
    return next((value for name, value in fields if name == letter), "")


def _what(fields: list[tuple[str, str]]) -> tuple[Kind, str, int, int]:
    times = _first(fields, "t") or "0 0"
    numbers = times.split()
    if len(numbers) < 2 or not all(one.isascii() and one.isdecimal() for one in numbers[:2]):
        raise OfferUnfit("the offer's t= is no time", status=400)
    start_s, end_s = (int(one[:12]) for one in numbers[:2])
    start_s, end_s = (one - _NTP_EPOCH_S if one > _NTP_EPOCH_S else one for one in (start_s, end_s))
    name = _first(fields, "s").strip().lower()
    try:
        kind = Kind(name)
    except ValueError:  # some platforms put a name of their own
        kind = Kind.PLAYBACK if start_s else Kind.PLAY
    if kind in (Kind.PLAYBACK, Kind.DOWNLOAD):
        if start_s == 0 or (end_s and end_s <= start_s):
            raise OfferUnfit("the offer's t= is no span of time", status=400)
    else:
        start_s = end_s = 0
    return kind, times, start_s, end_s


@dataclass(frozen=True, slots=True)
class _Media:
    kind: str
    port: int
    profile: str
    payload_types: tuple[int, ...]


def _media(fields: list[tuple[str, str]]) -> _Media:
    found = []
    for letter, value in fields:
        words = value.split()
        if letter != "m" or len(words) < 4:
            continue
        port = words[1].split("/")[0]
        if port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536:
            kinds = tuple(int(word) for word in words[3:] if re.fullmatch("[0-9]{1,3}", word))
            found.append(_Media(words[0].lower(), int(port), words[2], kinds))
    if not found:
        raise OfferUnfit("the offer has no m= line with a port", status=400)
    return next((one for one in found if one.kind == "video"), found[0])


def _receiver(fields: list[tuple[str, str]], media: _Media) -> tuple[str, int, str]:
    """The address of the media level wins over the session's."""
    hosts = [value.split() for letter, value in fields if letter == "c"]
    host = hosts[-1][2].split("/")[0] if hosts and len(hosts[-1]) >= 3 else ""
    if not is_ip(host) or host in ("0.0.0.0", "::"):
        raise OfferUnfit("the offer's c= is no address that media could go to", status=400)
    return host, media.port, media.profile


def _transport(profile: str, attributes: list[str]) -> Transport:
    parts = profile.upper().split("/")
    if "RTP" not in parts:
        raise OfferUnfit("the offer's profile is unknown", status=488)
    if "TCP" not in parts:
        return Transport.UDP
    setup = next((one.partition(":")[2] for one in attributes if _is(one, "setup")), "")
    # the platform's role: where it connects, we listen
    return Transport.TCP_PASSIVE if setup.strip().lower() == "active" else Transport.TCP_ACTIVE


def _payload_type(media: _Media, attributes: list[str]) -> int:
    """The number that stands for a program stream."""
    named = {}
    for one in attributes:
        match = re.match(r"rtpmap\s*:\s*([0-9]{1,3})\s+([^/\s]+)", one, re.IGNORECASE)
        if match:
            named[int(match[1])] = match[2].upper()
    for number in media.payload_types:
        if named.get(number, "PS" if number == 96 else "") in _PS_NAMES:
            return number
    raise OfferUnfit("the offer has no program stream (96 PS/90000)", status=488)


def _is(attribute: str, name: str) -> bool:
    return attribute.partition(":")[0].strip().lower() == name


def _ssrc(text: str) -> int | None:
    digits = text.replace(" ", "")
    if not re.fullmatch("[0-9]{1,10}", digits):
        return None
    return int(digits) if int(digits) <= _SSRC_MAX else None


def _speed(attributes: list[str]) -> float:
    text = next((one.partition(":")[2] for one in attributes if _is(one, "downloadspeed")), "")
    match = re.fullmatch(r"\s*([0-9]{1,4}(\.[0-9]{1,3})?)\s*", text)
    return float(match[1]) if match and float(match[1]) > 0 else 1.0


def _stream(attributes: list[str]) -> int | None:
    for one in attributes:
        name, _, value = one.partition(":")
        if name.strip().lower() in ("streamnumber", "stream", "streamprofile", "streammode"):
            value = {"main": "0", "sub": "1"}.get(value.strip().lower(), value.strip())
            if re.fullmatch("[0-9]{1,2}", value):
                return int(value)
    return None


def write_answer(
    offer: Offer,
    *,
    device_id: str,
    local_host: str,
    port: int,
    ssrc_text: str,
    description: str = "",
    filesize_bytes: int | None = None,
) -> bytes:
    """Our answer.

    Args:
        device_id: for ``o=``, from which platforms build the ACK.
        port: that RTP comes from (UDP), or is listened on (TCP passive).
        ssrc_text: ten digits; the offer's own where it had one.
        description: ``f=``, from :func:`describe`.
        filesize_bytes: of a download; None where it is not known.
    """
    family = "IP6" if ":" in local_host else "IP4"
    lines = [
        "v=0",
        f"o={device_id} 0 0 IN {family} {local_host}",
        f"s={offer.session_name or 'Play'}",
        f"c=IN {family} {local_host}",
        f"t={offer.times}",
        f"m=video {port} {offer.profile} {offer.payload_type}",
        "a=sendonly",
        f"a=rtpmap:{offer.payload_type} PS/90000",
    ]
    if offer.transport is not Transport.UDP:
        setup = "active" if offer.transport is Transport.TCP_ACTIVE else "passive"
        lines += [f"a=setup:{setup}", "a=connection:new"]
    if filesize_bytes is not None:
        lines.append(f"a=filesize:{filesize_bytes}")
    lines.append(f"y={ssrc_text}")
    if description:
        lines.append(f"f={description}")
    return "".join(line + "\r\n" for line in lines).encode()


_VIDEO_CODES = {Codec.H264: "2", Codec.H265: "5"}
_SIZES = {(352, 288): "2", (704, 576): "4", (1280, 720): "5", (1920, 1080): "6"}
_RATE_CODES = {Codec.ALAW: "8", Codec.ULAW: "8"}
_SAMPLE_CODES = {8000: "1", 16000: "3", 32000: "4", 22050: "8", 24000: "9", 44100: "10"}


def describe(format: MediaFormat) -> str:
    """What is sent, as ``f=`` (2022 annex G); what is not known is left empty."""
    video, audio = format.video, format.audio
    size = _SIZES.get((video.width, video.height), f"{video.width}x{video.height}")
    sound = "///"
    if audio is not None:
        codec = "6" if audio.codec is Codec.AAC else "1"
        rate, sample = _RATE_CODES.get(audio.codec, ""), _SAMPLE_CODES.get(audio.sample_rate_hz, "")
        sound = f"/{codec}/{rate}/{sample}"
    return f"v/{_VIDEO_CODES[video.codec]}/{size}///a{sound}"
