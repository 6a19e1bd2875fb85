"""RTP payloads of the demo cameras (RFC 3550, 6184, 7798, 3640, 3551). Core: bytes out.

Only the sender's half; the recorder has a receiver of its own, and libav judges both.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from edge.demo import units
from retention.model import AudioFormat, Codec, MediaFormat, Track, VideoFormat

VIDEO_CLOCK_HZ = 90_000
#: Bytes of payload in one packet: what fits an Ethernet frame with RTP, UDP and IP headers.
PAYLOAD_BYTES_MAX = 1400
_NTP_EPOCH_S = 2_208_988_800
_US_PER_S = 1_000_000
_HEADER = struct.Struct(">BBHII")
_Join = Callable[[list[bytes]], bytes]
_Cut = Callable[[bytes], list[bytes]]


def payload_type(codec: Codec) -> int:
    """Static for G.711 (RFC 3551, table 4), else dynamic."""
    return {Codec.ULAW: 0, Codec.ALAW: 8, Codec.AAC: 97}.get(codec, 96)


def clock_hz(track: VideoFormat | AudioFormat) -> int:
    return VIDEO_CLOCK_HZ if isinstance(track, VideoFormat) else track.sample_rate_hz


def track_format(media: MediaFormat, track: Track) -> VideoFormat | AudioFormat | None:
    return media.video if track is Track.VIDEO else media.audio


def payloads(codec: Codec, unit: units.MediaUnit) -> list[bytes]:
    """The payloads of one unit; the last one's packet carries the marker bit."""
    if codec is Codec.H264:
        return _pictures(unit.nals, 1, _stap_a, _fu_a)
    if codec is Codec.H265:
        return _pictures(unit.nals, 2, _aggregation, _fu_h265)
    if codec is Codec.AAC:
        return [_aac_hbr(nal) for nal in unit.nals]
    return list(unit.nals)


def _pictures(nals: tuple[bytes, ...], header_bytes: int, join: _Join, cut: _Cut) -> list[bytes]:
    """Small neighbours share a packet, large units are cut, the others travel alone."""
    found: list[bytes] = []
    small: list[bytes] = []
    small_bytes = header_bytes

    def close() -> None:
        if small:
            found.append(small[0] if len(small) == 1 else join(small))
            small.clear()

    for nal in nals:
        size = len(nal) + 2
        if small and small_bytes + size > PAYLOAD_BYTES_MAX:
            close()
        if not small:
            small_bytes = header_bytes
        if small_bytes + size <= PAYLOAD_BYTES_MAX:
            small.append(nal)
            small_bytes += size
        elif len(nal) <= PAYLOAD_BYTES_MAX:
            found.append(nal)
        else:
            found += cut(nal)
    close()
    return found


def _sized(nals: list[bytes]) -> bytes:
    return b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def _stap_a(nals: list[bytes]) -> bytes:
    """RFC 6184, 5.7.1: the highest nal_ref_idc of all."""
    return bytes([max(nal[0] & 0x60 for nal in nals) | 24]) + _sized(nals)


def _fu_a(nal: bytes) -> list[bytes]:
    """RFC 6184, 5.8."""
    indicator = nal[0] & 0xE0 | 28
    return [
        bytes([indicator, flags | nal[0] & 0x1F]) + part
        for flags, part in _cut_parts(nal[1:], PAYLOAD_BYTES_MAX - 2)
    ]


def _aggregation(nals: list[bytes]) -> bytes:
    """RFC 7798, 4.4.2: lowest layer and temporal id of all."""
    layer = min((nal[0] & 1) << 5 | nal[1] >> 3 for nal in nals)
    temporal = min(nal[1] & 7 for nal in nals)
    return bytes([48 << 1 | layer >> 5, (layer & 0x1F) << 3 | temporal]) + _sized(nals)


def _fu_h265(nal: bytes) -> list[bytes]:
    """RFC 7798, 4.4.3."""
    header = bytes([nal[0] & 0x81 | 49 << 1, nal[1]])
    kind = nal[0] >> 1 & 0x3F
    return [
        header + bytes([flags | kind]) + part
        for flags, part in _cut_parts(nal[2:], PAYLOAD_BYTES_MAX - 3)
    ]


def _cut_parts(body: bytes, size: int) -> list[tuple[int, bytes]]:
    """Pieces with their start (0x80) and end (0x40) flags."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    last = len(parts) - 1
    return [
        ((0x80 if at == 0 else 0) | (0x40 if at == last else 0), part)
        for at, part in enumerate(parts)
    ]


def _aac_hbr(frame: bytes) -> bytes:
    """RFC 3640, 3.3.6: one AU header of 13 bits size and 3 bits index."""
    return struct.pack(">HH", 16, len(frame) << 3) + frame


def packets(
    parts: list[bytes],
    *,
    payload_type: int,
    sequence: int,
    rtp_time: int,
    ssrc: int,
    marker: bool,
) -> list[bytes]:
    """Whole RTP packets (RFC 3550, 5.1); ``sequence`` is the first one's."""
    last = len(parts) - 1
    return [
        _HEADER.pack(
            0x80,
            payload_type | (0x80 if marker and at == last else 0),
            (sequence + at) & 0xFFFF,
            rtp_time & 0xFFFFFFFF,
            ssrc,
        )
        + part
        for at, part in enumerate(parts)
    ]


def sender_report(
    *, ssrc: int, utc_us: int, rtp_time: int, packet_count: int, octet_count: int
) -> bytes:
    """An RTCP sender report and a CNAME (RFC 3550, 6.4.1 and 6.5); ``utc_us`` = its wall time."""
    seconds, us = divmod(utc_us, _US_PER_S)
    report = struct.pack(
        ">BBHIIIIII",
        0x80,
        200,
        6,
        ssrc,
        (seconds + _NTP_EPOCH_S) & 0xFFFFFFFF,
        (us << 32) // _US_PER_S,
        rtp_time & 0xFFFFFFFF,
        packet_count & 0xFFFFFFFF,
        octet_count & 0xFFFFFFFF,
    )
    item = struct.pack(">IBB", ssrc, 1, 4) + b"demo" + b"\0\0"  # ends with nulls, 32-bit aligned
    return report + struct.pack(">BBH", 0x81, 202, len(item) // 4) + item


def goodbye(*, ssrc: int) -> bytes:
    """RTCP BYE (RFC 3550, 6.6)."""
    return struct.pack(">BBHI", 0x81, 203, 1, ssrc)


def interleaved(channel: int, packet: bytes) -> bytes:
    """One packet inside the RTSP connection (RFC 2326, 10.12)."""
    return struct.pack(">BBH", 0x24, channel, len(packet)) + packet
