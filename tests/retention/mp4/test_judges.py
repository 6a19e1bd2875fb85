"""Segment files before judges that nobody here wrote: libav, ffmpeg, GStreamer."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import av
import pytest

from retention.model import US_PER_S, AccessUnit, Codec, Track
from tests.retention.mp4.footage import Footage, encode, from_key_frame, segment, with_audio

_FOOTAGE: dict[str, tuple[Callable[[], Footage], int]] = {
    "h264": (lambda: encode(Codec.H264), 0),
    "h264-cut": (lambda: encode(Codec.H264, gop=48, frames=48), 10),
    "h264-b": (lambda: encode(Codec.H264, b_frames=2), 0),
    "h264-b-cut": (lambda: encode(Codec.H264, b_frames=3, gop=48, frames=48), 7),
    "h264-b-open": (lambda: encode(Codec.H264, b_frames=2, open_gop=True, frames=36), 0),
    "h264-b-pyramid": (lambda: encode(Codec.H264, b_frames=7, pyramid=True, frames=36), 0),
    "h265-b-pyramid": (lambda: encode(Codec.H265, b_frames=4, pyramid=True, frames=36), 5),
    "h264-sdp-only": (lambda: encode(Codec.H264, repeat_headers=False), 0),
    "h264-aac": (lambda: with_audio(encode(Codec.H264), Codec.AAC, rate_hz=16_000), 0),
    "h264-aac-48k": (lambda: with_audio(encode(Codec.H264), Codec.AAC, rate_hz=48_000), 5),
    "h264-alaw": (lambda: with_audio(encode(Codec.H264), Codec.ALAW), 0),
    "h264-ulaw-b": (lambda: with_audio(encode(Codec.H264, b_frames=2), Codec.ULAW), 5),
    "h265": (lambda: encode(Codec.H265), 0),
    "h265-b-cut": (lambda: encode(Codec.H265, b_frames=2, gop=48, frames=48), 10),
    "h265-b-open": (lambda: encode(Codec.H265, b_frames=2, open_gop=True, frames=36), 0),
    "h265-sdp-only": (lambda: encode(Codec.H265, repeat_headers=False), 0),
    "h265-alaw": (lambda: with_audio(encode(Codec.H265), Codec.ALAW), 0),
}
_CASES = pytest.mark.parametrize("name", _FOOTAGE)


def _made(name: str) -> tuple[Footage, bytes]:
    make, pictures = _FOOTAGE[name]
    footage = make()
    return footage, segment(footage, pictures=pictures)[0]


def _shown_us(footage: Footage, units: list[AccessUnit]) -> list[int]:
    return [unit.pts_us - footage.header().start_us for unit in units]


@_CASES
def test_libav_reads_every_sample_byte_for_byte_at_its_microsecond(name: str) -> None:
    footage, data = _made(name)
    video: list[tuple[bytes, int, int, bool]] = []
    audio: list[tuple[bytes, int]] = []
    with cast(Any, av.open(io.BytesIO(data), format="mp4")) as container:
        for packet in container.demux():
            if not packet.size:
                continue
            if packet.stream.type == "video":
                video.append((bytes(packet), packet.pts, packet.dts, packet.is_keyframe))
            else:
                rate_hz = packet.stream.time_base.denominator
                audio.append((bytes(packet), packet.pts * US_PER_S // rate_hz))
    assert [(stored, shown, key) for stored, shown, _dts, key in video] == [
        (unit.data, shown, unit.is_key)
        for unit, shown in zip(footage.video, _shown_us(footage, footage.video), strict=True)
    ]
    assert all(decode <= shown for _stored, shown, decode, _key in video)
    assert b"".join(stored for stored, _at in audio) == b"".join(u.data for u in footage.audio)
    # a packet of libav may hold several of G.711
    told_us = dict(zip(_starts(footage.audio), _shown_us(footage, footage.audio), strict=True))
    position = 0
    for stored, at_us in audio:
        assert abs(at_us - told_us[position]) < 1000
        position += len(stored)


def _starts(units: list[AccessUnit]) -> list[int]:
    """Where each unit begins among the bytes of all."""
    starts = [0]
    for unit in units[:-1]:
        starts.append(starts[-1] + len(unit.data))
    return starts[: len(units)]


@_CASES
def test_libav_decodes_every_picture(name: str) -> None:
    footage, data = _made(name)
    with cast(Any, av.open(io.BytesIO(data), format="mp4")) as container:
        pictures = list(container.decode(video=0))
    assert [picture.pts for picture in pictures] == sorted(_shown_us(footage, footage.video))


@pytest.mark.integration
@_CASES
def test_ffmpeg_decodes_the_file_without_a_word(name: str, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    _footage, data = _made(name)
    path = tmp_path / "segment.mp4"
    path.write_bytes(data)
    command = ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.integration
@_CASES
def test_ffprobe_agrees_on_length_and_start(name: str, tmp_path: Path) -> None:
    """Within the pictures that wait to be shown at the end."""
    if shutil.which("ffprobe") is None:
        pytest.skip("needs ffprobe")
    footage, data = _made(name)
    path = tmp_path / "segment.mp4"
    path.write_bytes(data)
    command = ["ffprobe", "-v", "warning", "-show_format", "-of", "json", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["format"]
    length_us = max(_shown_us(footage, footage.video)) + footage.frame_us
    assert abs(float(found["start_time"])) < 0.001
    assert abs(float(found["duration"]) * US_PER_S - length_us) < 3 * footage.frame_us


@pytest.mark.integration
@_CASES
def test_gstreamer_reads_the_same_samples_and_times(name: str, tmp_path: Path) -> None:
    footage, data = _made(name)
    path = tmp_path / "segment.mp4"
    path.write_bytes(data)
    peer = Path(__file__).parents[2] / "peers" / "gst_mp4_samples.py"
    command = ["/usr/bin/python3", str(peer), str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    if "No module named 'gi'" in done.stderr or "Namespace Gst not" in done.stderr:
        pytest.skip("needs python3-gi and GStreamer")
    assert done.returncode == 0, done.stderr
    streams = json.loads(done.stdout)
    units = {"video": footage.video, "audio": footage.audio}
    assert {kind.split("/")[0] for kind in streams} == {k for k, have in units.items() if have}
    for kind, samples in streams.items():
        told = units[kind.split("/")[0]]
        assert [sha256 for _at_ns, sha256 in samples] == [
            hashlib.sha256(unit.data).hexdigest() for unit in told
        ]
        if told[0].track is Track.VIDEO:
            assert [at_ns // 1000 for at_ns, _sha256 in samples] == _shown_us(footage, told)


@pytest.mark.integration
def test_a_segment_may_begin_inside_an_open_gop(tmp_path: Path) -> None:
    """Its leading pictures cannot be decoded; all others keep their times, and nobody complains."""
    footage = from_key_frame(encode(Codec.H265, b_frames=2, open_gop=True, frames=48), 1)
    shown = _shown_us(footage, footage.video)
    assert min(shown) < 0
    data, _entries = segment(footage)
    with cast(Any, av.open(io.BytesIO(data), format="mp4")) as container:
        found = [packet.pts for packet in container.demux() if packet.size]
    assert [pts for pts, told in zip(found, shown, strict=True) if told >= 0] == [
        told for told in shown if told >= 0
    ]
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    path = tmp_path / "segment.mp4"
    path.write_bytes(data)
    command = ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
