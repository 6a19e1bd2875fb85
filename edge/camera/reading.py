"""What every reader of a stream keeps to, whichever client it uses. Core: no I/O, no clock."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from edge.camera.errors import CameraError
from edge.camera.messages import StreamRequest
from edge.camera.pictures import FormatTracker
from retention.framing import Format, Message, Unit
from retention.model import US_PER_S, AudioFormat, GapCause, MediaFormat, ReceivedUnit

#: Units of this long go to the parent together: most of what a picture costs is to wake up for it.
GATHER_US = 100_000
HEARTBEAT_US = US_PER_S
CAMERA_TIME_US = 10 * US_PER_S
#: Cameras with a GOP of 30 s are sound; one that shows no key frame for this long is not.
KEY_FRAME_US = 60 * US_PER_S
#: What sends packets, and not one whole picture for this long, is no stream.
PICTURE_US = 30 * US_PER_S
MAX_URL_CHARS = 1000

#: What the system says of a line, as cause and sentence.
LINE_ERRORS = {
    errno.EHOSTUNREACH: (GapCause.NETWORK, "no route to the camera"),
    errno.ENETUNREACH: (GapCause.NETWORK, "the camera's network is unreachable"),
    errno.ENETDOWN: (GapCause.NETWORK, "the network is down"),
    errno.EADDRNOTAVAIL: (GapCause.NETWORK, "no local address reaches the camera"),
    errno.ECONNREFUSED: (GapCause.CAMERA_REFUSED, "the camera refused the connection"),
    errno.EACCES: (GapCause.NETWORK, "this host may not send to the camera"),
    errno.EPERM: (GapCause.NETWORK, "this host may not send to the camera"),
    errno.ETIMEDOUT: (GapCause.CAMERA_OFFLINE, "the camera did not answer in time"),
    errno.ECONNRESET: (GapCause.CAMERA_OFFLINE, "the camera broke the connection off"),
    errno.EPIPE: (GapCause.CAMERA_OFFLINE, "the camera broke the connection off"),
}
#: What the camera says (RFC 2326, 7.1.1), where the number tells more than that it refuses.
REFUSALS = {
    401: (GapCause.CAMERA_AUTH, "the camera refused user name or password (401)"),
    403: (GapCause.CAMERA_AUTH, "the camera forbids this account the stream (403)"),
    404: (GapCause.CAMERA_REFUSED, "the camera knows no such stream (404)"),
    461: (GapCause.CAMERA_REFUSED, "the camera offers no RTP over TCP"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAddress:
    """Where a stream is to be had, taken apart; ``url`` holds no credentials."""

    url: str
    host: str
    port: int
    is_tls: bool
    username: str
    password: str

    @classmethod
    def of(cls, request: StreamRequest, candidate: int) -> StreamAddress:
        """The candidate address with the request's credentials, or its own.

        Raises:
            CameraError: it is no rtsp or rtsps address that can be sent as it is.
        """
        url = request.source.urls[candidate]
        if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
            raise CameraError(
                GapCause.CONFIG, "the stream's address holds signs that no address has"
            )
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or parts.scheme not in ("rtsp", "rtsps"):
            raise CameraError(
                GapCause.CONFIG,
                "the stream's address is no rtsp address",
                hint="rtsp://host:port/path",
            )
        own, _, place = parts.netloc.rpartition("@")
        username, password = request.source.username, request.source.password
        if not username:
            username, _, password = (unquote(part) for part in own.partition(":"))
        is_tls = parts.scheme == "rtsps"
        return cls(
            url=parts._replace(netloc=place, fragment="").geturl(),
            host=host,
            port=port or (322 if is_tls else 554),
            is_tls=is_tls,
            username=username,
            password=password,
        )


def wrong_codec(names: Iterable[str]) -> CameraError:
    """The camera has video of these names, and none that is recorded."""
    return CameraError(
        GapCause.STREAM_DAMAGED,
        f"the camera sends {', '.join(names) or 'no video'}, not H.264 or H.265",
        hint="choose H.264 or H.265 in the camera's settings, or another profile",
    )


def stream_ended() -> CameraError:
    return CameraError(GapCause.CAMERA_OFFLINE, "the camera ended the stream")


class StreamFormat:
    """What the units are made of: nothing is passed on before it is known.

    Args:
        formats: the parameter sets in force.
        audio: None without sound.
        stall_us: how long a stream may be without video.
        began_us: when it began to play, on the monotonic clock.
    """

    def __init__(
        self, formats: FormatTracker, audio: AudioFormat | None, *, stall_us: int, began_us: int
    ) -> None:
        self._formats = formats
        self._audio = audio
        self._stall_us = stall_us
        self._began_us = began_us
        self._picture_us = began_us  # when the last whole one came

    def picture(self, unit: ReceivedUnit) -> Iterator[Message]:
        """A picture, behind the format that begins with it."""
        self._picture_us = max(self._picture_us, unit.arrival_monotonic_us)
        changed = self._formats.feed(unit)
        if changed is not None:
            yield Format(media=MediaFormat(video=changed, audio=self._audio))
        if self._formats.current is not None:
            yield Unit(unit=unit)

    def sound(self, unit: ReceivedUnit) -> Iterator[Message]:
        """A frame of sound, as far as it has pictures to go with."""
        if self._formats.current is not None:
            yield Unit(unit=unit)

    def check(self, now_us: int, video_us: int) -> None:
        """Whether it is a stream still; ``video_us``: when the last of video came.

        Raises:
            CameraError: nothing of video within the stall time, no whole picture in
                ``PICTURE_US``, or no key frame in ``KEY_FRAME_US``.
        """
        if now_us - video_us > self._stall_us:
            raise CameraError(
                GapCause.CAMERA_OFFLINE,
                f"the camera sent no picture for {self._stall_us // US_PER_S} s",
            )
        if now_us - self._picture_us > PICTURE_US + self._stall_us:
            raise CameraError(
                GapCause.STREAM_DAMAGED,
                f"no whole picture in {PICTURE_US // US_PER_S} s, though packets come",
                hint="is a picture larger than 12 MiB? lower the camera's resolution or bit rate",
            )
        if self._formats.current is None and now_us - self._began_us > KEY_FRAME_US:
            raise CameraError(
                GapCause.STREAM_DAMAGED,
                f"no key frame with parameter sets in {KEY_FRAME_US // US_PER_S} s",
            )
