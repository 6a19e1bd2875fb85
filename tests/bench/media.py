"""What serving a platform costs and how soon it begins: beside ffmpeg and a plain send loop.

A box with four demo cameras of 2 Mbit/s, edge and uplink as they are run, over loopback; then 32
calls beside 16 cameras, where each frame that was sent must be stored; then playback out of a store
of 90 days (two million segments), at instants drawn from all of it.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.request import urlopen

import psutil

from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.units import SentUnit
from retention.fragments import encode_table
from retention.index.write import connect_for_writing
from retention.layout import segment_path
from retention.model import (
    US_PER_S,
    AccessUnit,
    ClockState,
    Fragment,
    SegmentHeader,
    Track,
)
from tests.peers.media_receiver import Receiver
from tests.peers.platform import PlatformPeer
from tests.support.big_store import FORMAT, GOP_US, BigStore, make_big_store
from tests.support.calls import PeerCall, offer
from tests.support.cameras import demo_process
from tests.support.media_site import CODE, MediaSite, media_site
from tests.support.small_segments import sealed
from tests.support.uplink_box import BoxPlatform, UplinkBox

CAMERAS = ("one", "two", "three", "four")
TRIES = 30
SESSIONS = 4
MANY_CAMERAS, MANY_CALLS, MANY_S = 16, 32, 40.0
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


def many_calls() -> None:
    """32 calls beside 16 cameras that record: nothing may be lost of these."""
    stream = StreamPlan(width=640, height=360, fps=25, gop_frames=50, bit_rate=1_000_000)
    names = [f"camera-{n}" for n in range(MANY_CAMERAS)]
    plans = [
        CameraPlan(id=name, stream=stream, loop_seconds=10, stamp=True, log_units=20_000)
        for name in names
    ]
    settings = 'media_ports = "31000-31099"\nmedia_sessions = 32\n'
    with tempfile.TemporaryDirectory() as folder, demo_process(*plans) as demo:
        cameras = {name: f'rtsp = "{demo[name].rtsp}"' for name in names}
        with (
            media_site(Path(folder), cameras, recorded_s=15, extra=settings) as site,
            ExitStack() as stack,
        ):
            begin_s = site.begun_us // US_PER_S + 6
            served = [
                _called(stack, site, names[n % len(names)], n, begin_s) for n in range(MANY_CALLS)
            ]
            time.sleep(MANY_S)
            dropped = sum(
                value
                for name, value in _metrics_of_edge(site).items()
                if name.startswith("nvr_recording_dropped_frames_total")
            )
            skipped = sum(
                value
                for name, value in site.box.metrics().items()
                if name.startswith("nvr_gb28181_send_stalls_total")
            )
            for call, _ in served:
                call.bye()
            taken = sum(len(packet.payload) for _, one in served for packet in one.packets)
            frames = sum(_stored_of(site, name, demo.sent(name)) for name in names)
            alive = sum(bool(one.packets) for _, one in served)
    print(
        f"{MANY_CALLS} calls ({alive} with pictures, {taken * 8 / MANY_S / 1e6:.0f} Mbit/s,"
        f" {skipped:.0f} stalls) beside {MANY_CAMERAS} cameras for {MANY_S:.0f} s:"
        f" {dropped:.0f} frames dropped by edge, {frames} sent frames looked for, none missing"
    )
    assert dropped == 0
    assert alive == MANY_CALLS


def _called(
    stack: ExitStack, site: MediaSite, camera: str, n: int, begin_s: int
) -> tuple[PeerCall, Receiver]:
    """Of four calls two are live over UDP, one live over TCP, one a playback over TCP."""
    receiver = stack.enter_context(Receiver("udp" if n % 4 < 2 else "tcp").start())
    name, times = ("Playback", (begin_s, begin_s + 600)) if n % 4 == 3 else ("Play", (0, 0))
    sdp = offer(receiver, name=name, channel=site.codes[camera], times=times)
    return site.call(camera, sdp), receiver


def _metrics_of_edge(site: MediaSite) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{site.box.metrics_port}/metrics", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def _stored_of(site: MediaSite, camera: str, sent: Sequence[SentUnit]) -> int:
    """Pictures of a camera that are stored; fails where one that it sent between them is not."""
    site.wait_stored(camera)
    stored = [hashlib.sha256(one.unit.data).hexdigest() for one in site.stored(camera, 0)][1:]
    hashes = [one.sha256 for one in sent if one.track is Track.VIDEO]
    first = hashes.index(stored[0])
    looked_for = hashes[first : first + len(stored)]
    assert stored[: len(looked_for)] == looked_for, f"{camera}: a frame is missing"
    return len(looked_for)


def out_of_ninety_days() -> None:
    """INVITE to the first packet of playbacks, where two million segments are in the index."""
    with tempfile.TemporaryDirectory() as folder:
        big = make_big_store(Path(folder), time.time_ns() // 1000)
        chance = random.Random(1)
        places = [_make_playable(big, chance) for _ in range(TRIES)]
        cameras = "".join(
            f'[[camera]]\nid = "{name}"\nname = "{name}"\ngb_id = "{CODE.format(n)}"\n'
            'rtsp = "rtsp://127.0.0.1:9/"\n'
            for n, name in enumerate(big.cameras)
        )
        with PlatformPeer() as peer:
            platform = BoxPlatform(
                server=f"127.0.0.1:{peer.port}", extra='media_ports = "31000-31099"\n'
            )
            box = UplinkBox(
                folder=Path(folder), platforms=[platform], more=cameras, volumes=big.volumes
            )
            with box:
                box.wait_registered()
                found = []
                for camera, start_s in places:
                    code = CODE.format(big.cameras.index(camera))
                    with Receiver("udp").start() as receiver:
                        times = (start_s, start_s + 3600)
                        sdp = offer(receiver, name="Playback", channel=code, times=times)
                        call = PeerCall(peer, code, sdp)
                        began_s = time.monotonic()
                        assert call.invite().status == 200
                        while not receiver.packets:
                            time.sleep(0.001)
                        found.append((receiver.packets[0].at_s - began_s) * 1000)
                        call.bye()
                box.stop()
    row(f"playback, {big.segments / 1e6:.1f} million segments", found, "500 ms")
    print(f"{'the very first of them':42} {found[0]:.1f} ms")


def _make_playable(big: BigStore, chance: random.Random) -> tuple[str, int]:
    """Writes the file of one segment somewhere in the 90 days, as large as recorded ones; where it
    is, and a second in it."""
    camera = chance.choice(big.cameras)
    at_us = chance.randrange(big.kept_from_us + 3600 * US_PER_S, big.until_us - 3600 * US_PER_S)
    with closing(connect_for_writing(big.index_path)) as connection:
        run, number, volume, start_us = connection.execute(
            "SELECT run, number, volume, start_us FROM segment WHERE camera = ? AND start_us >= ?"
            " ORDER BY start_us LIMIT 1",
            (camera, at_us),
        ).fetchone()
        header = SegmentHeader(
            camera=camera,
            run=run,
            number=number,
            start_us=start_us,
            clock=ClockState.TRUSTED,
            format=FORMAT,
        )
        data, entries = sealed(header, [_group(start_us + n * GOP_US) for n in range(25)])
        connection.execute(
            "UPDATE segment SET fragments = ? WHERE camera = ? AND number = ?",
            (encode_table(entries), camera, number),
        )
        connection.commit()
    root = big.volumes[big.uuids.index(volume)]
    path = root / segment_path(camera, start_us, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return camera, start_us // US_PER_S + chance.randrange(2, 45)


def _group(start_us: int) -> Fragment:
    """Two seconds of 2 Mbit/s, 25 pictures a second."""
    units = []
    for n in range(50):
        body = (b"\x41" if n else b"\x65") + b"\x5a" * (9_000 if n else 59_000)
        units.append(
            AccessUnit(
                track=Track.VIDEO,
                pts_us=start_us + n * 40_000,
                is_key=n == 0,
                data=len(body).to_bytes(4, "big") + body,
            )
        )
    return Fragment(units=tuple(units), start_us=start_us, end_us=start_us + GOP_US, is_key=True)


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
    out_of_ninety_days()
    many_calls()
