"""RTSP in through libav, for a camera that our own client does not get on with. Shell.

The only import of libav in the recorder (``reader = "libav"`` in the camera's settings).

libav speaks RTSP (RFC 2326) over TCP and takes the RTP packets apart, and no more: its parsers are
off, so that every piece comes with the RTP time stamp that the camera gave it and the time at
which its first byte was here; :mod:`edge.camera.pictures` puts the pieces together.

libav's error texts hold the address with its password: they never leave this module.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import av
import av.error

from edge.camera.errors import CameraError
from edge.camera.messages import StreamRequest
from edge.camera.pictures import FormatTracker, PictureBuilder, Piece
from edge.camera.reading import (
    CAMERA_TIME_US,
    GATHER_US,
    HEARTBEAT_US,
    LINE_ERRORS,
    REFUSALS,
    StreamAddress,
    StreamFormat,
    stream_ended,
    wrong_codec,
)
from edge.camera.rtsp.sound import AAC_FRAME_SAMPLES
from retention.clock import Clock
from retention.framing import CameraTime, Connected, Heartbeat, Message, Unit
from retention.model import (
    US_PER_S,
    AudioFormat,
    Codec,
    GapCause,
    ReceivedUnit,
    Track,
)

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

#: libav keeps "user:password", percent-encoded, in 128 bytes and cuts the rest off silently.
MAX_CREDENTIAL_BYTES = 127
ASK_TIMEOUT_S = 2.0

_VIDEO = {"h264": Codec.H264, "hevc": Codec.H265}
_AUDIO = {"aac": Codec.AAC, "pcm_alaw": Codec.ALAW, "pcm_mulaw": Codec.ULAW}

_OPTIONS = {
    "rtsp_transport": "tcp",
    "fflags": "noparse+nofillin+nobuffer",  # pieces as they came, at once
    "probesize": "32",  # the SDP and our own NAL parsing tell the format
    "analyzeduration": "1",
    "user_agent": "xueliang-edge",
}


def read_stream(
    request: StreamRequest, candidate: int, clock: Clock, is_stopping: Callable[[], bool]
) -> Iterator[list[Message]]:
    """What :func:`read_messages` yields, units of 100 ms together."""
    batch: list[Message] = []
    since_us = 0
    try:
        for message in read_messages(request, candidate, clock, is_stopping):
            batch.append(message)
            if isinstance(message, Unit):
                arrival_us = message.unit.arrival_monotonic_us
                if len(batch) == 1:
                    since_us = arrival_us
                if arrival_us - since_us < GATHER_US:
                    continue
            yield batch
            batch = []
    except CameraError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def read_messages(
    request: StreamRequest, candidate: int, clock: Clock, is_stopping: Callable[[], bool]
) -> Iterator[Message]:
    """Plays one candidate address until the camera ends it or ``is_stopping()``.

    Yields Connected once the camera plays, Format before the first key frame and at each change,
    then Units (none before the first key frame), CameraTime now and then, Heartbeat whenever
    nothing else was said for a second though bytes came. Sends TEARDOWN when it is left.

    Raises:
        CameraError: the stream could not be had, or ended; never holds a secret.
    """
    url = with_credentials(StreamAddress.of(request, candidate))
    opened_us = clock.monotonic_us()
    try:
        container = _open(url, request)
    except av.error.FFmpegError as error:
        elapsed_us = clock.monotonic_us() - opened_us
        is_late = elapsed_us >= 0.95 * request.open_timeout_s * US_PER_S
        if isinstance(error, av.error.InvalidDataError) and not is_late:
            raise _ask_again(url) from None
        raise camera_error(error, is_late=is_late) from None
    try:
        yield Connected(candidate=candidate)
        yield from _Reader(container, request, clock).messages(is_stopping)
    except av.error.FFmpegError as error:
        raise camera_error(error, is_late=False) from None
    finally:
        _close(container)


def _open(url: str, request: StreamRequest) -> InputContainer:
    options = {**_OPTIONS, "timeout": str(int(request.open_timeout_s * US_PER_S))}
    if not request.audio:
        options["allowed_media_types"] = "video"  # audio that nobody wants is never set up
    return av.open(
        url,
        mode="r",
        format="rtsp",
        options=options,
        metadata_errors="replace",
        timeout=(request.open_timeout_s, request.stall_timeout_s),
    )


def _ask_again(url: str) -> CameraError:
    """What a peer says that libav cannot read: libav calls garbage and a closed door the same."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 554)
    question = f"OPTIONS rtsp://{address[0]}:{address[1]}/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    try:
        with socket.create_connection(address, timeout=ASK_TIMEOUT_S) as peer:
            peer.sendall(question.encode())
            answer = peer.recv(1024)
    except OSError:
        answer = b""
    if answer:
        return CameraError(GapCause.STREAM_DAMAGED, "the camera sent what is no RTSP stream")
    return CameraError(
        GapCause.CAMERA_OFFLINE, "the camera closed the connection without an answer"
    )


