"""One session with a camera over RTSP (RFC 2326), packets inside the connection. Shell.

Blocking by design: it is all that a camera's child process does. What a camera may answer, and
what of it is believed, is in the cores beside it.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator

from edge.camera.errors import CameraError
from edge.camera.messages import StreamRequest
from edge.camera.pictures import FormatTracker
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
from edge.camera.rtsp import auth, message
from edge.camera.rtsp.message import CameraRequest, NotRtsp, Response, Splitter
from edge.camera.rtsp.pictures import PictureReader
from edge.camera.rtsp.rtp import Bye, SenderReport, read_rtcp
from edge.camera.rtsp.sdp import Description, Medium, read_sdp
from edge.camera.rtsp.sound import SoundReader, audio_format
from retention.clock import Clock
from retention.framing import CameraTime, Connected, Heartbeat, Lost, Message
from retention.model import (
    US_PER_S,
    AudioFormat,
    Codec,
    GapCause,
    Track,
)

RECV_BYTES = 256 * 1024
#: How long one look at the connection may wait: what is asked of us meanwhile waits for it.
LOOK_S = 0.25
#: Opening may take so many times as long as one answer.
OPEN_ANSWERS = 2
LEAVE_S = 0.3
SESSION_TIMEOUT_S = 60
#: Kept of what comes before the answer to PLAY.
EARLY_PACKETS_MAX = 20_000
EARLY_BYTES_MAX = 16 * 1024 * 1024
#: Between two looks for an answer that is not yet whole: it may come byte by byte.
TRICKLE_S = 0.002
#: A sender report's time before this is that of a camera which has no clock.
OLDEST_CLOCK_US = 0
#: Sound this far from the pictures by the camera's own clocks is not aligned by them.
ALIGN_MAX_US = 10 * US_PER_S
_VIDEO = {"H264": Codec.H264, "H265": Codec.H265, "HEVC": Codec.H265}


def read_stream(
    request: StreamRequest, candidate: int, clock: Clock, is_stopping: Callable[[], bool]
) -> Iterator[list[Message]]:
    """Plays one candidate address until the camera ends it or ``is_stopping()``.

    Yields what one look at the connection gave: Connected once the camera plays, Format before the
    first key frame and at each change, then Units (none before the first key frame), CameraTime and
    Lost now and then, Heartbeat whenever nothing else was said for a second. Sends TEARDOWN when it
    is left.

    Raises:
        CameraError: the stream could not be had, or ended; never holds a secret.
    """
    address = StreamAddress.of(request, candidate)
    opened_us = clock.monotonic_us()
    deadline_us = opened_us + int(OPEN_ANSWERS * request.open_timeout_s * US_PER_S)
    connection = _Connection(address, request, clock, deadline_us, is_stopping)
    try:
        session = _Session(connection, request, clock)
        session.open()
        yield [Connected(candidate=candidate)]
        yield from session.messages(is_stopping)
    except _Stopped:
        return
    except NotRtsp as error:
        raise CameraError(GapCause.STREAM_DAMAGED, str(error)) from None
    except OSError as error:
        raise camera_error(error) from None
    finally:
        connection.leave()


class _Stopped(Exception):
    """Asked to stop while the camera owed an answer."""


class _Connection:
    """The socket, and requests over it; packets that come between answers are kept."""

    def __init__(
        self,
        address: StreamAddress,
        request: StreamRequest,
        clock: Clock,
        deadline_us: int,
        is_stopping: Callable[[], bool],
    ) -> None:
        self.address = address
        self._is_stopping = is_stopping
        self.channels: set[int] = set()
        self.public = ""  # what the camera says that it can
        self.session_id = ""
        self.aggregate = address.url  # what PLAY and TEARDOWN are said of
        self._clock = clock
        self._answer_us = int(request.open_timeout_s * US_PER_S)
        self._deadline_us = deadline_us
        self._splitter = Splitter(self.channels)
        self._cseq = 0
        self._challenge: auth.Challenge | None = None
        self._nonce_count = 0
        self._is_proven = False  # the password was taken once
        self._may_repeat = False  # a keep-alive that is refused for its nonce
        self.has_heard = False
        self._buffer = bytearray(RECV_BYTES)  # one, for a new one each time is paged in anew
        self._view = memoryview(self._buffer)
        self.is_full = False  # the last look filled it: more waits
        self._timeout_s = 0.0
        self.early: list[tuple[message.Packet, int, int]] = []  # before the answer to PLAY
        self._early_bytes = 0
        try:
            self._socket = socket.create_connection(
                (address.host, address.port), timeout=request.open_timeout_s
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.is_tls:
                self._socket = _tls().wrap_socket(self._socket, server_hostname=address.host)
        except OSError as error:
            raise camera_error(error) from None
        except ValueError:  # of the codec that encodes names (RFC 3490), and of TLS's name
            raise CameraError(
                GapCause.CONFIG, "the camera's name is none that a host can have"
            ) from None

    def ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        *,
        may_lack: bool = False,
    ) -> Response:
        """Sends a request and waits for its answer, proving the password when asked to.

        Args:
            may_lack: a camera that does not know the method is no error.

        Raises:
            CameraError: the camera refuses, or says nothing in time.
        """
        for attempt in range(3):
            self.send(method, url, headers)
            response = self._response()
            self._is_proven |= self._challenge is not None and response.status != 401
            if response.status != 401 or attempt == 2 or not self._is_challenged(response):
                break
        if not (may_lack and response.status in _UNKNOWN_METHOD):
            _raise_for(response)
        return response

    def send(self, method: str, url: str, headers: dict[str, str] | None = None) -> None:
        """Sends a request, and waits for nothing."""
        fields = dict(headers or {})
        if self.session_id:
            fields["Session"] = self.session_id
        if self._challenge is not None:
            self._nonce_count += 1
            fields["Authorization"] = auth.authorization(
                self._challenge,
                username=self.address.username,
                password=self.address.password,
                method=method,
                url=url,
                cnonce=secrets.token_hex(8),
                count=self._nonce_count,
            )
        self._cseq += 1
        self._timeout_s = self._answer_us / US_PER_S
        self._socket.settimeout(self._timeout_s)
        self._socket.sendall(message.request(method, url, self._cseq, fields))

    def _is_challenged(self, response: Response) -> bool:
        """Whether the 401 asks for what was not yet tried."""
        challenge = auth.choose(response.headers.get("www-authenticate", []))
        if challenge is None or not self.address.username:
            return False
        before, self._challenge = self._challenge, challenge
        if before is not None and before.nonce == challenge.nonce:
            return False
        self._nonce_count = 0
        # Cameras lock accounts: a proof that was never taken is not tried with each new nonce.
        return before is None or challenge.is_stale or self._is_proven

    def _response(self) -> Response:
        until_us = min(self._clock.monotonic_us() + self._answer_us, self._deadline_us)
        while True:
            left_us = until_us - self._clock.monotonic_us()
            if left_us <= 0:
                raise TimeoutError
            if self._is_stopping():
                raise _Stopped
            try:
                data = self.receive(min(left_us / US_PER_S, LOOK_S))
            except TimeoutError:
                continue
            now_us, utc_us = self._clock.monotonic_us(), self._clock.utc_us()
            found: Response | None = None
            for item in self.split(data):
                if not isinstance(item, tuple):
                    is_it = item.status >= 200 and item.header("cseq") in ("", str(self._cseq))
                    found = item if is_it else found
                elif len(self.early) < EARLY_PACKETS_MAX and self._early_bytes < EARLY_BYTES_MAX:
                    self._early_bytes += len(item[1])
                    self.early.append((item, utc_us, now_us))
            if found is not None:
                return found
            time.sleep(TRICKLE_S)

    def receive(self, timeout_s: float) -> bytes:
        """The next bytes; none in time is TimeoutError, the end is CameraError."""
        if timeout_s != self._timeout_s:
            self._timeout_s = timeout_s
            self._socket.settimeout(timeout_s)
        size = self._socket.recv_into(self._buffer)
        if self.address.is_tls and size:
            size = self._more_records(size)
        self.is_full = size == RECV_BYTES
        if not size:
            raise CameraError(
                GapCause.CAMERA_OFFLINE,
                "the camera closed the connection"
                + ("" if self.has_heard else " without an answer"),
            )
        self.has_heard = True
        return bytes(self._view[:size])

    def _more_records(self, size: int) -> int:
        """What else is there: TLS gives one record of at most 16 KiB at a time (RFC 8446, 5.1)."""
        self._socket.settimeout(0.0)
        try:
            while size < RECV_BYTES and (more := self._socket.recv_into(self._view[size:])):
                size += more
        except OSError:
            return size  # that was all; an end is met again with the next look
        finally:
            self._socket.settimeout(self._timeout_s)
        return size

    def split(self, data: bytes) -> Iterator[message.Packet | Response]:
        """Packets and answers in these bytes; the camera's own requests are answered here."""
        for item in self._splitter.feed(data):
            if isinstance(item, CameraRequest):
                self._socket.sendall(message.answer(item))
            else:
                yield item

    def answered(self, response: Response) -> None:
        """The answer to a request that nobody waited for."""
        if response.status == 401:
            if self._is_challenged(response) and self._may_repeat:  # the nonce grew old
                self._may_repeat = False
                self._keep_alive()
        elif response.status >= 300 and "GET_PARAMETER" in self.public:
            self.public = ""  # it said that it could; OPTIONS from now on
            self._keep_alive()
        # What else a camera says of a keep-alive ends no stream: silence does.

    def keep_alive(self) -> None:
        """Tells the camera that somebody is there; its answer is for :meth:`answered`."""
        self._may_repeat = True
        self._keep_alive()

    def _keep_alive(self) -> None:
        is_able = "GET_PARAMETER" in self.public
        self.send("GET_PARAMETER" if is_able else "OPTIONS", self.aggregate)

    def leave(self) -> None:
        """TEARDOWN where a session stands; reads on shortly, for a close with bytes unread
        would take the request back."""
        with self._socket:
            try:
                if self.session_id:
                    self.send("TEARDOWN", self.aggregate)
                    until_us = self._clock.monotonic_us() + int(LEAVE_S * US_PER_S)
                    self._socket.shutdown(socket.SHUT_WR)
                    while (left_us := until_us - self._clock.monotonic_us()) > 0:
                        self._socket.settimeout(left_us / US_PER_S)
                        if not self._socket.recv(RECV_BYTES):
                            break
            except OSError:
                return  # the camera is gone; there is nobody left to take leave of


