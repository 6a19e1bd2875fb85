"""Edge and uplink as they are run, before a platform's media server: what is stored, what came."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retention.index.errors import IndexUnavailable
from retention.model import US_PER_S, Codec, Track
from retention.nal import is_parameter_set, join_lengths, split_annexb, split_lengths
from retention.read import Store, StoredUnit
from tests.peers.media_receiver import Receiver
from tests.peers.platform import PlatformPeer
from tests.support.box import XUELIANG, free_range, wait_for
from tests.support.calls import PeerCall
from tests.support.uplink_box import BoxPlatform, UplinkBox

#: Codes of cameras by their place in the settings.
CODE = "3402000000132000{:04d}"


@dataclass(frozen=True, slots=True)
class MediaSite:
    """One box and one platform. Cameras are named; ``codes`` are their channels."""

    box: UplinkBox
    peer: PlatformPeer
    begun_us: int
    codes: Mapping[str, str]

    def store(self) -> Store:
        return Store(
            self.box.folder / "state" / "index.db", self.box.volumes or [self.box.folder / "volume"]
        )

    def recorded_s(self, cameras: Sequence[str]) -> float:
        """How much there is of the camera with the least."""
        try:
            with self.store() as store:
                newest = [store.newest(name) for name in cameras]
        except IndexUnavailable:
            return 0.0
        return min((one or 0) - self.begun_us for one in newest) / US_PER_S

    def wait_stored(self, camera: str) -> None:
        """Until what the camera sent so far is on disk."""
        now_us = time.time_ns() // 1000

        def is_stored() -> bool:
            with self.store() as store:
                return (store.newest(camera) or 0) > now_us

        wait_for("footage on disk", is_stored)

    def begin_s(self, camera: str) -> int:
        """A whole second soon behind the camera's first picture, in the middle of a group."""
        return self.stored(camera, 0, self.begun_us + 30 * US_PER_S)[0].unit.pts_us // US_PER_S + 2

    def units(self, camera: str, from_us: int, to_us: int | None = None) -> list[StoredUnit]:
        with self.store() as store:
            return list(store.access_units(camera, from_us, to_us))

    def stored(self, camera: str, from_us: int, to_us: int | None = None) -> list[StoredUnit]:
        """Pictures alone."""
        found = self.units(camera, from_us, to_us)
        return [one for one in found if one.unit.track is Track.VIDEO]

    def call(self, camera: str, sdp: bytes) -> PeerCall:
        made = PeerCall(self.peer, self.codes[camera], sdp)
        answer = made.invite()
        assert answer.status == 200, answer
        return made


@contextmanager
def media_site(
    folder: Path,
    cameras: Mapping[str, str],
    *,
    silent: Sequence[str] = (),
    recorded_s: float = 12,
    wrapper: Sequence[str] = (),
    host: str = "127.0.0.1",
    storage: str = "",
    volumes: Sequence[Path] = (),
    **settings: Any,
) -> Iterator[MediaSite]:
    """Records ``cameras`` (names, with the TOML of where they are) until ``recorded_s`` are there;
    those in ``silent`` give nothing.

    Args:
        wrapper: under which the services run.
        host: the platform's.
        storage: further lines of ``[storage]``.
        volumes: none: one below ``folder``.
        settings: of the platform.
    """
    codes = {name: CODE.format(place) for place, name in enumerate(cameras, 1)}
    tables = [
        f'[[camera]]\nid = "{name}"\nname = "{name}"\ngb_id = "{codes[name]}"\n{where}\n'
        for name, where in cameras.items()
    ]
    ports = free_range(100)
    settings.setdefault("extra", f'media_ports = "{ports}"\nmedia_sessions = 6\n')
    with PlatformPeer(host=host) as peer:
        platform = BoxPlatform(server=f"{host}:{peer.port}", **settings)
        box = UplinkBox(
            folder=folder,
            platforms=[platform],
            more="".join(tables),
            wrapper=wrapper,
            volumes=volumes,
        )
        box.storage = f"segment_seconds = 3\ndurability_seconds = 1\n{storage}"
        box.write_config()
        begun_us = time.time_ns() // 1000
        with (folder / "edge.log").open("wb") as log:
            edge = subprocess.Popen(
                [*wrapper, *XUELIANG, "run", "edge", "-c", box.config], stdout=log, stderr=log
            )
        try:
            made = MediaSite(box, peer, begun_us, codes)
            loud = [name for name in cameras if name not in silent]
            wait_for("recording", lambda: made.recorded_s(loud) > recorded_s, 60)
            with box:
                box.wait_registered()
                time.sleep(2.5)  # what edge tells is known
                yield made
                assert box.stop() == 0
        finally:
            edge.terminate()
            edge.wait(20)


def bare(codec: Codec, nals: list[bytes]) -> bytes:
    """A picture without parameter sets, which we add where the camera has them elsewhere."""
    return join_lengths(nal for nal in nals if not is_parameter_set(codec, nal))


def received(receiver: Receiver, codec: Codec) -> list[str]:
    return [
        hashlib.sha256(bare(codec, split_annexb(picture))).hexdigest()
        for picture in receiver.pictures()
    ]


def expected(units: list[StoredUnit], codec: Codec) -> list[str]:
    return [hashlib.sha256(bare(codec, split_lengths(one.unit.data))).hexdigest() for one in units]


def assert_part_of(got: list[str], whole: list[str]) -> None:
    """Nothing lost, doubled or changed between the first and the last."""
    assert got
    first = whole.index(got[0])
    assert got == whole[first : first + len(got)]
