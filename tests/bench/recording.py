"""What recording costs beside one ``ffmpeg -c copy -f segment`` per camera: same sources, same run.

CPU is user and system time of the recorder's processes over one window after a warm-up, memory
their proportional set size at its end. The sources are GStreamer's RTSP server with one pre-encoded
1080p25 clip of about 3.5 Mbit/s, TCP on loopback, as parts.md, section 9, measured it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.box import Box, BoxCamera

PEER = Path(__file__).parents[1] / "peers" / "gst_rtsp_server.py"
WARM_UP_S = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    cpu_s_per_camera_minute: float
    pss_mib: float
    frames: int  # recorded in all


def make_clip(folder: Path) -> Path:
    clip = folder / "1080p25.mkv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25:d=20"]
        + ["-vf", "noise=alls=12:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50"]
        + ["-bf", "0", "-b:v", "3500k", "-maxrate", "3500k", "-bufsize", "3500k", str(clip)],
        check=True,
    )
    return clip


@contextmanager
def rtsp_server(clip: Path, cameras: int) -> Iterator[list[str]]:
    mounts = [f"camera-{n}={clip}" for n in range(cameras)]
    server = subprocess.Popen(
        ["/usr/bin/python3", str(PEER), *mounts], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    port = json.loads(server.stdout.readline())["port"]
    try:
        yield [f"rtsp://127.0.0.1:{port}/camera-{n}" for n in range(cameras)]
    finally:
        server.kill()
        server.communicate()


def measure(roots: list[psutil.Process], cameras: int, window_s: float) -> tuple[float, float]:
    """CPU seconds per camera-minute and PSS in MiB of the processes and their descendants."""

    def family() -> list[psutil.Process]:
        return [*roots, *(child for root in roots for child in root.children(recursive=True))]

    def cpu_s() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in family())

    before_s, began = cpu_s(), time.monotonic()
    time.sleep(window_s)
    used_s, took_s = cpu_s() - before_s, time.monotonic() - began
    pss = sum(process.memory_full_info().pss for process in family())
    return used_s / cameras / (took_s / 60), pss / 2**20


def run_ffmpeg(urls: list[str], folder: Path, window_s: float) -> Cost:
    recorders = [
        subprocess.Popen(
            ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", url, "-an", "-c", "copy"]
            + ["-f", "segment", "-segment_time", "10", f"{folder}/{n}-%05d.mp4"],
            stdin=subprocess.DEVNULL,
        )
        for n, url in enumerate(urls)
    ]
    try:
        time.sleep(WARM_UP_S)
        cpu, pss = measure([psutil.Process(p.pid) for p in recorders], len(urls), window_s)
    finally:
        for process in recorders:
            process.terminate()
        for process in recorders:
            process.wait()
    return Cost(cpu_s_per_camera_minute=cpu, pss_mib=pss, frames=0)


def run_edge(urls: list[str], folder: Path, window_s: float) -> Cost:
    cameras = [BoxCamera(id=f"camera-{n}", source=f'rtsp = "{url}"') for n, url in enumerate(urls)]
    box = Box(folder=folder, cameras=cameras, segment_seconds=10, durability_seconds=5)
    box.write_config()
    box.start()
    try:
        box.wait_recording()
        time.sleep(WARM_UP_S)
        assert box.process is not None
        cpu, pss = measure([psutil.Process(box.process.pid)], len(urls), window_s)
        metrics = box.metrics()
        dropped = sum(v for name, v in metrics.items() if "dropped_frames_total" in name)
        assert dropped == 0, f"{dropped} frames dropped"
        frames = sum(v for name, v in metrics.items() if name.startswith("nvr_stream_frames_total"))
    finally:
        box.stop()
    return Cost(cpu_s_per_camera_minute=cpu, pss_mib=pss, frames=int(frames))


def main(counts: tuple[int, ...] = (1, 4, 16), window_s: float = 30.0) -> None:
    if shutil.which("ffmpeg") is None:
        sys.exit("the benchmark needs ffmpeg: apt-get install ffmpeg")
    print("cameras  recorder  CPU s per camera-minute  ratio  PSS MiB  ratio")
    with tempfile.TemporaryDirectory(prefix="xueliang-bench-") as name:
        folder = Path(name)
        clip = make_clip(folder)
        for cameras in counts:
            with rtsp_server(clip, cameras) as urls:
                (folder / f"ffmpeg-{cameras}").mkdir()
                peer = run_ffmpeg(urls, folder / f"ffmpeg-{cameras}", window_s)
                ours = run_edge(urls, folder / f"edge-{cameras}", window_s)
            for who, cost in (("ffmpeg", peer), ("edge", ours)):
                ratio = cost.cpu_s_per_camera_minute / peer.cpu_s_per_camera_minute
                print(
                    f"{cameras:7}  {who:8}  {cost.cpu_s_per_camera_minute:23.3f}  {ratio:5.2f}"
                    f"  {cost.pss_mib:7.0f}  {cost.pss_mib / peer.pss_mib:5.2f}",
                    flush=True,
                )
            shutil.rmtree(folder / f"ffmpeg-{cameras}")
            shutil.rmtree(folder / f"edge-{cameras}")


if __name__ == "__main__":
    main()
