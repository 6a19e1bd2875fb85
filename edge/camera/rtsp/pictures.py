"""From RTP packets of H.264 and H.265 to access units (RFC 6184, RFC 7798). Core: no I/O, no clock.

All packets of an access unit carry its time stamp (RFC 6184, 5.1), so a change of it ends the
unit; where a camera repeats one time stamp for ever, the first slice of the next picture does. The
marker bit ends nothing: cameras set it as they like.
"""

from __future__ import annotations

from edge.camera.rtsp.rtp import MediaClock, Sequence, read_rtp
from retention.model import Codec, ReceivedUnit, Track
from retention.nal import (
    MAX_HELD_BYTES,
    is_key_frame,
    is_vcl,
    join_lengths,
    split_annexb,
    split_lengths,
)

#: No picture is larger (a 4K intra picture stays under 4 MiB); what is, is thrown away.
MAX_PICTURE_BYTES = 12 * 1024 * 1024
#: So many time stamps with parameter sets, delimiters or SEI alone may go before a picture.
MAX_HELD_UNITS = 64
#: Where a NAL unit with start codes in it, which none may have, shows the first of them.
ANNEXB_WITHIN_BYTES = 96
_START = b"\x00\x00\x01"

_H264_LEADS = frozenset({6, 7, 8, 9})  # SEI, SPS, PPS, AUD: before the first slice (7.4.1.2.3)
_H265_LEADS = frozenset({32, 33, 34, 35, 39})  # VPS, SPS, PPS, AUD, prefix SEI (7.4.2.4.4)
_H264_IDR, _H264_SEI = 5, 6


class _Picture:
    """What has come of one access unit."""

    __slots__ = (
        "arrival_monotonic_us", "arrival_utc_us", "chunks", "has_annexb", "has_sei", "has_slice",
        "held", "is_damaged", "is_key", "media_us", "size_bytes", "time",
    )  # fmt: skip

    def __init__(self, time: int, media_us: int, utc_us: int, monotonic_us: int) -> None:
        self.time = time
        self.media_us = media_us
        self.arrival_utc_us = utc_us
        self.arrival_monotonic_us = monotonic_us
        self.chunks: list[bytes] = []
        self.size_bytes = 0
        self.held = 0  # units of sets alone that wait in front of it
        self.has_slice = self.has_sei = self.has_annexb = False
        self.is_key = self.is_damaged = False


