"""Encoded pictures as our own writer stores them."""

from __future__ import annotations

from retention.model import (
    US_PER_S,
    AccessUnit,
    ClockState,
    Fragment,
    MediaFormat,
    SegmentHeader,
    Track,
)
from retention.mp4.mux import Muxer
from tests.edge.diagnose.staging import RATE, Encoded

T0 = 1_795_478_400 * US_PER_S


def mp4_of(encoded: Encoded, rate: int = RATE, start_us: int = T0) -> bytes:
    """One group of pictures as our own writer stores it."""
    muxer = Muxer(
        SegmentHeader(
            camera="gate",
            run="0" * 32,
            number=1,
            start_us=start_us,
            clock=ClockState.TRUSTED,
            format=MediaFormat(video=encoded.format),
        )
    )
    return muxer.header + muxer.fragment(fragment_of(encoded, rate, start_us))


def fragment_of(encoded: Encoded, rate: int, start_us: int) -> Fragment:
    step_us = US_PER_S // rate
    return Fragment(
        units=tuple(
            AccessUnit(track=Track.VIDEO, pts_us=start_us + n * step_us, is_key=is_key, data=data)
            for n, (data, is_key) in enumerate(zip(encoded.pictures, encoded.keys, strict=True))
        ),
        start_us=start_us,
        end_us=start_us + len(encoded.pictures) * step_us,
        is_key=True,
    )
