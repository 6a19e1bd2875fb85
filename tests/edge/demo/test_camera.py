"""edge.demo.camera, judged by libav (PyAV and ffmpeg) and GStreamer."""

import dataclasses
import hashlib
import subprocess
import time
from pathlib import Path

import av
import pytest

from edge.demo import units
from edge.demo.camera import DemoCamera
from edge.demo.picture import read_bars
from edge.demo.plan import CameraPlan, StreamPlan
from retention.clock import SystemClock
from retention.model import US_PER_S, Codec
from tests.support.cameras import Camera, demo_site

pytestmark = pytest.mark.integration
_SMALL = StreamPlan(width=320, height=180, fps=25, gop_frames=25)
_LOOP = CameraPlan(id="loop", loop_seconds=2, stamp=True, stream=_SMALL, log_units=1000)
_OPTIONS = {"rtsp_transport": "tcp", "probesize": "20000", "analyzeduration": "200000"}
_KINDS = (
    CameraPlan(id="h264", password="a b/:@", stream=StreamPlan(audio=Codec.ALAW)),
    CameraPlan(id="h265", digest_qop=True, password="x", stream=StreamPlan(codec=Codec.H265)),
    CameraPlan(
        id="h265-b-aac",
        loop_seconds=2,
        stamp=True,
        stream=StreamPlan(codec=Codec.H265, b_frames=2, audio=Codec.AAC, fps=25, gop_frames=25),
    ),
    CameraPlan(
        id="hd-b-ulaw",
        loop_seconds=2,
        stream=StreamPlan(width=1280, height=720, bit_rate=4_000_000, b_frames=2, audio=Codec.ULAW),
    ),
    CameraPlan(id="sdp-only", stream=dataclasses.replace(_SMALL, inband_parameter_sets=False)),
    CameraPlan(id="in-band-only", stream=dataclasses.replace(_SMALL, sdp_parameter_sets=False)),
)
_GST = """
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
line = Gst.parse_launch(
    "rtspsrc name=in protocols=tcp latency=0 ! application/x-rtp,media=video ! decodebin"
    " ! videoconvert ! fakesink name=out num-buffers=8 sync=false")
line.get_by_name("in").set_property("location", sys.argv[1])
line.get_by_name("in").set_property("user-id", "recorder")
line.get_by_name("in").set_property("user-pw", sys.argv[2])
line.get_by_name("in").connect(  # GStreamer 1.26 stops at a track that goes nowhere
    "select-stream", lambda _, number, caps: "media=(string)video" in caps.to_string())
line.set_state(Gst.State.PLAYING)
said = line.get_bus().timed_pop_filtered(
    15 * Gst.SECOND, Gst.MessageType.ERROR | Gst.MessageType.WARNING | Gst.MessageType.EOS)
line.set_state(Gst.State.NULL)
if said is None or said.type != Gst.MessageType.EOS:
    sys.exit("no end of stream: %s" % (said and said.get_structure().to_string()))
"""


def _units(camera: Camera, count: int) -> list[str]:
    """SHA-256 of the first ``count`` pictures as libav receives them, parts of one joined."""
    found: list[tuple[int | None, bytes]] = []
    with av.open(camera.url_with_credentials, options=_OPTIONS, timeout=5) as container:
        for packet in container.demux(container.streams.video[0]):
            nals = units.split_start_codes(bytes(packet))
            data = b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)
            if found and found[-1][0] == packet.pts:
                found[-1] = (packet.pts, found[-1][1] + data)
            else:
                found.append((packet.pts, data))
            if len(found) > count:
                break
    return [hashlib.sha256(data).hexdigest() for _, data in found[:count]]


def _numbers(camera: Camera, count: int) -> list[tuple[int, int]]:
    """Frame number and height of decoded pictures."""
    found = []
    with av.open(camera.url_with_credentials, options=_OPTIONS, timeout=5) as container:
        for frame in container.decode(video=0):
            luma = frame.to_ndarray(format="gray")
            found.append((read_bars(luma).frame_number, frame.height))
            if len(found) >= count:
                break
    return found