class _Session:
    """A description, its tracks, and what they send."""

    def __init__(self, connection: _Connection, request: StreamRequest, clock: Clock) -> None:
        self._connection = connection
        self._request = request
        self._clock = clock
        self._stall_us = int(request.stall_timeout_s * US_PER_S)
        self._video: PictureReader | None = None
        self._audio: SoundReader | None = None
        self._channels: dict[int, Track] = {}
        self._reports: dict[Track, SenderReport] = {}
        self._byes: set[Track] = set()
        self._is_aligned = False
        self._keep_alive_us = SESSION_TIMEOUT_S * US_PER_S // 2
        self._told_time_us: int | None = None
        self._told_lost = (0, 0)  # packets, pictures

    def open(self) -> None:
        """OPTIONS, DESCRIBE, SETUP of each track that is wanted, PLAY."""
        connection, url = self._connection, self._connection.address.url
        answer = connection.ask("OPTIONS", url, may_lack=True)
        connection.public = answer.header("public").upper()
        answer = connection.ask("DESCRIBE", url, {"Accept": "application/sdp"})
        description = read_sdp(answer.body)
        told = [answer.header("content-base"), answer.header("content-location")]
        told.append(description.control)
        base = next((one for one in told if one.lower().startswith(_SCHEMES)), url)
        connection.aggregate = _control(base, description.control)
        medium, codec = _choose_video(description)
        formats = FormatTracker(
            codec, b"".join(b"\0\0\0\1" + nal for nal in medium.parameter_sets())
        )
        self._set_up(medium, Track.VIDEO, base, 0)
        don = medium.parameters.get("sprop-max-don-diff", "0") not in ("", "0")
        self._video = PictureReader(
            codec, clock_hz=medium.clock_hz, payload_type=medium.payload_type, has_don=don
        )
        audio = self._open_sound(description, base) if self._request.audio else None
        connection.ask("PLAY", connection.aggregate, {"Range": "npt=0.000-"})
        began_us = self._clock.monotonic_us()
        self._format = StreamFormat(formats, audio, stall_us=self._stall_us, began_us=began_us)

    def _open_sound(self, description: Description, base: str) -> AudioFormat | None:
        for medium in description.media:
            form = audio_format(medium) if medium.kind == "audio" else None
            if form is not None:
                try:
                    self._set_up(medium, Track.AUDIO, base, 2)
                except CameraError as error:
                    if error.cause is not GapCause.CAMERA_REFUSED:
                        raise
                    return None  # pictures come first: the format tells that there is no sound
                self._audio = SoundReader(medium, form)
                return form
        return None

    def _set_up(self, medium: Medium, track: Track, base: str, channel: int) -> None:
        wanted = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}"
        url = _control(base, medium.control)
        answer = self._connection.ask("SETUP", url, {"Transport": wanted})
        given = answer.header("transport")
        if given and "TCP" not in given.upper() and "interleaved=" not in given.lower():
            raise CameraError(GapCause.CAMERA_REFUSED, "the camera offers no RTP over TCP")
        for part in given.split(";"):
            name, _, value = part.strip().partition("=")
            first = message.number(value.partition("-")[0])
            if name.lower() == "interleaved" and first is not None:
                channel = first
        if channel in self._channels or channel > 254:
            raise CameraError(GapCause.CAMERA_REFUSED, "the camera mixes its tracks up")
        self._channels[channel] = track
        self._connection.channels |= {channel, channel + 1}
        session, _, parameters = answer.header("session").partition(";")
        self._connection.session_id = session.strip() or self._connection.session_id
        _, _, timeout = parameters.replace(" ", "").lower().partition("timeout=")
        seconds = message.number(timeout.partition(";")[0])
        if seconds is not None and 0 < seconds < 86_400:
            self._keep_alive_us = seconds * US_PER_S // 2

    def messages(self, is_stopping: Callable[[], bool]) -> Iterator[list[Message]]:
        """What the tracks send, until the end."""
        connection, clock, video = self._connection, self._clock, self._video
        assert video is not None
        video_channel = next(c for c, track in self._channels.items() if track is Track.VIDEO)
        said_us = video_us = heard_us = kept_us = clock.monotonic_us()
        batch: list[Message] = []
        for packet, utc_us, monotonic_us in connection.early:
            batch += self._take(packet, utc_us, monotonic_us)
        connection.early.clear()
        while not is_stopping():
            is_over = len(self._byes) == len(self._channels)
            try:
                data = b"" if is_over else connection.receive(LOOK_S)
            except TimeoutError:
                data = b""
            except CameraError:
                data, is_over = b"", True
            now_us, utc_us = clock.monotonic_us(), clock.utc_us()
            if data:
                heard_us = now_us
            for item in connection.split(data):
                if not isinstance(item, tuple):
                    connection.answered(item)
                elif item[0] == video_channel:  # hundreds a second: the short way
                    video_us = now_us
                    for unit in video.packet(item[1], utc_us, now_us):
                        batch += self._format.picture(unit)
                else:
                    batch += self._take(item, utc_us, now_us)
            batch += self._lost()
            if is_over:
                yield [*batch, *self._flush()]
                raise stream_ended()
            if not batch and now_us - said_us >= HEARTBEAT_US:
                batch.append(Heartbeat())
            if batch:
                said_us = now_us
                yield batch
                batch = []
            if now_us - kept_us >= self._keep_alive_us:
                kept_us = now_us
                connection.keep_alive()
            try:
                if now_us - heard_us > self._stall_us:
                    raise CameraError(GapCause.CAMERA_OFFLINE, "the camera stayed silent")
                self._format.check(now_us, video_us)
            except CameraError:
                yield [*self._flush()]
                raise
            if not connection.is_full:
                time.sleep(max(0, now_us + GATHER_US - clock.monotonic_us()) / US_PER_S)
        yield [*batch, *self._flush()]

    def _take(self, packet: message.Packet, utc_us: int, now_us: int) -> Iterator[Message]:
        channel, data = packet
        track = self._channels.get(channel)
        if track is Track.VIDEO and self._video is not None:
            for unit in self._video.packet(data, utc_us, now_us):
                yield from self._format.picture(unit)
        elif track is Track.AUDIO and self._audio is not None:
            for unit in self._audio.packet(data, utc_us, now_us):
                yield from self._format.sound(unit)
        elif (track := self._channels.get(channel - 1)) is not None:
            yield from self._control_packet(track, data, utc_us, now_us)

    def _flush(self) -> Iterator[Message]:
        if self._video is not None:
            for unit in self._video.flush():
                yield from self._format.picture(unit)

    def _control_packet(
        self, track: Track, data: bytes, utc_us: int, now_us: int
    ) -> Iterator[Message]:
        for report in read_rtcp(data):
            if isinstance(report, Bye):
                self._byes.add(track)
                continue
            if report.utc_us <= OLDEST_CLOCK_US:
                continue  # a camera that has no clock says 1900
            self._reports[track] = report
            self._align()
            is_due = self._told_time_us is None or now_us - self._told_time_us >= CAMERA_TIME_US
            if track is Track.VIDEO and is_due:
                self._told_time_us = now_us
                yield CameraTime(offset_us=report.utc_us - utc_us)

    def _lost(self) -> Iterator[Message]:
        packets = self._audio.lost_packets if self._audio is not None else 0
        pictures = 0
        if self._video is not None:
            packets += self._video.lost_packets
            pictures = self._video.oversized
        before = self._told_lost
        if (packets, pictures) != before:
            yield Lost(packets=packets - before[0], pictures=pictures - before[1])
            self._told_lost = packets, pictures

    def _align(self) -> None:
        """Puts the sound's clock beside the pictures', once both tracks told theirs (6.4.1)."""
        if self._is_aligned or self._video is None or self._audio is None or len(self._reports) < 2:
            return
        pictures, sound = self._reports[Track.VIDEO], self._reports[Track.AUDIO]
        video_us = self._video.media.near(pictures.time)
        audio_us = self._audio.media.near(sound.time)
        if video_us is None or audio_us is None:
            return
        self._is_aligned = True
        shift_us = video_us + sound.utc_us - pictures.utc_us - audio_us
        if abs(shift_us) <= ALIGN_MAX_US:
            self._audio.media.shift(shift_us)


