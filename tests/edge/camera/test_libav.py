"""A session read by libav, the way out for a camera that our own client does not get on with."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import av.error
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.errors import CameraError
from edge.camera.libav import camera_error, read_messages, with_credentials
from edge.camera.messages import StreamRequest, StreamSource
from retention.clock import SystemClock
from retention.framing import CameraTime, Connected, Format, Message, Unit
from retention.model import Codec, GapCause, ReceivedUnit, Track
from tests.edge.camera.clips import clip_audio, clip_format, clip_units
from tests.peers.gst import CLIPS, H264_BFRAMES, H264_PCMA, H265_AAC, GstServer

USER, PASSWORD = "recorder", "p@s:s/w %ü"

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[GstServer]:
    mounts = CLIPS | {
        f"{name}@{seconds}": clip for name, clip in CLIPS.items() for seconds in (2, 3)
    }
    with GstServer(mounts, user=USER, password=PASSWORD) as peer:
        yield peer


def request(url: str, *, audio: bool = False, password: str = PASSWORD) -> StreamRequest:
    return StreamRequest(
        source=StreamSource(urls=(url,), username=USER, password=password),
        audio=audio,
        open_timeout_s=1.5,
        stall_timeout_s=1.0,
    )


def play(asked: StreamRequest, seconds: float = 10) -> tuple[list[Message], CameraError | None]:
    """Messages of one session, and how it ended unless we left it."""
    clock = SystemClock()
    until_us = clock.monotonic_us() + int(seconds * 1_000_000)
    messages: list[Message] = []
    try:
        messages.extend(read_messages(asked, 0, clock, lambda: clock.monotonic_us() > until_us))
    except CameraError as error:
        return messages, error
    return messages, None


def units(messages: list[Message], track: Track) -> list[ReceivedUnit]:
    return [m.unit for m in messages if isinstance(m, Unit) and m.unit.track is track]


def failure(asked: StreamRequest) -> CameraError:
    messages, error = play(asked)
    assert error is not None
    assert PASSWORD not in str(error)
    return error


@pytest.mark.parametrize(
    ("mount", "clip"), [("h264", H264_PCMA), ("bframes", H264_BFRAMES), ("h265", H265_AAC)]
)
def test_pictures_are_byte_equal_to_those_sent_and_spaced_as_sent(
    server: GstServer, mount: str, clip: Path
) -> None:
    messages, error = play(request(server.url(f"{mount}@3")))
    assert error is not None
    assert (error.cause, error.detail) == (GapCause.CAMERA_OFFLINE, "the camera ended the stream")
    received, sent = units(messages, Track.VIDEO), clip_units(clip)
    # GStreamer sends its first packets before its answer to PLAY, and libav leaves these out: the
    # first picture may lack its SEI, or its beginning, and then the next key frame is the first
    first = next(i for i, u in enumerate(sent) if u.is_key and u.data.endswith(received[0].data))
    sent = sent[first : first + len(received)]
    assert [unit.data for unit in received[1:]] == [unit.data for unit in sent[1:]]
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
def test_format_precedes_the_first_unit(server: GstServer, mount: str, clip: Path) -> None:
    messages, _ = play(request(server.url(f"{mount}+audio"), audio=True), 0.5)
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
def test_audio_frames_are_those_sent(server: GstServer, mount: str, clip: Path) -> None:
    messages, _ = play(request(server.url(f"{mount}+audio@2"), audio=True))
    received = units(messages, Track.AUDIO)
    whole, heard = b"".join(clip_audio(clip)), b"".join(unit.data for unit in received)
    assert len(received) > 8
    assert heard in whole
    times = [unit.media_us for unit in received]
    assert None not in times
    assert times == sorted(times, key=lambda at: at or 0)


def test_the_cameras_clock_is_measured(server: GstServer) -> None:
    messages, _ = play(request(server.url("h264")), 4)
    offsets = [m.offset_us for m in messages if isinstance(m, CameraTime)]
    assert len(offsets) == 1
    assert abs(offsets[0]) < 500_000


def test_a_wrong_password_is_camera_auth(server: GstServer) -> None:
    assert failure(request(server.url("h264"), password="no")).cause is GapCause.CAMERA_AUTH


def test_an_unknown_path_is_refused(server: GstServer) -> None:
    error = failure(request(server.url("no-such-path")))
    assert error.cause is GapCause.CAMERA_REFUSED
    assert "404" in error.detail


def test_a_closed_port_is_refused() -> None:
    assert failure(request("rtsp://127.0.0.1:1/")).cause is GapCause.CAMERA_REFUSED


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EHOSTUNREACH, GapCause.NETWORK),
        (errno.ENETUNREACH, GapCause.NETWORK),
        (errno.ETIMEDOUT, GapCause.CAMERA_OFFLINE),
        (errno.ECONNRESET, GapCause.CAMERA_OFFLINE),
        (errno.EINVAL, GapCause.STREAM_DAMAGED),
    ],
)
def test_the_kernels_errors_have_their_cause(number: int, cause: GapCause) -> None:
    error = av.error.FFmpegError(number, "rtsp://u:geheim@h/", "rtsp://u:geheim@h/")
    told = camera_error(error, is_late=False)
    assert told.cause is cause
    assert "geheim" not in repr(told) + told.sentence()


@pytest.mark.parametrize(
    ("url", "username", "password", "expected"),
    [
        ("rtsp://h/p", "", "", "rtsp://h/p"),
        ("rtsp://h:8554/p?a=1", "u", "p@s:s/w", "rtsp://u:p%40s%3As%2Fw@h:8554/p?a=1"),
        ("rtsp://a:b@h/p", "", "", "rtsp://a:b@h/p"),
        ("rtsp://a:b@h/p", "u", "x", "rtsp://u:x@h/p"),
        ("rtsp://[fd00::1]:554/", "u", "x", "rtsp://u:x@[fd00::1]:554/"),
    ],
)
def test_credentials_stand_in_the_address(
    url: str, username: str, password: str, expected: str
) -> None:
    assert with_credentials(url, username, password) == expected


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://h/", "rtsp://", "rtsp://h:x/", "rtsp://h/\r\nX: y", "", "rtsp://[h/"]
)  # fmt: skip
def test_what_is_no_rtsp_address_is_never_opened(url: str) -> None:
    with pytest.raises(CameraError) as caught:
        with_credentials(url, "u", "p")
    assert caught.value.cause is GapCause.CONFIG


def test_a_password_that_libav_would_cut_is_refused() -> None:
    with pytest.raises(CameraError) as caught:
        with_credentials("rtsp://h/", "u", "密" * 20)
    assert "shorter password" in caught.value.hint


@given(st.text(max_size=40))
def test_any_address_is_taken_or_refused_in_our_words(url: str) -> None:
    for candidate in (url, f"rtsp://{url}"):
        try:
            with_credentials(candidate, "u", "p")
        except CameraError:
            continue
