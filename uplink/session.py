"""One call being served: units from the tap or the store, packed, paced, sent. Shell.

A live call begins with the newest group of pictures, sent quicker than it was taken, and skips to a
key frame when its peer does not keep up. A playback or download waits for its peer, obeys INFO,
and tells its end (MediaStatus 121) before it leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from config.errors import XueliangError
from retention.clock import Clock
from retention.model import US_PER_S, Track
from retention.tap_messages import Skipped
from uplink.footage import Footage, Source, TapGone, live_units
from uplink.mansrtsp import Method, PlaybackRequest, write_reply
from uplink.media_metrics import MediaMetrics
from uplink.media_sockets import MediaSocketError, TcpSink, UdpSink
from uplink.playback import From, Placed, Playback
from uplink.ports import Call
from uplink.ps import PsWriter
from uplink.rtp import RtpWriter
from uplink.sdp import Kind

log = logging.getLogger(__name__)

#: How much quicker than real time the cached group of a live call is sent.
CATCH_UP = 4
#: A camera that gives no picture for so long ends its live calls.
LIVE_SILENCE_S = 20.0
TAP_RETRY_S = 1.0
#: Behind the end a platform may still seek; then we leave.
AFTER_END_S = 15.0
TEARDOWN_S = 2.0
REPORT_S = 5.0
#: While recording is strained a download looks again so often.
STRAINED_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every session shares."""

    footage: Footage
    state_dir: Path
    clock: Clock
    metrics: MediaMetrics
    #: Whether the recorder has trouble keeping up.
    is_strained: Callable[[], bool]