def _close(container: InputContainer) -> None:
    try:
        container.close()
    except av.error.FFmpegError:
        return  # the camera is gone; there is nobody left to take leave of


class _Reader:
    """The demux loop of one session."""

    def __init__(self, container: InputContainer, request: StreamRequest, clock: Clock) -> None:
        self._container = container
        self._clock = clock
        self._video, video_codec = _video_stream(container)
        self._video_scale = _scale_of(self._video)
        self._builder = PictureBuilder(video_codec)
        self._audio = _audio_stream(container) if request.audio else None
        self._audio_format = None if self._audio is None else _audio_format(self._audio)
        self._audio_next_us: int | None = None
        now_us = clock.monotonic_us()
        self._format = StreamFormat(
            FormatTracker(video_codec, self._video.codec_context.extradata or b""),
            self._audio_format,
            stall_us=int(request.stall_timeout_s * US_PER_S),
            began_us=now_us,
        )
        self._video_us = now_us  # last piece of video
        self._said_us = now_us
        self._told_time_us: int | None = None

    def messages(self, is_stopping: Callable[[], bool]) -> Iterator[Message]:
        wanted = [self._video] if self._audio is None else [self._video, self._audio]
        video_index, builder = self._video.index, self._builder
        pts: int | None = None  # of the last piece of video
        for packet in self._container.demux(wanted):
            if packet.pts == pts and packet.stream_index == video_index and not packet.is_corrupt:
                if builder.go_on(bytes(packet)):
                    continue
            elif packet.stream_index == video_index:
                pts = packet.pts
            now_us = self._clock.monotonic_us()
            for message in self._take(packet, now_us):
                self._said_us = now_us
                yield message
            if now_us - self._said_us >= HEARTBEAT_US:
                self._said_us = now_us
                yield Heartbeat()
            if is_stopping():
                break
            self._format.check(now_us, self._video_us)
        for unit in self._builder.flush():
            yield from self._format.picture(unit)
        if not is_stopping():
            raise stream_ended()

    def _take(self, packet: Packet[Stream], now_us: int) -> Iterator[Message]:
        if not packet.size:
            return  # libav's mark of the end
        if packet.stream_index == self._video.index:
            self._video_us = now_us
            yield from self._camera_time(packet, now_us)
            piece = Piece(
                data=bytes(packet),
                media_us=_media_us(packet, self._video_scale),
                arrival_utc_us=self._clock.utc_us(),
                arrival_monotonic_us=now_us,
                is_corrupt=packet.is_corrupt,
            )
            for unit in self._builder.feed(piece):
                yield from self._format.picture(unit)
        elif self._audio is not None and packet.stream_index == self._audio.index:
            yield from self._format.sound(self._audio_unit(packet, now_us))

    def _audio_unit(self, packet: Packet[Stream], now_us: int) -> ReceivedUnit:
        """The frames behind the first of an RTP packet (RFC 3640) have no time of their own."""
        audio = self._audio_format
        assert audio is not None
        data = bytes(packet)
        media_us = _media_us(packet, _scale_of(packet.stream))
        if media_us is None:
            media_us = self._audio_next_us
        samples = AAC_FRAME_SAMPLES if audio.codec is Codec.AAC else len(data) // audio.channels
        if media_us is not None:
            self._audio_next_us = media_us + samples * US_PER_S // audio.sample_rate_hz
        return ReceivedUnit(
            track=Track.AUDIO,
            media_us=media_us,
            arrival_utc_us=self._clock.utc_us(),
            arrival_monotonic_us=now_us,
            is_key=True,
            is_damaged=packet.is_corrupt,
            data=data,
        )

    def _camera_time(self, packet: Packet[Stream], now_us: int) -> Iterator[Message]:
        """The camera's clock at this picture, which libav derives from RTCP (RFC 3550, 6.4.1)."""
        if self._told_time_us is not None and now_us - self._told_time_us < CAMERA_TIME_US:
            return
        for side_data in packet.iter_sidedata():
            if side_data.data_type == "prft" and side_data.data_size >= 8:
                camera_us: int = struct.unpack_from("<q", bytes(side_data))[0]
                if camera_us > 0:  # RTCP of a camera that has no clock says 1900
                    self._told_time_us = now_us
                    yield CameraTime(offset_us=camera_us - self._clock.utc_us())


