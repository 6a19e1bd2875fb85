"""One player's session: which tracks it set up, and the packets that it is sent."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from edge.demo import rtp, units
from retention.model import AudioFormat, Codec, Track, VideoFormat

#: A player that is this far behind loses pictures, until the next key frame.
BACKLOG_BYTES_MAX = 4 * 1024 * 1024
REPORT_INTERVAL_US = 5_000_000


@dataclass(slots=True, kw_only=True)
class Lane:
    """What one track of a session needs for its packets."""

    channel: int
    control_channel: int
    codec: Codec
    clock_hz: int
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    sequence: int = field(default_factory=lambda: secrets.randbits(15))
    packet_count: int = 0
    octet_count: int = 0
    reported_us: int | None = None  # monotonic time of the newest sender report


class Session:
    """A session between SETUP and TEARDOWN; knows nothing of requests."""

    def __init__(self, transport: asyncio.WriteTransport, *, heard_us: int) -> None:
        self.id = secrets.token_hex(8)
        self.heard_us = heard_us  # monotonic time of the newest sign of life
        self.is_playing = False
        self.waits_for_key = True
        self.skipped_units = 0
        self._transport = transport
        self._lanes: dict[Track, Lane] = {}

    def set_up(
        self, track: Track, form: VideoFormat | AudioFormat, channels: tuple[int, int]
    ) -> Lane:
        """Adds a track; its packets travel on the two interleaved channels."""
        lane = Lane(
            channel=channels[0],
            control_channel=channels[1],
            codec=form.codec,
            clock_hz=rtp.clock_hz(form),
        )
        self._lanes[track] = lane
        return lane

    @property
    def lanes(self) -> dict[Track, Lane]:
        return self._lanes

    def wants(self, unit: units.MediaUnit) -> bool:
        """Whether this unit is to be sent now; decides what a slow or new player misses."""
        if not self.is_playing or unit.track not in self._lanes or self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
            self.waits_for_key = True
        if unit.track is Track.VIDEO and self.waits_for_key:
            self.waits_for_key = not unit.is_key
        if unit.track is Track.VIDEO and self.waits_for_key:
            self.skipped_units += 1
            return False
        return True

    def send(self, unit: units.MediaUnit, rtp_time: int, parts: list[bytes]) -> None:
        """One unit, in one write."""
        lane = self._lanes[unit.track]
        found = rtp.packets(
            parts,
            payload_type=rtp.payload_type(lane.codec),
            sequence=lane.sequence,
            rtp_time=rtp_time,
            ssrc=lane.ssrc,
            marker=unit.track is Track.VIDEO or lane.codec is Codec.AAC,
        )
        lane.sequence = (lane.sequence + len(found)) & 0xFFFF
        lane.packet_count += len(found)
        lane.octet_count += sum(map(len, parts))
        self._transport.write(b"".join(rtp.interleaved(lane.channel, one) for one in found))

    def report(self, track: Track, *, now_us: int, camera_utc_us: int, rtp_time: int) -> None:
        """A sender report when one is due; ``rtp_time`` is that of ``camera_utc_us``."""
        lane = self._lanes[track]
        if lane.reported_us is not None and now_us - lane.reported_us < REPORT_INTERVAL_US:
            return
        lane.reported_us = now_us
        packet = rtp.sender_report(
            ssrc=lane.ssrc,
            utc_us=camera_utc_us,
            rtp_time=rtp_time,
            packet_count=lane.packet_count,
            octet_count=lane.octet_count,
        )
        self._transport.write(rtp.interleaved(lane.control_channel, packet))

    def write_raw(self, data: bytes) -> None:
        """Bytes as they are, to play a broken camera."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """Ends the connection at once; what was not sent yet is lost."""
        self.is_playing = False
        self._transport.abort()
