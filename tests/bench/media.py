"""What serving a platform costs and how soon it begins: beside ffmpeg and a plain send loop.

One box with four demo cameras of 2 Mbit/s, edge and uplink as they are run, over loopback.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psutil

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S
from tests.peers.media_receiver import Receiver
from tests.support.calls import PeerCall, offer
from tests.support.cameras import demo_process
from tests.support.media_site import MediaSite, media_site

CAMERAS = ("one", "two", "three", "four")
TRIES = 30
SESSIONS = 4
WINDOW_S = 10.0
STREAM = StreamPlan(width=640, height=360, fps=25, gop_frames=50, bit_rate=2_000_000)


def first_packet_ms(site: MediaSite, name: str, times: tuple[int, int]) -> list[float]:
    """From INVITE to the first RTP packet, over UDP."""
    found = []
    for n in range(TRIES):
        camera = CAMERAS[n % len(CAMERAS)]
        with Receiver("udp").start() as receiver:
            sdp = offer(receiver, name=name, channel=site.codes[camera], times=times)
            call = PeerCall(site.peer, site.codes[camera], sdp)
            began_s = time.monotonic()
            call.invite()
            while not receiver.packets:
                time.sleep(0.001)
            found.append((receiver.packets[0].at_s - began_s) * 1000)
            call.bye()
    return found


def row(what: str, values_ms: list[float], reach: str) -> None:
    values = sorted(values_ms)
    p95 = values[int(len(values) * 0.95) - 1]
    print(f"{what:42} p50 {statistics.median(values):7.1f} ms  p95 {p95:7.1f} ms  reach {reach}")


def cpu_s(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in family)


def live_cost(site: MediaSite) -> float:
    """CPU seconds of uplink for each live session and minute."""
    receivers = [Receiver("udp").start() for _ in range(SESSIONS)]
    calls = []
    for receiver, camera in zip(receivers, CAMERAS, strict=False):
        call = PeerCall(site.peer, site.codes[camera], offer(receiver))
        call.invite()
        calls.append(call)
    time.sleep(2)
    service = site.box.service()
    before = cpu_s(service)
    time.sleep(WINDOW_S)
    used = cpu_s(service) - before
    for call in calls:
        call.bye()
    for receiver in receivers:
        receiver.stop()
    return used / SESSIONS / (WINDOW_S / 60)


def ffmpeg_cost(urls: list[str]) -> float:
    """The same of one ``ffmpeg -c copy`` each, from the camera to a receiver over RTP."""
    sinks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in urls]
    for sink in sinks:
        sink.bind(("127.0.0.1", 0))
    senders = [
        subprocess.Popen(
            ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", url, "-c", "copy"]
            + ["-f", "rtp_mpegts", f"rtp://127.0.0.1:{sink.getsockname()[1]}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for url, sink in zip(urls, sinks, strict=True)
    ]
    time.sleep(4)
    processes = [psutil.Process(one.pid) for one in senders]
    before = sum(cpu_s(one) for one in processes)
    time.sleep(WINDOW_S)
    used = sum(cpu_s(one) for one in processes) - before
    for one in senders:
        one.kill()
        one.wait()
    return used / len(urls) / (WINDOW_S / 60)


def download_rate(site: MediaSite) -> float:
    """Mbit/s of a download at the highest speed, of CPU time and the link's bound alike."""
    camera = CAMERAS[0]
    begin_s = site.begin_s(camera)
    end_s = begin_s + 20
    with Receiver("tcp").start() as receiver:
        more = "a=downloadspeed:32"
        times = (begin_s, end_s)
        sdp = offer(receiver, name="Download", channel=site.codes[camera], times=times, more=more)
        call = PeerCall(site.peer, site.codes[camera], sdp)
        call.invite()
        site.peer.wait("the end", call.has_ended, 60)
        call.bye()
        packets = receiver.packets
        size_bytes = sum(len(one.payload) for one in packets)
        seconds = packets[-1].at_s - packets[0].at_s
    speed = len({one.stamp for one in packets}) / STREAM.fps / seconds
    print(f"{'download at 32 times':42} {size_bytes * 8 / seconds / 1e6:.0f} Mbit/s, {speed:.1f}x")
    return size_bytes * 8 / seconds / 1e6


def packing_rate() -> float:
    """Mbit/s that packing and framing alone do in this process: PS, RTP, RFC 4571."""
    from retention.model import Codec, MediaFormat, VideoFormat
    from uplink.ps import PsWriter
    from uplink.rtp import RtpWriter, framed

    video = VideoFormat(codec=Codec.H264, width=64, height=48, parameter_sets=(b"\x67", b"\x68"))
    writer, rtp = PsWriter(MediaFormat(video=video)), RtpWriter(ssrc=1)
    picture = (9_996).to_bytes(4, "big") + b"\x41" + os.urandom(9_995)
    began_s, sent = time.process_time(), 0
    left, right = socket.socketpair()
    drain = threading.Thread(target=_drain, args=(right,), daemon=True)
    drain.start()
    for n in range(4000):
        pack = writer.picture(picture, n * 3600, n * 3600, is_key=n % 50 == 0)
        data = framed(rtp.packets_of(pack, n * 3600))
        left.sendall(data)
        sent += len(data)
    left.close()
    return sent * 8 / (time.process_time() - began_s) / 1e6


def plain_rate() -> float:
    """Mbit/s of CPU time of a loop that only sends, in pieces as large as a picture."""
    left, right = socket.socketpair()
    threading.Thread(target=_drain, args=(right,), daemon=True).start()
    data = bytes(10_000)
    began_s = time.process_time()
    for _ in range(4000):
        left.sendall(data)
    left.close()
    return 4000 * len(data) * 8 / (time.process_time() - began_s) / 1e6


def _drain(receiver: socket.socket) -> None:
    while receiver.recv(1 << 20):
        pass


def main() -> None:
    plans = [CameraPlan(id=name, stream=STREAM, loop_seconds=10, stamp=True) for name in CAMERAS]
    with tempfile.TemporaryDirectory() as folder, demo_process(*plans) as demo:
        cameras = {name: f'rtsp = "{demo[name].rtsp}"' for name in CAMERAS}
        with media_site(Path(folder), cameras, recorded_s=30) as site:
            row("INVITE to first packet, live", first_packet_ms(site, "Play", (0, 0)), "200 ms")
            begin_s = site.begun_us // US_PER_S + 8
            times = (begin_s, begin_s + 60)
            row(
                "INVITE to first packet, playback",
                first_packet_ms(site, "Playback", times),
                "500 ms",
            )
            ours = live_cost(site)
            theirs = ffmpeg_cost([demo[name].rtsp for name in CAMERAS])
            print(
                f"{'CPU a live session and minute':42} uplink {ours:.2f} s, ffmpeg -c copy"
                f" {theirs:.2f} s, ratio {ours / theirs:.2f}"
            )
            download_rate(site)
    packing, plain = packing_rate(), plain_rate()
    print(
        f"{'PS, RTP and framing, each CPU second':42} {packing:.0f} Mbit/s, plain send loop"
        f" {plain:.0f} Mbit/s, ratio {packing / plain:.2f}"
    )