def _jump(camera: DemoCamera) -> None:
    camera.jump_timestamps(60 * US_PER_S)


def _wait_for(camera: Camera, count: int) -> None:
    """Until so many units were sent in all."""
    for _ in range(500):
        if len(camera.sent) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{len(camera.sent)} units were sent, not {count}")


def test_ffmpeg_ffprobe_and_gstreamer_play_every_kind_without_a_word() -> None:
    with demo_site(*_KINDS) as site:
        started = []
        for name, camera in site.cameras.items():
            url, tcp = camera.url_with_credentials, ["-rtsp_transport", "tcp"]
            decode = ["ffmpeg", "-v", "warning", "-xerror", *tcp, "-i", url]
            gst = ["/usr/bin/python3", "-c", _GST, camera.url, camera.plan.password]
            for command in (
                [*decode, "-t", "1", "-f", "null", "-"],
                ["ffprobe", "-v", "warning", *tcp, "-show_streams", "-of", "compact", url],
                gst,
            ):
                child = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
                started.append((name, command[0], child))
        for name, program, child in started:
            said, _ = child.communicate(timeout=40)
            assert child.returncode == 0, (name, program, said)
            if program == "ffprobe":
                assert f"width={site[name].plan.stream.width}" in said
                assert ("codec_type=audio" in said) is (site[name].plan.stream.audio is not None)
            else:
                assert said == "", (name, program)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("loop_seconds", [2, None])
def test_libav_receives_exactly_what_the_log_says(codec: Codec, loop_seconds: int | None) -> None:
    stream = dataclasses.replace(_SMALL, codec=codec, bit_rate=1_500_000)
    plan = dataclasses.replace(_LOOP, stream=stream, loop_seconds=loop_seconds)
    with demo_site(plan) as site:
        got = _units(site["loop"], 40)
        sent = [one.sha256 for one in site["loop"].sent_video]
    assert got == sent[:40]
    assert len(set(sent)) == len(sent)


def test_rtp_times_follow_the_captures() -> None:
    with demo_site(dataclasses.replace(_LOOP, rtp_base=2**32 - 45_000)) as site:
        _units(site["loop"], 12)
        sent = site["loop"].sent_video
    steps = {(b.rtp_time - a.rtp_time) % 2**32 for a, b in zip(sent, sent[1:], strict=False)}
    assert steps == {3600}
    spans = [b.capture_utc_us - a.capture_utc_us for a, b in zip(sent, sent[1:], strict=False)]
    assert all(abs(span - 40_000) < 5_000 for span in spans)


def test_pictures_carry_their_number_and_switch_their_size() -> None:
    live = CameraPlan(id="live", stream=_SMALL)
    with demo_site(live) as site:
        first = _numbers(site["live"], 5)
        assert [number - first[0][0] for number, _ in first] == [0, 1, 2, 3, 4]
        before = site["live"].do(lambda camera: camera.media.video)
        with av.open(site["live"].url, options=_OPTIONS, timeout=5) as container:
            heights = []
            for frame in container.decode(video=0):
                heights.append(frame.height)
                if len(heights) == 5:
                    site["live"].switch(dataclasses.replace(live.stream, width=640, height=360))
                if frame.height == 360:
                    break
        assert heights[0] == 180
        after = site["live"].do(lambda camera: camera.media.video)
        assert before.parameter_sets != after.parameter_sets


def test_a_switch_cannot_change_the_codec() -> None:
    with demo_site(_LOOP) as site, pytest.raises(ValueError, match="codec"):
        site["loop"].switch(StreamPlan(codec=Codec.H265))


def test_a_stalled_camera_keeps_the_connection_and_comes_back_with_a_key_frame() -> None:
    with demo_site(_LOOP) as site:
        camera = site["loop"]
        with av.open(camera.url, options=_OPTIONS, timeout=5) as container:
            packets = container.demux(video=0)
            next(packets)
            camera.stall()
            count = len(camera.sent)
            time.sleep(0.4)
            assert len(camera.sent) == count
            assert camera.counts["playing"] == 1
            camera.resume()
            while len(camera.sent) == count:
                next(packets)
        assert camera.sent[count].is_key


