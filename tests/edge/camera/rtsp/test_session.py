"""One session against peers that lie, and what of an address is believed."""

from __future__ import annotations

import errno
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.errors import CameraError
from edge.camera.messages import StreamRequest, StreamSource
from edge.camera.reading import StreamAddress
from edge.camera.rtsp.session import camera_error
from retention.framing import Connected, Heartbeat
from retention.model import GapCause
from tests.edge.camera.playing import failure, play, request
from tests.peers.liar import Liar

pytestmark = pytest.mark.integration


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
    at = StreamAddress.of(StreamRequest(source=source, audio=False), 0)
    assert (at.url, at.host, at.port, at.username, at.password) == expected


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://h/", "rtsp://", "rtsp://h:x/", "rtsp://h/\r\nX: y", "", "rtsp://[h/"]
)  # fmt: skip
def test_what_is_no_rtsp_address_is_never_opened(url: str) -> None:
    with pytest.raises(CameraError) as caught:
        StreamAddress.of(request(url), 0)
    assert caught.value.cause is GapCause.CONFIG


@given(st.text(max_size=40))
def test_any_address_is_taken_or_refused_in_our_words(url: str) -> None:
    for candidate in (url, f"rtsp://{url}"):
        try:
            StreamAddress.of(request(candidate), 0)
        except CameraError:
            continue
