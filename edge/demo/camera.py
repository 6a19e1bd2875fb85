"""One demo camera: its sources in real time, its RTSP server, and the faults it can be given."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections import deque
from collections.abc import Callable
from fractions import Fraction

from edge.demo import encode, rtp, source, units
from edge.demo.listener import HOST, Listener
from edge.demo.onvif_device import OnvifDevice
from edge.demo.onvif_events import EventDesk
from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.rtsp_server import Misbehaviour, RtspServer
from edge.demo.session import Session
from edge.demo.source import Source
from edge.demo.turning import Head
from retention.clock import Clock
from retention.model import US_PER_S, AudioFormat, Codec, MediaFormat, Track, VideoFormat

#: A camera whose process slept longer than this leaves pictures out instead of catching up.
LATE_US_MAX = 2 * US_PER_S
EXPIRY_INTERVAL_US = US_PER_S
#: Cameras are this share of a picture apart: no two take theirs at the same instant.
_PHASE = Fraction(382, 1000)


@dataclasses.dataclass(slots=True, kw_only=True)
class _Lane:
    """One track: its source and where it stands."""

    track: Track
    source: Source
    start_us: int  # media time of the source's tick 0
    tick: int = 0

    @property
    def due_us(self) -> int:
        """Media time of the next tick: microseconds since the camera was switched on."""
        return self.start_us + int(self.tick * self.source.interval_us)


class DemoCamera:
    """A camera on 127.0.0.1. Lives in one event loop; :meth:`run` plays until cancelled."""

    def __init__(self, plan: CameraPlan, clock: Clock, *, hue: int = 0) -> None:
        self.plan = plan
        self.password = plan.password
        self.misbehaviour = Misbehaviour.NONE
        self.is_stalled = False
        self.clock_offset_us = plan.clock_offset_us
        #: What was handed to the sockets, oldest first; empty unless the plan says log_units.
        self.sent: deque[units.SentUnit] = deque(maxlen=plan.log_units)
        self.server = RtspServer(self, clock)
        self.head = Head()
        self.device = OnvifDevice(self) if plan.onvif else None
        self.stream_uri_authority = plan.stream_uri_authority
        self._clock = clock
        self._hue = hue
        self._on_us = clock.monotonic_us()
        video = source.video_source(plan, hue=hue)
        sound = source.audio_source(plan)
        phase_us = int(hue * _PHASE * video.interval_us) % int(video.interval_us)
        self._lanes = {Track.VIDEO: _Lane(track=Track.VIDEO, source=video, start_us=phase_us)}
        if sound is not None:
            self._lanes[Track.AUDIO] = _Lane(track=Track.AUDIO, source=sound, start_us=0)
        self._rtp_base = {
            Track.VIDEO: secrets.randbits(32) if plan.rtp_base is None else plan.rtp_base,
            Track.AUDIO: secrets.randbits(32),
        }
        self._stream = plan.stream
        self._turn = 0
        self._jump_us = 0
        self._frozen_us: int | None = None

    # ---- what it is

    @property
    def media(self) -> MediaFormat:
        """The format as DESCRIBE tells it."""
        video = self._lanes[Track.VIDEO].source.format
        assert isinstance(video, VideoFormat)
        sound = self._lanes.get(Track.AUDIO)
        audio = sound.source.format if sound is not None else None
        assert audio is None or isinstance(audio, AudioFormat)
        return MediaFormat(video=video, audio=audio)

    @property
    def url(self) -> str:
        """The stream's URL, without credentials."""
        return f"rtsp://{HOST}:{self.server.listener.port}/{self.plan.profiles[0]}"

    def utc_us(self) -> int:
        """What the camera's own clock shows."""
        return self._clock.utc_us() + self.clock_offset_us

    def monotonic_us(self) -> int:
        return self._clock.monotonic_us()

    def picture(self) -> bytes:
        """What it sees now, as JPEG (of a loop: what it would see live). Blocks."""
        painter = source.painter_of(self.plan.stream, self.plan.label, self._hue)
        return encode.still(painter.paint(self._lanes[Track.VIDEO].tick, self.utc_us()))

    def key_frame(self) -> None:
        """The next picture is a key frame, if one does not come within a second anyhow."""
        self._lanes[Track.VIDEO].source.ask_key_frame()

    @property
    def stream(self) -> StreamPlan:
        """What its encoder is set to."""
        return self._stream

    def set_utc_us(self, utc_us: int) -> None:
        """Its clock shows this from now on."""
        self.clock_offset_us = utc_us - self._clock.utc_us()

    async def set_stream(self, stream: StreamPlan) -> None:
        """Another picture from the next tick on.

        Raises ValueError where the camera's codec would change.
        """
        self.switch(await asyncio.to_thread(self.prepare, stream))
        self._stream = stream

    def fire(self, kind: str, is_active: bool | None = None) -> None:
        """An event happens (``edge.demo.onvif_events.TOPICS``). Raises ValueError."""
        if self.device is None:
            raise ValueError(f"camera {self.plan.id} has no ONVIF")
        self.device.events.fire(kind, is_active, self.utc_us())

    def _fire_by_itself(self) -> None:
        """What the plan wants to happen by now: each kind in turn; a state lasts one turn."""
        plan = self.plan
        if self.device is None or not plan.event_seconds or not plan.event_kinds:
            return
        turn = self._media_us() // (plan.event_seconds * US_PER_S)
        if turn <= self._turn:
            return
        kinds = plan.event_kinds
        if self._turn:
            self.fire(kinds[self._turn % len(kinds)], False)
        self._turn = turn
        self.fire(kinds[turn % len(kinds)], True)

    def stream_authority(self) -> str:
        """Host and port that GetStreamUri names."""
        return self.stream_uri_authority or f"{HOST}:{self.server.listener.port}"

    # ---- faults, by the script of a test

    def stall(self) -> None:
        """Stay connected, send nothing."""
        self.is_stalled = True

    def resume(self) -> None:
        """Send again, from the next key frame on."""
        self.is_stalled = False
        for session in self.server.sessions:
            session.waits_for_key = True

    def drop(self) -> None:
        """Abort every RTSP connection; new ones are accepted."""
        self.server.drop()

    def unplug(self) -> None:
        """Abort every connection and refuse new ones, RTSP and ONVIF."""
        self._each_listener(Listener.refuse)
        self._drop_all()

    async def plug(self) -> None:
        """Accept connections again, on the same ports."""
        await self.open_listeners()

    def change_password(self, password: str) -> None:
        """Sessions that stand go on; new requests need the new password."""
        self.password = password
        self.server.new_nonce()

    def send_raw(self, data: bytes) -> None:
        """Put these bytes between two packets of every playing session."""
        for session in self.server.sessions:
            if session.is_playing:
                session.write_raw(data)

    def send_broken_unit(self, size_bytes: int = 3000) -> None:
        """A well-packed picture of random bytes."""
        nal = b"\x41" if self.media.video.codec is Codec.H264 else b"\x02\x01"
        noise = units.MediaUnit(
            track=Track.VIDEO, is_key=False, nals=(nal + secrets.token_bytes(size_bytes),)
        )
        self._send(Track.VIDEO, units.TimedUnit(pts_us=self._media_us(), unit=noise))

    def jump_timestamps(self, by_us: int) -> None:
        """All RTP time stamps from now on are this much later (or earlier)."""
        self._jump_us += by_us

    def freeze_timestamps(self, frozen: bool = True) -> None:
        """Every packet carries the same RTP time stamp, until unfrozen."""
        self._frozen_us = self._media_us() if frozen else None

    def prepare(self, stream: StreamPlan) -> Source:
        """A source for :meth:`switch`; opens encoders, so call it in a thread."""
        plan = dataclasses.replace(self.plan, stream=stream, media=None)
        return source.video_source(plan, hue=self._hue + 1)

    def switch(self, video: Source) -> None:
        """Another picture from the next tick on: resolution, encoder settings, GOP.

        The codec must stay, since SETUP fixed the payload type.
        """
        old = self._lanes[Track.VIDEO]
        if video.format.codec is not old.source.format.codec:
            raise ValueError("a running stream cannot change its codec")
        self._lanes[Track.VIDEO] = _Lane(track=Track.VIDEO, source=video, start_us=old.due_us)
        for session in self.server.sessions:
            session.waits_for_key = True  # nothing of the old picture comes behind the new one

    def set_onvif_silent(self, silent: bool = True) -> None:
        """The ONVIF device takes calls and does not answer."""
        if self.device is None:
            raise ValueError(f"camera {self.plan.id} has no ONVIF")
        self.device.is_silent = silent

    def counts(self) -> dict[str, int]:
        """Connections so far, sessions now, those that play, TEARDOWNs, pictures not sent; event
        subscriptions now, and all there ever were."""
        sessions = self.server.sessions
        events = EventDesk() if self.device is None else self.device.events
        return {
            "connections": self.server.connection_count,
            "sessions": len(sessions),
            "playing": sum(one.is_playing for one in sessions),
            "teardowns": self.server.teardown_count,
            "skipped": self.server.skipped_units,
            "subscriptions": events.count(self._clock.monotonic_us()),
            "subscriptions_made": events.made,
        }

    # ---- playing

    def playing(self, session: Session) -> None:
        """A player begins: give it a key frame soon, as real cameras do."""
        session.waits_for_key = not self.plan.start_mid_gop
        if session.waits_for_key:
            self._lanes[Track.VIDEO].source.ask_key_frame()

    async def open(self) -> None:
        """Switch on: accept connections, start the camera's time.

        Raises OSError when a fixed port is taken.
        """
        await self.open_listeners()
        self._on_us = self._clock.monotonic_us()

    async def open_listeners(self) -> None:
        """Accept connections, where they are refused now."""
        await self.server.listener.open()
        if self.device is not None:
            await self.device.listener.open()

    def _each_listener(self, act: Callable[[Listener], None]) -> None:
        act(self.server.listener)
        if self.device is not None:
            act(self.device.listener)

    def _drop_all(self) -> None:
        self.server.drop()
        if self.device is not None:
            self.device.drop()

    def close(self) -> None:
        """Switch off: end every connection, give the ports back."""
        self._each_listener(Listener.close)
        self._drop_all()

    async def run(self) -> None:
        """Play until cancelled."""
        expiry_us = 0
        while True:
            lane = min(self._lanes.values(), key=lambda one: one.due_us)
            late_us = self._media_us() - lane.due_us
            await asyncio.sleep(max(0, -late_us) / US_PER_S)
            if self._lanes[lane.track] is not lane:
                continue  # switched meanwhile
            if late_us > LATE_US_MAX:
                lane.tick += int(Fraction(late_us) / lane.source.interval_us)
            await self._tick(lane)
            if self._media_us() > expiry_us:
                expiry_us = self._media_us() + EXPIRY_INTERVAL_US
                self.server.expire()
                self._fire_by_itself()

    async def _tick(self, lane: _Lane) -> None:
        utc_us = self._utc_of(lane.due_us) + self.clock_offset_us
        if lane.source.is_blocking:
            found = await asyncio.to_thread(lane.source.produce, lane.tick, utc_us)
        else:
            found = lane.source.produce(lane.tick, utc_us)
        lane.tick += 1
        if self._lanes[lane.track] is not lane:
            return  # switched meanwhile: nothing of the old picture comes behind the new one
        for timed in found:
            placed = units.TimedUnit(pts_us=lane.start_us + timed.pts_us, unit=timed.unit)
            self._send(lane.track, placed)

    def _send(self, track: Track, timed: units.TimedUnit) -> None:
        if self.is_stalled:
            return
        wanting = [one for one in self.server.sessions if one.wants(timed.unit)]
        if not wanting:
            return
        form = self._lanes[track].source.format
        parts = rtp.payloads(form.codec, timed.unit)
        rtp_time = self._rtp_time(track, timed.pts_us)
        now_us = self._clock.monotonic_us()
        for session in wanting:
            session.report(
                track,
                now_us=now_us,
                camera_utc_us=self.utc_us(),
                rtp_time=self._rtp_time(track, self._media_us()),
            )
            session.send(timed.unit, rtp_time, parts)
            if self.sent.maxlen:
                self._log(session, timed, rtp_time)

    def _log(self, session: Session, timed: units.TimedUnit, rtp_time: int) -> None:
        unit = timed.unit
        self.sent.append(
            units.SentUnit(
                track=unit.track,
                session=session.id,
                rtp_time=rtp_time,
                capture_utc_us=self._utc_of(timed.pts_us),
                is_key=unit.is_key,
                size_bytes=sum(map(len, unit.nals)),
                sha256=unit.sha256,
            )
        )

    def _media_us(self) -> int:
        """Microseconds since the camera was switched on."""
        return self._clock.monotonic_us() - self._on_us

    def _utc_of(self, media_us: int) -> int:
        """The host's wall time of a media time."""
        return self._clock.utc_us() - (self._media_us() - media_us)

    def _rtp_time(self, track: Track, media_us: int) -> int:
        at_us = media_us if self._frozen_us is None else self._frozen_us
        hz = rtp.clock_hz(self._lanes[track].source.format)
        return (self._rtp_base[track] + (at_us + self._jump_us) * hz // US_PER_S) & 0xFFFFFFFF
