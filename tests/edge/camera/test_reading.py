"""When what a camera sends is no stream any more."""

from __future__ import annotations

import pytest

from edge.camera.errors import CameraError
from edge.camera.pictures import FormatTracker
from edge.camera.reading import PICTURE_US, StreamFormat
from retention.model import US_PER_S, Codec, GapCause, ReceivedUnit, Track

STALL_US = 10 * US_PER_S


def picture(at_us: int) -> ReceivedUnit:
    return ReceivedUnit(
        track=Track.VIDEO,
        media_us=at_us,
        arrival_utc_us=at_us,
        arrival_monotonic_us=at_us,
        is_key=False,
        is_damaged=False,
        data=b"\0\0\0\2\x41\x9a",
    )


def cause_at(stream: StreamFormat, now_us: int, video_us: int) -> GapCause | None:
    try:
        stream.check(now_us, video_us)
    except CameraError as error:
        return error.cause
    return None


def test_packets_without_a_whole_picture_are_no_stream() -> None:
    """A camera that sends one endless picture would else be silent for ever, and look well."""
    stream = StreamFormat(FormatTracker(Codec.H264, b""), None, stall_us=STALL_US, began_us=0)
    assert list(stream.picture(picture(5 * US_PER_S))) == []
    last_us = 5 * US_PER_S + PICTURE_US + STALL_US
    assert cause_at(stream, last_us, last_us) is None
    assert cause_at(stream, last_us + 1, last_us) is GapCause.STREAM_DAMAGED
    list(stream.picture(picture(last_us)))
    assert cause_at(stream, last_us + 1, last_us) is None


@pytest.mark.parametrize("silent_s", [11, 100])
def test_silence_is_a_camera_that_is_away(silent_s: int) -> None:
    stream = StreamFormat(FormatTracker(Codec.H264, b""), None, stall_us=STALL_US, began_us=0)
    assert cause_at(stream, silent_s * US_PER_S, 0) is GapCause.CAMERA_OFFLINE