def _scale_of(stream: Stream) -> tuple[int, int]:
    """What a time stamp of the stream is multiplied with and divided by to give microseconds."""
    base = stream.time_base
    assert base is not None
    return US_PER_S * base.numerator, base.denominator


def _media_us(packet: Packet[Stream], scale: tuple[int, int]) -> int | None:
    pts = packet.pts
    return None if pts is None else pts * scale[0] // scale[1]


def _video_stream(container: InputContainer) -> tuple[VideoStream, Codec]:
    for stream in container.streams.video:
        codec = _VIDEO.get(stream.codec_context.name)
        if codec is not None:
            return stream, codec
    raise wrong_codec(stream.codec_context.name for stream in container.streams.video)


def _audio_stream(container: InputContainer) -> AudioStream | None:
    for stream in container.streams.audio:
        context = stream.codec_context
        codec = _AUDIO.get(context.name)
        if codec is None or not context.sample_rate or not context.layout.nb_channels:
            continue
        if codec is not Codec.AAC or context.extradata:
            return stream
    return None


def _audio_format(stream: AudioStream) -> AudioFormat:
    context = stream.codec_context
    codec = _AUDIO[context.name]
    return AudioFormat(
        codec=codec,
        sample_rate_hz=context.sample_rate,
        channels=context.layout.nb_channels,
        config=(context.extradata or b"") if codec is Codec.AAC else b"",
    )


def with_credentials(address: StreamAddress) -> str:
    """The address with its credentials, percent-encoded (RFC 3986, 3.2.1), for libav.

    Raises:
        CameraError: libav would cut them.
    """
    if not address.username:
        return address.url
    credentials = f"{quote(address.username, safe='')}:{quote(address.password, safe='')}"
    if len(credentials) > MAX_CREDENTIAL_BYTES:
        raise CameraError(
            GapCause.CAMERA_AUTH,
            f"user name and password take over {MAX_CREDENTIAL_BYTES} bytes when percent-encoded",
            hint="give the recorder's account on the camera a shorter password",
        )
    scheme, _, rest = address.url.partition("://")
    return f"{scheme}://{credentials}@{rest}"


def camera_error(error: av.error.FFmpegError, *, is_late: bool) -> CameraError:
    """libav's error as cause and sentence; of its own text nothing is kept."""
    cause, detail = _meaning(error, is_late=is_late)
    return CameraError(cause, detail)


_BY_ERRNO = LINE_ERRORS | {
    errno.EIO: (GapCause.NETWORK, "the camera's name cannot be resolved, or the line broke"),
    errno.EPROTONOSUPPORT: REFUSALS[461],
}


def _meaning(error: av.error.FFmpegError, *, is_late: bool) -> tuple[GapCause, str]:
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return REFUSALS[401]
    if isinstance(error, av.error.HTTPForbiddenError):
        return REFUSALS[403]
    if isinstance(error, av.error.HTTPNotFoundError):
        return REFUSALS[404]
    if isinstance(error, av.error.HTTPClientError | av.error.HTTPServerError):
        return GapCause.CAMERA_REFUSED, "the camera refused the stream (4xx or 5xx)"
    if isinstance(error, av.error.ExitError) or is_late:
        return GapCause.CAMERA_OFFLINE, "the camera stayed silent"
    if isinstance(error, av.error.EOFError):
        return GapCause.CAMERA_OFFLINE, "the camera closed the connection"
    if error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    return GapCause.STREAM_DAMAGED, "the camera sent what is no RTSP stream"
