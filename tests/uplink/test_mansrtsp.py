"""Control of a playback, in every spelling that was seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.mansrtsp import (
    Method,
    PlaybackRequest,
    RequestUnfit,
    parse_request,
    supported_scale,
    write_reply,
)


@pytest.mark.parametrize(
    ("body", "method", "scale", "from_s", "to_s"),
    [
        ("PLAY RTSP/1.0\r\nCSeq: 4\r\nScale: 2.000000\r\n\r\n", Method.PLAY, 2.0, None, None),
        ("PLAY RTSP/1.0\nCSeq: 5\nRange: npt=100.5-", Method.PLAY, None, 100.5, None),
        ("play MANSRTSP/1.0\nRange:npt=now-\n", Method.PLAY, None, None, None),
        ("PLAY RTSP/1.0\nrange: ntp = 600 - 120\nscale: -1", Method.PLAY, -1.0, 600.0, 120.0),
        ("PLAY RTSP/1.0\nRange: smpte=0:10:20-", Method.PLAY, None, 620.0, None),
        ("PLAY RTSP/1.0\nRange: npt=00:01:40-", Method.PLAY, None, 100.0, None),
        ("PLAY RTSP/1.0\nRange: npt=0", Method.PLAY, None, 0.0, None),
        ("PLAY RTSP/1.0\nScale: 1/4", Method.PLAY, 0.25, None, None),
        ("PLAY RTSP/1.0\nScale: 0", Method.PAUSE, None, None, None),
        ("PAUSE RTSP/1.0\nPauseTime: now", Method.PAUSE, None, None, None),
        ("TEARDOWN RTSP/1.0\nCSeq: 8", Method.TEARDOWN, None, None, None),
    ],
)
def test_requests(
    body: str, method: Method, scale: float | None, from_s: float | None, to_s: float | None
) -> None:
    found = parse_request(body.encode())
    assert (found.method, found.scale, found.from_s, found.to_s) == (method, scale, from_s, to_s)


@pytest.mark.parametrize(
    "body", ["", "RECORD RTSP/1.0", "PLAY\nScale: fast", "PLAY\nRange: npt=x-", "PLAY\nRange: 5"]
)
def test_what_is_none(body: str) -> None:
    with pytest.raises(RequestUnfit):
        parse_request(body.encode())


@pytest.mark.parametrize(
    ("asked", "had"),
    [(1.0, 1.0), (3.0, 4.0), (1.2, 1.0), (100.0, 32.0), (0.01, 0.125), (-4.0, -1.0), (0.3, 0.25)],
)
def test_speeds(asked: float, had: float) -> None:
    assert supported_scale(asked) == had


def test_the_reply_tells_where_it_takes_effect() -> None:
    request = PlaybackRequest(method=Method.PLAY, cseq="5", from_s=100.5)
    told = write_reply(request, position_s=100.5, scale=1, sequence=18139, rtp_time=3119600838)
    assert told == (
        b"RTSP/1.0 200 OK\r\nCSeq: 5\r\nRange: npt=100.500-\r\n"
        b"RTP-Info: seq=18139;rtptime=3119600838\r\n\r\n"
    )


words = st.sampled_from(["PLAY RTSP/1.0", "Scale: 2", "Range: npt=", "CSeq: 1", "now-", "\n", "-1"])


@given(st.binary(max_size=200) | st.lists(words, max_size=9).map(lambda x: "".join(x).encode()))
def test_anything_is_read_or_refused(body: bytes) -> None:
    try:
        found = parse_request(body)
    except RequestUnfit:
        return
    assert found.scale != 0
    assert found.from_s is None or found.from_s >= 0