class Session:
    """One call, from its acceptance on.

    Args:
        playback: the range, of a playback or download; of a live call one without an end.
        end_of_file: the body of MediaStatus 121.
        invited_s: when the INVITE came, on the loop's clock.
    """

    def __init__(
        self,
        around: Surroundings,
        call: Call,
        *,
        kind: Kind,
        camera: str,
        channel: str,
        sink: UdpSink | TcpSink,
        rtp: RtpWriter,
        playback: Playback,
        end_of_file: bytes,
        invited_s: float,
    ) -> None:
        self.kind = kind
        self.camera = camera
        self.channel = channel
        self.call = call
        self.sink = sink
        self.rtp = rtp
        #: Recorded instants of what was sent.
        self.first_us: int | None = None
        self.last_us: int | None = None
        self._around = around
        self._playback = playback
        self._end_of_file = end_of_file
        self._invited_s = invited_s
        self._writer: PsWriter | None = None
        self._changed = asyncio.Event()
        self._moved: From | None = None
        self._is_torn = False
        transport = "udp" if isinstance(sink, UdpSink) else "tcp"
        metrics = around.metrics
        self._sent_bytes = metrics.sent_bytes.labels(call.platform, transport)
        self._stalls = metrics.stalls.labels(call.platform, transport)
        self._reported_s = 0.0

    @property
    def sent_bytes(self) -> int:
        return self.rtp.octets

    def control(self, request: PlaybackRequest) -> bytes:
        """Carry out a MANSRTSP request; the body of its answer."""
        if self.kind is not Kind.PLAY:
            moved = self._playback.control(request)
            if moved is not None:
                self._moved = moved
            self._is_torn = self._is_torn or request.method is Method.TEARDOWN
            self._changed.set()
        return write_reply(
            request,
            position_s=self._playback.position_s,
            scale=self._playback.scale,
            sequence=self.rtp.sequence,
            rtp_time=self.rtp.stamp_of(self._playback.times.following),
        )

    async def run(self) -> None:
        """Serve until the peer or the footage ends; the call is left then."""
        try:
            await self.sink.open()
            await (self._live() if self.kind is Kind.PLAY else self._history())
        except MediaSocketError as error:
            self._fail(error.code, error)
        except XueliangError as error:  # footage or index: what was asked for cannot be read
            self._fail(error.code, error)
            await self.call.message(self._end_of_file)
        except Exception:  # a supervision point: one call, not the service
            self._around.metrics.failures.labels("error").inc()
            log.exception("call_failed", extra={"call": self.call.id})
        self.call.bye()

    def _fail(self, cause: str, error: XueliangError) -> None:
        self._around.metrics.failures.labels(cause).inc()
        log.warning("call_broke_off", extra={"call": self.call.id, "error": error.sentence()})

    # Live ------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Also across a restart of ``edge``, for as long as the platform may be left waiting."""
        while True:
            try:
                await self._tap()
            except TimeoutError:
                log.info("live_ended", extra={"call": self.call.id})
                return
            except TapGone as error:
                log.info("tap_gone", extra={"call": self.call.id, "error": str(error)})
                self._playback.skip()
                await asyncio.sleep(TAP_RETRY_S)
                if self._is_silent():
                    return

    async def _tap(self) -> None:
        begun_us: int | None = None
        began_dts = 0
        async with aclosing(live_units(self._around.state_dir, self.camera)) as taken:
            while True:
                try:
                    async with asyncio.timeout(LIVE_SILENCE_S):
                        batch = await anext(taken)
                except StopAsyncIteration:
                    return
                if isinstance(batch, Skipped):
                    self._stalls.inc()
                    self._playback.skip()
                    continue
                for stored in batch.units:
                    if not self.sink.has_room():
                        self._stalls.inc()
                        self._playback.skip()
                        continue
                    placed = self._playback.place(stored, batch.depth)
                    if placed is None:
                        continue
                    now_us = self._around.clock.monotonic_us()
                    if begun_us is None:
                        begun_us, began_dts = now_us, placed.dts
                    ahead_us = (placed.dts - began_dts) * US_PER_S // (90_000 * CATCH_UP)
                    if begun_us + ahead_us > now_us:
                        await asyncio.sleep((begun_us + ahead_us - now_us) / US_PER_S)
                    await self._send(placed)

    def _is_silent(self) -> bool:
        last_us = self.last_us
        if last_us is None:
            loop_s = asyncio.get_running_loop().time()
            return loop_s - self._invited_s > LIVE_SILENCE_S
        return self._around.clock.utc_us() - last_us > LIVE_SILENCE_S * US_PER_S

    # Playback and download -------------------------------------------------------------------

    async def _history(self) -> None:
        place: From | None = self._playback.begin()
        while place is not None and not self._is_torn:
            footage = self._around.footage
            source = footage.source(self.camera, place, self._playback.to_us)
            try:
                is_over = await self._play(source)
            finally:
                source.close()
            place, self._moved = self._moved, None
            if is_over and place is None and not self._is_torn:
                place = await self._end()
        if self._is_torn:
            await asyncio.sleep(TEARDOWN_S)

    async def _play(self, source: Source) -> bool:
        """Send what the source has; False where the platform went elsewhere."""
        while True:
            batch = await source.next()
            if self._moved is not None or self._is_torn:
                return False
            if batch is None:
                return True
            for stored in batch.units:
                placed = self._playback.place(stored, batch.depth)
                if placed is not None and not await self._when_due(placed):
                    return False

    async def _when_due(self, placed: Placed) -> bool:
        """Send at its time; False where the platform went elsewhere meanwhile."""
        while True:
            if self._moved is not None or self._is_torn:
                return False
            if self._playback.is_paused:
                await self._wait_for_change(None)
                continue
            if self.kind is Kind.DOWNLOAD and self._around.is_strained():
                await self._wait_for_change(STRAINED_S)
                continue
            now_us = self._around.clock.monotonic_us()
            wait_us = self._playback.due_us(placed, now_us) - now_us
            if wait_us <= 0:
                break
            await self._wait_for_change(wait_us / US_PER_S)
        # before it leaves: what is ordered meanwhile is ordered behind this picture
        self._playback.sent(placed)
        await self._send(placed)
        return True

    async def _wait_for_change(self, timeout_s: float | None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _end(self) -> From | None:
        """The end is told; the platform may still seek, else we leave (gb28181.md 5.5)."""
        await self.sink.drain()
        status = await self.call.message(self._end_of_file)
        if status in (404, 481):
            return None
        deadline_s = asyncio.get_running_loop().time() + AFTER_END_S
        while self._moved is None and not self._is_torn:
            left_s = deadline_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                return None
            await self._wait_for_change(left_s)
        place, self._moved = self._moved, None
        return place

    # The wire --------------------------------------------------------------------------------

    async def _send(self, placed: Placed) -> None:
        stored = placed.stored
        if self._writer is None:
            self._writer = PsWriter(stored.format)
        elif stored.format is not self._writer.format and stored.format != self._writer.format:
            self._writer.set_format(stored.format)
        unit = stored.unit
        if unit.track is Track.VIDEO:
            pack = self._writer.picture(unit.data, placed.pts, placed.dts, is_key=unit.is_key)
            self.first_us = unit.pts_us if self.first_us is None else self.first_us
            self.last_us = unit.pts_us
        else:
            pack = self._writer.sound(unit.data, placed.pts, placed.dts)
        if not pack:
            return
        packets = self.rtp.packets_of(pack, placed.pts)
        is_first = self.rtp.packets == len(packets)
        await self.sink.send(packets)
        self._sent_bytes.inc(len(pack))
        now_s = asyncio.get_running_loop().time()
        if is_first:
            self._around.metrics.first_packet.labels(self.call.platform, self.kind.label).observe(
                now_s - self._invited_s
            )
        if now_s - self._reported_s > REPORT_S and isinstance(self.sink, UdpSink):
            self._reported_s = now_s
            utc_us = self._around.clock.utc_us()
            self.sink.report(self.rtp.sender_report(utc_us, placed.pts, self.channel))