def test_an_unplugged_camera_refuses_and_returns_on_its_port() -> None:
    with demo_site(_LOOP) as site:
        camera = site["loop"]
        url = camera.url
        with av.open(url, options=_OPTIONS, timeout=5) as container:
            packets = container.demux(video=0)
            next(packets)
            camera.unplug()
            assert len(list(packets)) < 200  # what was on its way, then the end
        with pytest.raises(av.error.FFmpegError):
            av.open(url, options=_OPTIONS, timeout=5)
        camera.plug()
        assert camera.url == url
        assert len(_units(camera, 3)) == 3


def test_a_long_gop_begins_anew_for_a_new_player_unless_planned_otherwise() -> None:
    stream = dataclasses.replace(_SMALL, gop_frames=300)
    plan = CameraPlan(id="long", stream=stream, log_units=100)
    with demo_site(plan, dataclasses.replace(plan, id="raw", start_mid_gop=True)) as site:
        time.sleep(0.3)
        _units(site["long"], 3)
        assert site["long"].sent[0].is_key
        with av.open(site["raw"].url, options=_OPTIONS, timeout=5) as container:
            next(container.demux(video=0))
        assert not site["raw"].sent[0].is_key


def test_time_stamps_jump_and_freeze() -> None:
    with demo_site(_LOOP) as site:
        camera = site["loop"]
        with av.open(camera.url, options=_OPTIONS, timeout=5) as container:
            packets = container.demux(video=0)
            next(packets)
            for act in (_jump, DemoCamera.freeze_timestamps):
                camera.do(act)
                _wait_for(camera, len(camera.sent) + 4)
        times = [one.rtp_time for one in camera.sent_video]
    steps = [(b - a) % 2**32 for a, b in zip(times, times[1:], strict=False)]
    assert 60 * 90_000 + 3_600 in steps
    assert steps[-1] == 0


def test_noise_between_packets_and_broken_pictures_are_sent() -> None:
    with demo_site(_LOOP) as site:
        camera = site["loop"]
        with av.open(camera.url, options=_OPTIONS, timeout=5) as container:
            packets = container.demux(video=0)
            next(packets)
            count = len(camera.sent)
            camera.do(DemoCamera.send_broken_unit)
            assert len(camera.sent) > count
            camera.do(lambda one: one.send_raw(b"noise" * 100))


def test_a_camera_that_slept_leaves_pictures_out() -> None:
    """No burst of old pictures after the process was stopped for a while."""

    class Sleepy(SystemClock):
        slept_us = 0

        def monotonic_us(self) -> int:
            return super().monotonic_us() + self.slept_us

    clock = Sleepy()
    with demo_site(_LOOP, clock=clock) as site:
        camera = site["loop"]
        with av.open(camera.url, options=_OPTIONS, timeout=5) as container:
            packets = container.demux(video=0)
            next(packets)
            count = len(camera.sent)
            clock.slept_us = 20 * US_PER_S
            time.sleep(0.5)
            assert len(camera.sent) - count < 30


def test_sixteen_looped_cameras_cost_little() -> None:
    """Guards against an accidental burden; the figure itself is the benchmark's business."""
    plans = [dataclasses.replace(_LOOP, id=f"c{number}") for number in range(16)]
    with demo_site(*plans) as site:
        before = time.process_time()
        time.sleep(1)
        assert time.process_time() - before < 0.5
        assert len({camera.url for camera in site.cameras.values()}) == 16


def test_the_footage_of_another_camera_is_looped() -> None:
    path = Path("/work/shared/media/street.mp4")
    if not path.exists():
        pytest.skip("the shared footage is not here")
    plan = CameraPlan(id="street", media=str(path), stamp=True, log_units=500)
    with demo_site(plan) as site:
        got = _units(site["street"], 30)
        assert got == [one.sha256 for one in site["street"].sent_video][:30]
