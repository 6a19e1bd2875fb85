"""RTP as GB/T 28181 sends it (2022 annex C; RFC 3550, RFC 4571). Core.

All packets of a picture carry one time stamp, the last one the marker; sequence numbers never
jump. Over TCP each packet stands behind its 16-bit length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PAYLOAD_TYPE_PS = 96
#: Some receivers lose a stream whose packets are larger, also over TCP.
PAYLOAD_MAX = 1400
HEADER_BYTES = 12
_NTP_EPOCH_S = 2_208_988_800


@dataclass(slots=True, kw_only=True)
class RtpWriter:
    """Cuts packs into packets.

    Args:
        ssrc: the number of ``y=``.
        sequence: of the first packet; random.
        offset: added to each time stamp; random.
    """

    ssrc: int
    sequence: int = 0
    offset: int = 0
    payload_type: int = PAYLOAD_TYPE_PS
    payload_max: int = PAYLOAD_MAX
    #: For sender reports.
    packets: int = 0
    octets: int = 0

    def packets_of(self, pack: bytes, pts: int) -> list[bytes]:
        """The packets of one picture.

        Args:
            pts: 90 kHz; differs from the picture's before.
        """
        stamp = pts + self.offset & 0xFFFFFFFF
        pieces = [pack[at : at + self.payload_max] for at in range(0, len(pack), self.payload_max)]
        found = []
        for place, piece in enumerate(pieces, 1):
            kind = self.payload_type | (0x80 if place == len(pieces) else 0)
            head = struct.pack(">BBHII", 0x80, kind, self.sequence, stamp, self.ssrc)
            self.sequence = self.sequence + 1 & 0xFFFF
            found.append(head + piece)
        self.packets += len(pieces)
        self.octets += len(pack)
        return found

    def stamp_of(self, pts: int) -> int:
        """The RTP time stamp that stands for a presentation time (RTP-Info, sender reports)."""
        return pts + self.offset & 0xFFFFFFFF

    def sender_report(self, utc_us: int, pts: int, cname: str) -> bytes:
        """A compound of sender report and SDES (RFC 3550, 6.4.1 and 6.5)."""
        seconds, us = divmod(utc_us, 1_000_000)
        report = struct.pack(
            ">BBHIIIIII",
            0x80,
            200,
            6,
            self.ssrc,
            seconds + _NTP_EPOCH_S & 0xFFFFFFFF,
            (us << 32) // 1_000_000,
            self.stamp_of(pts),
            self.packets & 0xFFFFFFFF,
            self.octets & 0xFFFFFFFF,
        )
        name = cname.encode()[:255]
        item = bytes([1, len(name)]) + name
        item += bytes(4 - len(item) % 4)
        return report + struct.pack(">BBHI", 0x81, 202, 1 + len(item) // 4, self.ssrc) + item


def framed(packets: list[bytes]) -> bytes:
    """Packets behind their lengths, ready for one send over TCP (RFC 4571, 2)."""
    return b"".join(part for packet in packets for part in (struct.pack(">H", len(packet)), packet))
