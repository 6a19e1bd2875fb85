"""A camera's live units as a browser takes them: one fragment a picture. Core.

What goes out is a row of messages, each with a kind (1 byte), a length (4 bytes, big endian) and a
body: ``TOLD`` (JSON: type, instant of media time 0), then ``HEAD`` and ``FRAGMENT`` in the form of
stored files. Samples are byte-exact; there is no sound.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from retention.model import (
    AccessUnit,
    ClockState,
    Fragment,
    MediaFormat,
    SegmentHeader,
    Track,
)
from retention.mp4.browser import video_type
from retention.mp4.mux import FragmentUnfit, Muxer

TOLD, HEAD, FRAGMENT, IDLE = range(1, 5)
#: A picture lasts as long as the one before, and no longer than this.
PICTURE_US_MAX = 500_000
PICTURE_US = 40_000


class LiveMuxer:
    """Units in, messages out; begins with a key frame."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._muxer: Muxer | None = None
        self._run = ""
        self._format: MediaFormat | None = None
        self._before_us: int | None = None
        self._lasts_us = PICTURE_US

    def skipped(self) -> None:
        """Units are missing: nothing can be shown up to a key frame."""
        self._muxer = None

    def unit(self, run: str, format: MediaFormat, unit: AccessUnit) -> Iterator[bytes]:
        """Messages for the browser; none for sound, and before the first key frame."""
        if unit.track is not Track.VIDEO:
            return
        if run != self._run or format != self._format:
            self._muxer = None
        if self._muxer is None:
            if not unit.is_key:
                return
            self._run, self._format, self._before_us = run, format, None
            yield from self._begin(run, format, unit.pts_us)
        assert self._muxer is not None
        if self._before_us is not None and unit.pts_us - self._before_us > 0:
            self._lasts_us = min(unit.pts_us - self._before_us, PICTURE_US_MAX)
        self._before_us = unit.pts_us
        fragment = Fragment(
            units=(unit,),
            start_us=unit.pts_us,
            end_us=unit.pts_us + self._lasts_us,
            is_key=unit.is_key,
        )
        try:
            yield message(FRAGMENT, self._muxer.fragment(fragment))
        except FragmentUnfit:
            self._muxer = None  # again with the next key frame

    def _begin(self, run: str, format: MediaFormat, zero_us: int) -> Iterator[bytes]:
        self._muxer = Muxer(
            SegmentHeader(
                camera=self._camera,
                run=run,
                number=1,
                start_us=zero_us,
                clock=ClockState.TRUSTED,
                format=replace(format, audio=None),
            )
        )
        told = {"type": video_type(format.video), "zero_us": zero_us}
        yield message(TOLD, json.dumps(told).encode())
        yield message(HEAD, self._muxer.header)


def message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(4, "big") + body
