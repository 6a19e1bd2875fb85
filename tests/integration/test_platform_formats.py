"""Sound, gaps and changes of resolution on their way to a platform; GStreamer as the receiver."""

from __future__ import annotations

import io
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, Codec, Track
from tests.peers.gst import H264_PCMA, H265_AAC, GstServer
from tests.peers.media_receiver import Receiver
from tests.support.calls import offer
from tests.support.cameras import demo_process
from tests.support.media_site import MediaSite, expected, media_site, received

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

GST_PS = Path(__file__).parents[1] / "peers" / "gst_ps_frames.py"
CODECS = {"alaw": Codec.H264, "aac": Codec.H265}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaSite]:
    """Cameras with sound, from a server nobody here wrote."""
    with GstServer({"alaw+audio": H264_PCMA, "aac+audio": H265_AAC}) as server:
        cameras = {name: f'rtsp = "{server.url(name + "+audio")}"\naudio = true' for name in CODECS}
        with media_site(tmp_path_factory.mktemp("formats"), cameras) as made:
            yield made


def download(site: MediaSite, camera: str, start_s: int, end_s: int) -> Receiver:
    with Receiver("tcp").start() as receiver:
        times = (start_s, end_s)
        code = site.codes[camera]
        sdp = offer(receiver, name="Download", channel=code, times=times, more="a=downloadspeed:4")
        made = site.call(camera, sdp)
        site.peer.wait("the end", made.has_ended, 30)
        time.sleep(0.2)
        made.bye()
    return receiver


@pytest.mark.parametrize("camera", ["alaw", "aac"])
def test_sound_comes_with_the_pictures(site: MediaSite, camera: str, tmp_path: Path) -> None:
    start_s = site.begin_s(camera)
    receiver = download(site, camera, start_s, start_s + 5)
    whole = site.units(camera, start_s * US_PER_S, (start_s + 5) * US_PER_S)
    pictures = [one for one in whole if one.unit.track is Track.VIDEO]
    assert received(receiver, CODECS[camera]) == expected(pictures, CODECS[camera])
    sounds = [one.unit.data for one in whole if one.unit.track is Track.AUDIO]
    got = receiver.sounds()
    if camera == "aac":
        assert all(one[:2] == b"\xff\xf1" for one in got)
        got = [one[7:] for one in got]
    # what was taken before the first picture has no place in its time
    assert 0 <= len(sounds) - len(got) < 20
    assert got == sounds[len(sounds) - len(got) :]
    stream = b"".join(pack for _, _, pack in receiver.packs())
    with av.open(io.BytesIO(stream), "r", format="mpeg") as container:
        seconds = 0.0
        for frame in container.decode(audio=0):
            seconds += frame.samples / frame.sample_rate
    assert 4 < seconds < 8  # from the key frame before the range on
    file = tmp_path / "stream.ps"
    file.write_bytes(stream)
    told = subprocess.run(
        ["/usr/bin/python3", str(GST_PS), str(file)], capture_output=True, text=True, check=True
    )
    frames = json.loads(told.stdout)
    assert frames == {"video": len(pictures), "errors": []}


def test_a_gap_and_a_new_resolution_in_one_playback(tmp_path: Path) -> None:
    stream = StreamPlan(width=160, height=96, fps=10)
    plan = CameraPlan(id="gate", stream=stream, loop_seconds=5, stamp=True, log_units=10_000)
    with demo_process(plan) as demo:
        cameras = {"gate": f'rtsp = "{demo["gate"].rtsp}"'}
        with media_site(tmp_path, cameras, recorded_s=6) as made:
            demo.do("gate", "unplug")
            time.sleep(3)
            demo.do("gate", "plug")
            time.sleep(4)
            larger = {"codec": Codec.H264.value, "width": 320, "height": 192}
            demo.do("gate", "switch", stream=larger)
            time.sleep(6)
            made.wait_stored("gate")
            begin_s = made.begin_s("gate") - 2
            receiver = download(made, "gate", begin_s, begin_s + 60)
            whole = made.stored("gate", 0)
    shapes = [one.format.video.width for one in whole]
    assert set(shapes) == {160, 320}
    times = [one.unit.pts_us for one in whole]
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) > 2 * US_PER_S
    got = received(receiver, Codec.H264)
    assert got == expected(whole[: len(got)], Codec.H264)
    assert shapes[len(got) - 1] == 320
    assert receiver.decoded() == len(got)
    stamps = [stamp for _, stamp, _ in receiver.packs()]
    steps = [(b - a) % 2**32 for a, b in zip(stamps, stamps[1:], strict=False)]
    assert all(0 < step < 3 * 9000 for step in steps), steps
