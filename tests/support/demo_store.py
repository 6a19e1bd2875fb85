"""An hour-old store of demo cameras: a gap, a boundary of segments, sound, H.265, B-frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from retention.clock import SystemClock
from retention.model import US_PER_S, Codec, GapCause, Marker, MarkerKind
from tests.retention.storing import Site
from tests.support.demo_footage import STREAM, Take, record_take

S = US_PER_S
MINUTE = 60 * S
CAMERAS = {
    "gate": 'name = "人行出口"\nrole = "face"',
    "parking": 'name = "停车场入口"\nrole = "vehicle"',
    "hall": 'name = "门厅"',
    "yard": 'name = "操场"',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStore:
    """``gate`` and ``parking``: 40 s from ``begin_us`` on, a full minute and a segments' edge at
    10 s, gate without 20 to 30 s (network), its camera telling of motion at 5 s; ``hall``: 10 s
    with A-law; ``yard``: 4 s of H.265."""

    site: Site
    begin_us: int


def make_demo_store(folder: Path) -> DemoStore:
    now_us = SystemClock().utc_us()
    begin_us = (now_us // MINUTE - 60) * MINUTE - 10 * S
    site = Site.make(folder)
    site.clock.now_us = begin_us
    with site.running(tuple(CAMERAS)) as recorder:
        first = [begin_us, begin_us + 10 * S, begin_us + 20 * S]
        takes = [
            Take(camera="gate", run="1" * 32, first_number=1, cuts_us=first),
            Take(
                camera="gate",
                run="2" * 32,
                first_number=3,
                cuts_us=[begin_us + 30 * S, begin_us + 40 * S],
            ),
            Take(
                camera="parking",
                run="3" * 32,
                first_number=1,
                cuts_us=[begin_us, begin_us + 10 * S, begin_us + 40 * S],
                stream=replace(STREAM, b_frames=2),
            ),
            Take(
                camera="hall",
                run="4" * 32,
                first_number=1,
                cuts_us=[begin_us, begin_us + 10 * S],
                stream=replace(STREAM, audio=Codec.ALAW),
            ),
            Take(
                camera="yard",
                run="5" * 32,
                first_number=1,
                cuts_us=[begin_us, begin_us + 4 * S],
                stream=replace(STREAM, codec=Codec.H265),
            ),
        ]
        for take in takes:
            record_take(recorder, take)
        recorder.opened.ledger.gap(
            "gate", begin_us + 20 * S, begin_us + 30 * S, GapCause.NETWORK, "cable"
        )
        moved = Marker(at_us=begin_us + 5 * S, camera="gate", kind=MarkerKind.MOTION)
        recorder.opened.ledger.markers_seen([moved], begin_us + 6 * S).result()
        site.clock.now_us = begin_us + 40 * S
    return DemoStore(site=site, begin_us=begin_us)
