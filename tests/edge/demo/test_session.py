"""edge.demo.session: what a player is sent, and when it misses something."""

import asyncio

from edge.demo.session import BACKLOG_BYTES_MAX, Session
from edge.demo.units import MediaUnit
from retention.model import Codec, Track, VideoFormat

_VIDEO = VideoFormat(codec=Codec.H264, width=320, height=180, parameter_sets=())
_KEY = MediaUnit(track=Track.VIDEO, is_key=True, nals=(b"\x65key",))
_OTHER = MediaUnit(track=Track.VIDEO, is_key=False, nals=(b"\x41other",))
_SOUND = MediaUnit(track=Track.AUDIO, is_key=True, nals=(b"sound",))


class _Wire(asyncio.WriteTransport):
    """Keeps what is written; its backlog is set by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.backlog_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.backlog_bytes

    def is_closing(self) -> bool:
        return False


def _session() -> tuple[Session, _Wire]:
    wire = _Wire()
    session = Session(wire, heard_us=0)
    session.set_up(Track.VIDEO, _VIDEO, (0, 1))
    session.is_playing = True
    return session, wire


def test_a_player_begins_with_a_key_frame() -> None:
    session, _ = _session()
    assert [session.wants(one) for one in (_OTHER, _KEY, _OTHER)] == [False, True, True]
    assert session.skipped_units == 1


def test_a_track_that_was_not_set_up_is_not_sent() -> None:
    session, _ = _session()
    assert not session.wants(_SOUND)


def test_a_slow_player_misses_pictures_until_a_key_frame() -> None:
    session, wire = _session()
    assert session.wants(_KEY)
    wire.backlog_bytes = BACKLOG_BYTES_MAX + 1
    assert not session.wants(_OTHER)
    wire.backlog_bytes = 0
    assert not session.wants(_OTHER)
    assert session.wants(_KEY)


def test_packets_are_numbered_across_units() -> None:
    session, wire = _session()
    first = session.lanes[Track.VIDEO].sequence
    session.send(_KEY, 90, [b"a", b"b"])
    session.send(_OTHER, 180, [b"c"])
    numbers = [int.from_bytes(wire.data[at + 6 : at + 8], "big") for at in (0, 17, 34)]
    assert numbers == [first, first + 1, first + 2]


def test_reports_come_first_and_every_five_seconds() -> None:
    session, wire = _session()
    for second in range(11):
        session.report(Track.VIDEO, now_us=second * 1_000_000, camera_utc_us=0, rtp_time=0)
    channels, at = [], 0
    while at < len(wire.data):
        channels.append(wire.data[at + 1])
        at += 4 + int.from_bytes(wire.data[at + 2 : at + 4], "big")
    assert channels == [1, 1, 1]
