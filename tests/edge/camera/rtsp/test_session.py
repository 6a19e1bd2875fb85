"""One session against GStreamer's RTSP server, and against peers that lie."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.errors import CameraError
from edge.camera.messages import StreamRequest, StreamSource
from edge.camera.rtsp.session import Address, camera_error, read_stream
from retention.clock import SystemClock
from retention.framing import CameraTime, Connected, Format, Heartbeat, Message, Unit
from retention.model import Codec, GapCause, ReceivedUnit, Track
from tests.edge.camera.clips import clip_audio, clip_format, clip_units
from tests.peers.gst import CLIPS, H264_BFRAMES, H264_PCMA, H265_AAC, GstServer
from tests.peers.liar import Liar

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
        for some in read_stream(asked, 0, clock, lambda: clock.monotonic_us() > until_us):
            messages += some
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
    # GStreamer sends its first packets before its answer to PLAY: they are kept
    sent = sent[: len(received)]
    assert [unit.data for unit in received] == [unit.data for unit in sent]
    frames = 3 * (10 if mount == "h265" else 25)
    assert len(received) >= frames - 3  # B-frames end early
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
    steps = [(after or 0) - (at or 0) for at, after in pairwise(times)]
    # the first reports, which may come meanwhile, put the sound beside the pictures: once
    assert sum(step <= 0 for step in steps) <= 1


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
        (errno.EINVAL, GapCause.NETWORK),
    ],
)
def test_the_kernels_errors_have_their_cause(number: int, cause: GapCause) -> None:
    told = camera_error(OSError(number, "rtsp://u:geheim@h/"))
    assert told.cause is cause
    assert "geheim" not in repr(told) + told.sentence()


def test_a_name_that_cannot_be_resolved_is_network() -> None:
    assert failure(request("rtsp://no-such-camera.invalid/")).cause is GapCause.NETWORK


def test_a_peer_that_says_nothing_is_offline_within_the_open_time_out() -> None:
    with Liar() as liar:
        begun = time.monotonic()
        assert failure(request(liar.url)).cause is GapCause.CAMERA_OFFLINE
        assert 1.0 < time.monotonic() - begun < 2.5


def test_a_peer_that_hangs_up_is_offline() -> None:
    with Liar(closes=True) as liar:
        assert failure(request(liar.url)).cause is GapCause.CAMERA_OFFLINE


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff garbage " * 200,
        b"RTSP/1.0 20",
        b"HTTP/1.1 200 OK\r\n\r\n<html>a page</html>",
        b"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nContent-Length: 99999999\r\n\r\nx",
    ],
)
def test_a_peer_that_answers_nonsense_is_an_error(answer: bytes) -> None:
    with Liar(answer, closes=True) as liar:
        cause = failure(request(liar.url)).cause
    assert cause in (GapCause.STREAM_DAMAGED, GapCause.CAMERA_OFFLINE)


def answers(sdp: bytes, transport: bytes = b"RTP/AVP/TCP;unicast;interleaved=0-1") -> list[bytes]:
    """OPTIONS, DESCRIBE, SETUP, PLAY of a camera."""
    head = b"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n"
    return [
        head + b"Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
        head + b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(sdp) + sdp,
        head + b"Session: 1\r\nTransport: " + transport + b"\r\n\r\n",
        head + b"Session: 1\r\n\r\n",
    ]


SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
H264 = SDP + b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:v\r\n"


def test_a_camera_that_plays_and_sends_nothing_is_offline_after_the_stall_time() -> None:
    with Liar(*answers(H264)) as liar:
        begun = time.monotonic()
        messages, error = play(request(liar.url))
        assert error is not None
        assert (error.cause, error.detail) == (GapCause.CAMERA_OFFLINE, "the camera stayed silent")
        assert messages[0] == Connected(candidate=0)
        assert all(isinstance(message, Heartbeat) for message in messages[1:])
        assert time.monotonic() - begun < 5
        time.sleep(0.1)
        assert any(asked.startswith(b"TEARDOWN") for asked in liar.requests)


@pytest.mark.parametrize(("audio", "set_up"), [(False, 1), (True, 2)])
def test_audio_that_is_not_wanted_is_never_set_up(audio: bool, set_up: int) -> None:
    sdp = H264 + b"m=audio 0 RTP/AVP 8\r\na=control:a\r\n"
    options, describe, setup, playing = answers(sdp)
    second = setup.replace(b"0-1", b"2-3")
    with Liar(options, describe, *[setup, second][:set_up], playing) as liar:
        failure(request(liar.url, audio=audio))
        asked = [line.split()[0] for line in liar.requests]
    assert asked.count(b"SETUP") == set_up


def test_a_camera_without_video_is_told_so() -> None:
    sdp = SDP + b"m=application 0 RTP/AVP 96\r\na=control:v\r\n"
    with Liar(*answers(sdp)) as liar:
        assert failure(request(liar.url)).cause is GapCause.STREAM_DAMAGED


def test_a_codec_that_we_do_not_record_is_named() -> None:
    sdp = SDP + b"m=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\na=control:v\r\n"
    with Liar(*answers(sdp)) as liar:
        error = failure(request(liar.url))
    assert error.cause is GapCause.STREAM_DAMAGED
    assert "JPEG" in error.detail


def test_a_camera_that_knows_no_options_plays() -> None:
    _, *others = answers(H264)
    with Liar(b"RTSP/1.0 501 Not Implemented\r\nCSeq: {cseq}\r\n\r\n", *others) as liar:
        messages, _ = play(request(liar.url))
    assert messages[0] == Connected(candidate=0)


def test_a_busy_camera_refuses() -> None:
    with Liar(b"RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: {cseq}\r\n\r\n") as liar:
        assert failure(request(liar.url)).cause is GapCause.CAMERA_REFUSED


@pytest.mark.parametrize(
    ("url", "username", "password", "expected"),
    [
        ("rtsp://h/p", "", "", ("rtsp://h/p", "h", 554, "", "")),
        ("rtsp://h:8554/p?a=1", "u", "p@s", ("rtsp://h:8554/p?a=1", "h", 8554, "u", "p@s")),
        ("rtsp://a:b%40@h/p", "", "", ("rtsp://h/p", "h", 554, "a", "b@")),
        ("rtsp://a:b@h/p", "u", "x", ("rtsp://h/p", "h", 554, "u", "x")),
        ("rtsps://[fd00::1]/", "u", "x", ("rtsps://[fd00::1]/", "fd00::1", 322, "u", "x")),
    ],
)
def test_credentials_never_stand_in_the_address(
    url: str, username: str, password: str, expected: tuple[str, str, int, str, str]
) -> None:
    source = StreamSource(urls=(url,), username=username, password=password)
    at = Address.of(StreamRequest(source=source, audio=False), 0)
    assert (at.url, at.host, at.port, at.username, at.password) == expected


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://h/", "rtsp://", "rtsp://h:x/", "rtsp://h/\r\nX: y", "", "rtsp://[h/"]
)  # fmt: skip
def test_what_is_no_rtsp_address_is_never_opened(url: str) -> None:
    with pytest.raises(CameraError) as caught:
        Address.of(request(url), 0)
    assert caught.value.cause is GapCause.CONFIG


@given(st.text(max_size=40))
def test_any_address_is_taken_or_refused_in_our_words(url: str) -> None:
    for candidate in (url, f"rtsp://{url}"):
        try:
            Address.of(request(candidate), 0)
        except CameraError:
            continue
