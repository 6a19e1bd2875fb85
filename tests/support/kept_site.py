"""A store that was recorded long ago, uplink as it is run, a platform; what ``edge`` tells is set.

Pictures are made up: no decoder would show them, but no two are alike, and key frames are larger
than what leaves at once.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from retention.endpoint import Endpoint, Health
from retention.model import US_PER_S, AccessUnit, EndReason, Fragment, Track
from retention.read import Store, StoredUnit
from tests.peers.platform import PlatformPeer
from tests.retention.storing import FakeClock, Recorder, Site, run_of
from tests.retention.writing import T0
from tests.support.box import free_range
from tests.support.calls import PeerCall
from tests.support.uplink_box import BoxPlatform, UplinkBox

GATE = "34020000001320000001"
FPS = 25
#: A key frame every second.
GROUP = FPS
SEGMENT_S = 10
START_S = T0 // US_PER_S


def told(**more: Any) -> dict[str, Any]:
    """A ``/status`` of ``edge`` with one camera that is well."""
    gate = {
        "presence": "ON", "recording": True, "cause": "", "codec": "h264", "width": 64,
        "height": 64, "bits_per_second": 1, "manufacturer": "", "model": "", "firmware": "",
    }  # fmt: skip
    empty: dict[str, Any] = {"volumes": [], "alarms": [], "pressure": 0.0}
    return {"cameras": {"gate": gate}, **empty, **more}


@dataclass(slots=True)
class KeptSite:
    box: UplinkBox
    peer: PlatformPeer
    #: What ``edge`` tells of itself; uplink asks every 2 s.
    told: dict[str, Any] = field(default_factory=told)

    def units(self) -> list[StoredUnit]:
        with Store(self.box.folder / "state" / "index.db", [self.box.folder / "volume"]) as store:
            return list(store.access_units("gate", 0))

    def call(self, sdp: bytes, status: int = 200) -> PeerCall:
        made = PeerCall(self.peer, GATE, sdp)
        answer = made.invite()
        assert answer.status == status, answer
        return made


@contextmanager
def kept_site(
    folder: Path, spans_s: tuple[tuple[int, int], ...], *, more: str = "", **platform: Any
) -> Iterator[KeptSite]:
    """``spans_s`` are recorded, in seconds from ``START_S`` on."""
    (folder / "volume").mkdir(parents=True)
    (folder / "state").mkdir()
    site = Site(folder, (folder / "volume",), FakeClock(T0))
    with site.running() as recorder:
        _record(recorder, spans_s)
    with PlatformPeer() as peer:
        extra = f'media_ports = "{free_range(100)}"\nmedia_sessions = 32\n{more}'
        told_platform = BoxPlatform(server=f"127.0.0.1:{peer.port}", extra=extra, **platform)
        camera = f'[[camera]]\nid = "gate"\nname = "门"\ngb_id = "{GATE}"\n'
        box = UplinkBox(
            folder=folder, platforms=[told_platform], more=camera + 'rtsp = "rtsp://127.0.0.1:9/"\n'
        )
        made = KeptSite(box, peer)
        health = Health(is_healthy=True, reasons={})
        endpoint = Endpoint(
            "127.0.0.1", box.metrics_port, CollectorRegistry(), lambda: health, lambda: made.told
        )
        try:
            with box:
                box.wait_registered()
                yield made
                assert box.stop() == 0
        finally:
            endpoint.close()


def _record(recorder: Recorder, spans_s: tuple[tuple[int, int], ...]) -> None:
    chance = random.Random(1)
    number = 0
    for place, (first_s, last_s) in enumerate(spans_s):
        run = f"{place:032x}"
        recorder.opened.ledger.run_started(run_of("gate", first_s, run))
        for start_s in range(first_s, last_s, SEGMENT_S):
            number += 1
            recorder.open(number, start_s, run=run)
            for second in range(start_s, min(start_s + SEGMENT_S, last_s)):
                recorder.writer().append("gate", number, _group(second, chance))
            recorder.writer().seal("gate", number, EndReason.ROTATED)


def _group(second: int, chance: random.Random) -> Fragment:
    start_us = T0 + second * US_PER_S
    units = []
    for n in range(GROUP):
        size = 70_000 if n == 0 else chance.randrange(500, 5000)
        body = chance.randbytes(size).replace(b"\0", b"\1")  # never a start code
        kind = b"\x41" if n else b"\x65"
        units.append(
            AccessUnit(
                track=Track.VIDEO,
                pts_us=start_us + n * US_PER_S // FPS,
                is_key=n == 0,
                data=(len(body) + 1).to_bytes(4, "big") + kind + body,
            )
        )
    end_us = start_us + US_PER_S
    return Fragment(units=tuple(units), start_us=start_us, end_us=end_us, is_key=True)