_SCHEMES = ("rtsp://", "rtsps://")


def _control(base: str, control: str) -> str:
    """Where a control attribute leads (RFC 2326, C.1.1); cameras leave the slash out."""
    if not control or control == "*":
        return base
    if control.lower().startswith(_SCHEMES):
        return control
    if control.startswith("/"):
        scheme, _, rest = base.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}{control}"
    return base + ("" if base.endswith("/") else "/") + control


def _choose_video(description: Description) -> tuple[Medium, Codec]:
    videos = [one for one in description.media if one.kind == "video"]
    for medium in videos:
        codec = _VIDEO.get(medium.encoding)
        if codec is not None:
            return medium, codec
    raise wrong_codec(one.encoding[:20] or "what has no name" for one in videos)


def _tls() -> ssl.SSLContext:
    """Encrypted, not proven: no camera has a certificate that anybody signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_UNKNOWN_METHOD = (404, 405, 501, 551)


def _raise_for(response: Response) -> None:
    if 200 <= response.status < 300:
        return
    cause, detail = REFUSALS.get(
        response.status,
        (GapCause.CAMERA_REFUSED, f"the camera refused the stream ({response.status})"),
    )
    raise CameraError(cause, detail)


def camera_error(error: OSError) -> CameraError:
    """The system's error as cause and sentence; of its own text nothing is kept."""
    if isinstance(error, TimeoutError):
        return CameraError(GapCause.CAMERA_OFFLINE, "the camera did not answer in time")
    if isinstance(error, socket.gaierror):
        return CameraError(GapCause.NETWORK, "the camera's name cannot be resolved")
    if isinstance(error, ssl.SSLError):
        return CameraError(GapCause.CAMERA_REFUSED, "the camera speaks no TLS that we know")
    cause, detail = LINE_ERRORS.get(
        error.errno or 0, (GapCause.NETWORK, "the line to the camera broke")
    )
    return CameraError(cause, detail)
