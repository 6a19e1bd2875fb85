"""What both readers hold to, against GStreamer's RTSP server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.camera.messages import Reader
from retention.framing import CameraTime, Connected, Format, Unit
from retention.model import Codec, GapCause, ReceivedUnit, Track
from retention.nal import is_parameter_set, join_lengths, split_lengths
from tests.edge.camera.clips import clip_audio, clip_format, clip_units
from tests.edge.camera.playing import PASSWORD, READERS, USER, failure, play, request, units
from tests.peers.gst import CLIPS, H264_BFRAMES, H264_PCMA, H265_AAC, GstServer

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("reader", READERS)]


@pytest.fixture(scope="module")
def server() -> Iterator[GstServer]:
    mounts = CLIPS | {
        f"{name}@{seconds}": clip for name, clip in CLIPS.items() for seconds in (2, 3)
    }
    with GstServer(mounts, user=USER, password=PASSWORD) as peer:
        yield peer


def without_sets(unit: ReceivedUnit, codec: Codec) -> ReceivedUnit:
    """GStreamer 1.26 (Debian 13) says the parameter sets before the first picture, too."""
    nals = [nal for nal in split_lengths(unit.data) if not is_parameter_set(codec, nal)]
    return replace(unit, data=join_lengths(nals))


@pytest.mark.parametrize(
    ("mount", "clip"), [("h264", H264_PCMA), ("bframes", H264_BFRAMES), ("h265", H265_AAC)]
)
def test_pictures_are_byte_equal_to_those_sent_and_spaced_as_sent(
    server: GstServer, reader: Reader, mount: str, clip: Path
) -> None:
    messages, error = play(request(server.url(f"{mount}@3"), reader=reader))
    assert error is not None
    assert (error.cause, error.detail) == (GapCause.CAMERA_OFFLINE, "the camera ended the stream")
    codec = Codec.H265 if mount == "h265" else Codec.H264
    received = [without_sets(unit, codec) for unit in units(messages, Track.VIDEO)]
    sent = clip_units(clip)
    first = 0
    if reader == "libav":
        # GStreamer sends its first packets before its answer to PLAY, and libav leaves these out:
        # the first picture may lack its SEI, or its beginning, and then the next key frame is first
        head = received[0].data
        first = next(i for i, u in enumerate(sent) if u.is_key and u.data.endswith(head))
        assert [unit.data for unit in received[1:]] == [
            unit.data for unit in sent[first + 1 : first + len(received)]
        ]
    else:
        assert [unit.data for unit in received] == [unit.data for unit in sent[: len(received)]]
    sent = sent[first:]
    frames = 3 * (10 if mount == "h265" else 25)
    assert first + len(received) >= frames - 3  # B-frames end early
    base_us, sent_us = received[0].media_us, sent[0].media_us
    assert base_us is not None
    assert sent_us is not None
    for got, was in zip(received, sent, strict=False):
        assert got.media_us is not None
        assert was.media_us is not None
        assert abs((got.media_us - base_us) - (was.media_us - sent_us)) <= 1000
        assert got.is_key == was.is_key
    arrivals = [unit.arrival_monotonic_us for unit in received]
    assert arrivals == sorted(arrivals)


@pytest.mark.parametrize(("mount", "clip"), [("h264", H264_PCMA), ("h265", H265_AAC)])
def test_format_precedes_the_first_unit(
    server: GstServer, reader: Reader, mount: str, clip: Path
) -> None:
    messages, _ = play(request(server.url(f"{mount}+audio"), audio=True, reader=reader), 0.5)
    kinds = [type(message) for message in messages]
    assert kinds[:3] == [Connected, Format, Unit]
    found = messages[1]
    assert isinstance(found, Format)
    assert found.media.video == clip_format(clip)
    audio = found.media.audio
    assert audio is not None
    if mount == "h264":
        assert (audio.codec, audio.sample_rate_hz, audio.channels) == (Codec.ALAW, 8000, 1)
    else:
        assert (audio.codec, audio.sample_rate_hz, audio.channels) == (Codec.AAC, 16000, 1)
        assert audio.config[:2] == bytes([0x14, 0x08])  # AAC-LC, 16 kHz, one channel


@pytest.mark.parametrize(("mount", "clip"), [("h264", H264_PCMA), ("h265", H265_AAC)])
def test_audio_frames_are_those_sent(
    server: GstServer, reader: Reader, mount: str, clip: Path
) -> None:
    messages, _ = play(request(server.url(f"{mount}+audio@2"), audio=True, reader=reader))
    received = units(messages, Track.AUDIO)
    whole, heard = b"".join(clip_audio(clip)), b"".join(unit.data for unit in received)
    assert len(received) > 8
    assert heard in whole
    times = [unit.media_us for unit in received]
    assert None not in times
    assert times == sorted(times, key=lambda at: at or 0)


def test_the_cameras_clock_is_measured(server: GstServer, reader: Reader) -> None:
    messages, _ = play(request(server.url("h264"), reader=reader), 4)
    offsets = [m.offset_us for m in messages if isinstance(m, CameraTime)]
    assert len(offsets) == 1
    assert abs(offsets[0]) < 500_000


def test_a_wrong_password_is_camera_auth(server: GstServer, reader: Reader) -> None:
    assert (
        failure(request(server.url("h264"), password="no", reader=reader)).cause
        is GapCause.CAMERA_AUTH
    )


def test_an_unknown_path_is_refused(server: GstServer, reader: Reader) -> None:
    error = failure(request(server.url("no-such-path"), reader=reader))
    assert error.cause is GapCause.CAMERA_REFUSED
    assert "404" in error.detail


def test_a_closed_port_is_refused(reader: Reader) -> None:
    assert failure(request("rtsp://127.0.0.1:1/", reader=reader)).cause is GapCause.CAMERA_REFUSED
