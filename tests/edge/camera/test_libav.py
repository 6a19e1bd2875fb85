"""What libav alone needs: its errors told in our words, credentials inside its address."""

from __future__ import annotations

import errno

import av.error
import pytest

from edge.camera.errors import CameraError
from edge.camera.libav import camera_error, with_credentials
from edge.camera.messages import StreamRequest, StreamSource
from edge.camera.reading import StreamAddress
from retention.model import GapCause


def address(url: str, username: str, password: str) -> StreamAddress:
    source = StreamSource(urls=(url,), username=username, password=password)
    return StreamAddress.of(StreamRequest(source=source, audio=False), 0)


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
    assert with_credentials(address(url, username, password)) == expected


def test_a_password_that_libav_would_cut_is_refused() -> None:
    with pytest.raises(CameraError) as caught:
        with_credentials(address("rtsp://h/", "u", "密" * 20))
    assert "shorter password" in caught.value.hint
