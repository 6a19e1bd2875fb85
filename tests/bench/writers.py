"""What it costs that a process of its own writes a volume, beside a thread of the same process.

Both write the same load at its own pace: fragments of two seconds of 16 cameras at 3.5 Mbit/s, one
segment a camera every ten seconds, rows to a real index. CPU is user and system time of all
processes, memory their proportional set size, over one window in one run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from retention.clock import SystemClock
from retention.index.write import IndexWriter
from retention.model import US_PER_S, AccessUnit, EndReason, Fragment, SegmentHeader, Track
from retention.volume_host import LocalVolume, VolumeHost
from retention.volume_messages import Attach
from retention.volume_process import VolumeProcess
from retention.writer_ports import WriterEvent
from tests.retention.storing import Quiet
from tests.retention.writing import FORMAT, T0, header

CAMERAS, WINDOW_S, WARM_UP_S = 16, 20, 4
GROUP_S, FPS, UNIT_BYTES = 2, 25, 17_500
SEGMENT_GROUPS = 5


def fragment(group: int) -> Fragment:
    start_us = T0 + group * GROUP_S * US_PER_S
    units = []
    for place in range(GROUP_S * FPS):
        kind = 0x65 if place == 0 else 0x41
        body = bytes([kind]) + group.to_bytes(4, "big") * ((UNIT_BYTES - 1) // 4)
        units.append(
            AccessUnit(
                track=Track.VIDEO,
                pts_us=start_us + place * US_PER_S // FPS,
                is_key=place == 0,
                data=len(body).to_bytes(4, "big") + body,
            )
        )
    return Fragment(
        units=tuple(units), start_us=start_us, end_us=start_us + GROUP_S * US_PER_S, is_key=True
    )


def measure(how: str, folder: Path) -> dict[str, float]:
    """Writes for a while in this process; what it cost."""
    (folder / "volume").mkdir()
    clock = SystemClock()
    index = IndexWriter(folder / "index.db")
    host: VolumeHost = VolumeProcess(str(folder), clock) if how == "process" else LocalVolume(clock)
    host.attach(
        Attach(path=str(folder / "volume"), uuid=None, new_uuid="v", now_us=1, reserve_bytes=0)
    )
    events: list[WriterEvent] = []
    writer = host.start_writer(
        rows=index, report=events.append, observer=Quiet(), durability_us=5 * US_PER_S
    )
    me = psutil.Process()

    def family() -> list[psutil.Process]:
        return [me, *me.children()]

    def cpu_s() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in family())

    before_s = 0.0
    began = time.monotonic()
    steps = (WARM_UP_S + WINDOW_S) // GROUP_S
    for group in range(steps):
        if group * GROUP_S == WARM_UP_S:
            before_s = cpu_s()
        made = fragment(group)
        number, place = divmod(group, SEGMENT_GROUPS)
        for camera in range(CAMERAS):
            name = f"camera-{camera}"
            if place == 0:
                if number:
                    writer.seal(name, number, EndReason.ROTATED)
                writer.open(_header(name, number + 1, made.start_us))
            writer.append(name, number + 1, made)
            # cameras do not send at once
            at_s = group * GROUP_S + (camera + 1) * GROUP_S / CAMERAS
            time.sleep(max(0.0, began + at_s - time.monotonic()))
    used_s = cpu_s() - before_s
    pss = sum(process.memory_full_info().pss for process in family())
    writer.close()
    host.leave()
    index.close()
    return {"cpu": used_s / CAMERAS / (WINDOW_S / 60), "pss_mib": pss / 2**20}


def _header(camera: str, number: int, start_us: int) -> SegmentHeader:
    base = header(number, camera)
    return SegmentHeader(
        camera=camera,
        run=base.run,
        number=number,
        start_us=start_us,
        clock=base.clock,
        format=FORMAT,
    )


def main() -> None:
    print(f"writing {CAMERAS} x 3.5 Mbit/s  CPU s per camera-minute  ratio  PSS MiB  more")
    found = {}
    for how in ("thread", "process"):
        with tempfile.TemporaryDirectory(prefix="xueliang-bench-") as folder:
            command = [sys.executable, "-m", "tests.bench.writers", how, folder]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            found[how] = json.loads(told)
        cost, peer = found[how], found["thread"]
        print(
            f"{how:23}  {cost['cpu']:23.3f}  {cost['cpu'] / peer['cpu']:5.2f}"
            f"  {cost['pss_mib']:7.0f}  {cost['pss_mib'] - peer['pss_mib']:+4.0f}",
            flush=True,
        )


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