class PictureReader:
    """Takes the packets of one video track; ``lost_packets`` counts, and ``oversized`` the pictures
    that were thrown away."""

    def __init__(self, codec: Codec, *, clock_hz: int, payload_type: int, has_don: bool) -> None:
        self._codec = codec
        self._is_h265 = codec is Codec.H265
        self._payload_type = payload_type
        self._has_don = has_don and self._is_h265
        self._sequence = Sequence()
        self._source: int | None = None
        self.media = MediaClock(clock_hz)
        self._picture: _Picture | None = None
        self._ended: list[ReceivedUnit] = []
        self._open_nal: int | None = None  # place in chunks of a fragmented one's length
        self._open_bytes = 0
        self._was_marked = False
        self._is_after_loss = self._is_loss_after_mark = False
        self.oversized = 0
        self._is_one_missing = False  # before the next one

    @property
    def lost_packets(self) -> int:
        return self._sequence.lost

    def packet(self, data: bytes, utc_us: int, monotonic_us: int) -> list[ReceivedUnit]:
        """Takes a packet and when it came; the units that it ends, mostly none."""
        head = read_rtp(data)
        if head is None:
            return []
        is_ours = head.payload_type == self._payload_type
        if is_ours:
            self._source = head.source
        elif head.source != self._source:
            return []  # a stranger; what the same source sends besides pictures counts in order
        missing = self._sequence.take(head.sequence)
        if missing:
            if missing < 0:
                return []
            self._lost()
        if not is_ours or head.start >= head.end:
            return []
        picture = self._picture
        if picture is None or head.time != picture.time:
            if picture is not None:
                self._end_picture(self._new(head.time, utc_us, monotonic_us))
            else:
                self._picture = self._new(head.time, utc_us, monotonic_us)
        self._was_marked = head.is_marked
        if self._is_h265:
            self._h265(data, head.start, head.end, utc_us, monotonic_us)
        else:
            self._h264(data, head.start, head.end, utc_us, monotonic_us)
        if self._ended:
            ended, self._ended = self._ended, []
            return ended
        return []

    def flush(self) -> list[ReceivedUnit]:
        """Ends the picture in hand, as at the end of the stream."""
        picture = self._picture
        if picture is not None and (picture.has_slice or picture.has_annexb):
            picture.is_damaged |= self._open_nal is not None  # its end never came
            self._end_picture(None)
        self._picture = None
        ended, self._ended = self._ended, []
        return ended

    def _new(self, time: int, utc_us: int, monotonic_us: int) -> _Picture:
        return _Picture(time, self.media.at(time), utc_us, monotonic_us)

    def _lost(self) -> None:
        """Packets are missing: of the picture in hand, unless it was marked as whole."""
        self._is_after_loss = True
        self._is_loss_after_mark = self._was_marked
        self._close_nal()
        if self._picture is not None and not self._was_marked:
            self._picture.is_damaged = True

    # NAL units -------------------------------------------------------------------------------

    def _h264(self, data: bytes, at: int, end: int, utc_us: int, monotonic_us: int) -> None:
        kind = data[at] & 0x1F
        if kind == 28 or kind == 29:  # FU-A and FU-B, 5.8
            skip = at + (2 if kind == 28 else 4)
            flags = data[at + 1] if end > at + 1 else 0
            head = bytes((data[at] & 0xE0 | flags & 0x1F,))
            self._fragment(flags, head, data, skip, end, utc_us, monotonic_us)
        elif 0 < kind < 24 or data.startswith(_START[:2], at):
            self._whole(data[at:end], utc_us, monotonic_us)
        elif kind in (24, 25):  # STAP-A and STAP-B, 5.7.1
            self._aggregate(data, at + (1 if kind == 24 else 3), end, 0, utc_us, monotonic_us)
        elif kind in (26, 27):  # MTAP, which nobody may send us
            self._damaged()  # the types left over say nothing: they are to be ignored (5.2)

    def _h265(self, data: bytes, at: int, end: int, utc_us: int, monotonic_us: int) -> None:
        kind = data[at] >> 1 & 0x3F
        don = 2 if self._has_don else 0
        if end - at < 2 or (end - at == 2 and kind >= 48):
            self._damaged()
        elif kind == 49:  # FU, 4.4.3
            flags = data[at + 2]
            head = bytes((data[at] & 0x81 | (flags & 0x3F) << 1, data[at + 1]))
            skip = at + 3 + (don if flags & 0x80 else 0)
            self._fragment(flags, head, data, skip, end, utc_us, monotonic_us)
        elif kind == 48:  # AP, 4.4.2
            self._aggregate(data, at + 2 + don, end, don and 1, utc_us, monotonic_us)
        elif kind < 48:
            head = data[at : at + 2]
            body = data[at + 2 + don : end]
            self._whole(head + body if don else data[at:end], utc_us, monotonic_us)
        elif kind == 50:  # PACI, a unit in a wrapping that we do not take apart
            self._damaged()  # the types left over are for nobody: they are to be ignored

    def _fragment(
        self,
        flags: int,
        head: bytes,
        data: bytes,
        at: int,
        end: int,
        utc_us: int,
        monotonic_us: int,
    ) -> None:
        if at >= end:
            self._damaged()
            return
        if flags & 0x80:
            self._close_nal()
            picture = self._begin_nal(head + data[at : at + 2], utc_us, monotonic_us)
            self._open_nal = len(picture.chunks)
            self._open_bytes = len(head)
            picture.chunks += (b"", head)
            picture.size_bytes += 4 + len(head)
            if data.find(_START, at, at + ANNEXB_WITHIN_BYTES) >= 0:
                picture.has_annexb = True
        elif self._open_nal is None:
            self._damaged()  # its beginning was lost
            return
        else:
            assert self._picture is not None
            picture = self._picture
        size = end - at
        if picture.size_bytes + size > MAX_PICTURE_BYTES:
            self._throw_away()
            return
        picture.chunks.append(data[at:end])
        picture.size_bytes += size
        self._open_bytes += size
        if flags & 0x40:
            self._close_nal()

    def _aggregate(
        self, data: bytes, at: int, end: int, don: int, utc_us: int, monotonic_us: int
    ) -> None:
        while at + 2 <= end:
            size = data[at] << 8 | data[at + 1]
            at += 2
            if not size or at + size > end:
                self._damaged()
                return
            self._whole(data[at : at + size], utc_us, monotonic_us)
            at += size + don

    def _whole(self, nal: bytes, utc_us: int, monotonic_us: int) -> None:
        self._close_nal()
        picture = self._begin_nal(nal[:3], utc_us, monotonic_us)
        if picture.size_bytes + len(nal) > MAX_PICTURE_BYTES:
            self._throw_away()
            return
        picture.chunks += (len(nal).to_bytes(4, "big"), nal)
        picture.size_bytes += 4 + len(nal)
        if nal.find(_START, 0, ANNEXB_WITHIN_BYTES) >= 0:
            picture.has_annexb = True

    def _begin_nal(self, head: bytes, utc_us: int, monotonic_us: int) -> _Picture:
        """Notes what the first bytes of a NAL unit tell; they may begin the next picture."""
        picture = self._picture
        assert picture is not None
        first = len(head) > 2 and head[2 if self._is_h265 else 1] & 0x80
        if self._is_h265:
            kind = head[0] >> 1 & 0x3F
            is_slice, is_lead = kind < 32, kind in _H265_LEADS
            is_key = 16 <= kind < 24
        else:
            kind = head[0] & 0x1F
            is_slice, is_lead = 1 <= kind <= 5, kind in _H264_LEADS
            is_key = kind == _H264_IDR
        begins = is_lead or bool(is_slice and first)
        if picture.has_slice and begins:
            picture = self._end_picture(self._new(picture.time, utc_us, monotonic_us))
        if self._is_after_loss:
            self._is_after_loss = False
            picture.is_damaged |= self._is_loss_after_mark or not begins
        picture.has_slice |= is_slice
        picture.is_key |= is_key
        picture.has_sei |= kind == _H264_SEI and not self._is_h265
        return picture

    def _close_nal(self) -> None:
        """Writes the length of a fragmented NAL unit in front of it."""
        if self._open_nal is not None:
            assert self._picture is not None
            self._picture.chunks[self._open_nal] = self._open_bytes.to_bytes(4, "big")
            self._open_nal = None

    def _damaged(self) -> None:
        self._is_after_loss = False
        if self._picture is not None:
            self._picture.is_damaged = True

    def _throw_away(self) -> None:
        assert self._picture is not None
        self._open_nal = None
        self._picture.chunks.clear()
        self._picture.size_bytes = MAX_PICTURE_BYTES

    # Access units ----------------------------------------------------------------------------

    def _end_picture(self, following: _Picture | None) -> _Picture:
        """Hands out what is in hand; sets without a picture wait for the next one."""
        self._close_nal()
        picture, self._picture = self._picture, following
        assert picture is not None
        if picture.size_bytes >= MAX_PICTURE_BYTES:
            self._throw_out()
        elif picture.chunks:
            self._hand_out(picture)
        return following if following is not None else picture

    def _throw_out(self) -> None:
        self.oversized += 1
        self._is_one_missing = True

    def _hand_out(self, picture: _Picture) -> None:
        data = b"".join(picture.chunks)
        is_key, has_slice = picture.is_key, picture.has_slice
        if picture.has_annexb or (picture.has_sei and not is_key):
            nals = split_lengths(data)
            if picture.has_annexb:
                nals = [nal for one in nals for nal in split_annexb(_START + one)]
                data = join_lengths(nals)
                has_slice = any(is_vcl(self._codec, nal) for nal in nals)
            is_key = is_key_frame(self._codec, nals)
        following = self._picture
        if len(data) > MAX_PICTURE_BYTES:  # lengths take more room than start codes
            self._throw_out()
            return
        is_small = len(data) <= MAX_HELD_BYTES and picture.held < MAX_HELD_UNITS
        if not has_slice and following is not None and is_small:
            following.held = picture.held + 1
            following.chunks.insert(0, data)
            following.size_bytes += len(data)
            following.is_damaged |= picture.is_damaged
            following.has_sei |= picture.has_sei
            following.has_annexb |= picture.has_annexb
            return
        is_without = self._is_one_missing and not is_key  # of what it refers to
        self._is_one_missing = False
        self._ended.append(
            ReceivedUnit(
                track=Track.VIDEO,
                media_us=picture.media_us,
                arrival_utc_us=picture.arrival_utc_us,
                arrival_monotonic_us=picture.arrival_monotonic_us,
                is_key=is_key,
                is_damaged=picture.is_damaged or not has_slice or is_without,
                data=data,
            )
        )
