"""MANSRTSP: what a platform asks of a playback in INFO (GB/T 28181-2022 annex B). Core.

Read tolerantly; positions are seconds from the start of the recording that was asked for.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from config.errors import XueliangError

BODY_BYTES_MAX = 4096
#: No recording is longer; more digits are garbage.
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{0,9})?"


class Method(StrEnum):
    PLAY = "PLAY"
    PAUSE = "PAUSE"
    TEARDOWN = "TEARDOWN"


class RequestUnfit(XueliangError):
    """No MANSRTSP request that could be carried out."""

    code = "mansrtsp_unfit"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackRequest:
    """What is to change; None: as it was.

    ``scale`` is never 0: that is read as PAUSE.
    """

    method: Method
    cseq: str
    scale: float | None = None
    from_s: float | None = None  # None: from where it is
    to_s: float | None = None


def parse_request(body: bytes) -> PlaybackRequest:
    """Read a body.

    Raises:
        RequestUnfit: it is none.
    """
    if len(body) > BODY_BYTES_MAX:
        raise RequestUnfit("the MANSRTSP body is too long")
    text = body.decode("utf-8", "replace").replace("\r", "\n")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    first = lines[0].split() if lines else []
    try:
        method = Method(first[0].upper() if first else "")
    except ValueError:
        raise RequestUnfit("the MANSRTSP method is unknown") from None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    scale = _scale(headers.get("scale"))
    from_s, to_s = _range(headers.get("range"))
    if method is Method.PLAY and scale == 0:
        method = Method.PAUSE
    is_play = method is Method.PLAY
    return PlaybackRequest(
        method=method,
        cseq=headers.get("cseq", "")[:40],
        scale=scale if is_play else None,
        from_s=from_s if is_play else None,
        to_s=to_s if is_play else None,
    )


def _scale(text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(rf"[+-]?(?:{_NUMBER}|1/[248])", text):
        raise RequestUnfit("the MANSRTSP Scale is no number")
    over, _, under = text.partition("/")
    return float(over) / float(under or 1)


def _range(text: str | None) -> tuple[float | None, float | None]:
    """``npt=a-b`` in any spelling that was seen; a part that is missing or ``now`` is None."""
    if text is None:
        return None, None
    unit, equals, value = text.replace(" ", "").partition("=")
    if not equals or unit.lower() not in ("npt", "ntp", "smpte"):
        raise RequestUnfit("the MANSRTSP Range is in no known unit")
    start, _, end = value.partition("-")
    return _instant(start), _instant(end)


def _instant(text: str) -> float | None:
    if text.lower() in ("", "now"):
        return None
    if re.fullmatch(_NUMBER, text):
        return float(text)
    if re.fullmatch(r"[0-9]{1,4}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{0,9})?", text):
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    raise RequestUnfit("the MANSRTSP Range is no time")


#: Speeds that can be had; others become the nearest of them.
SCALES = (-1.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def supported_scale(asked: float) -> float:
    """The nearest speed that can be had, by ratio; any reverse is -1."""
    if asked < 0:
        return -1.0
    forward = [scale for scale in SCALES if scale > 0]
    return min(forward, key=lambda scale: abs(math.log(scale / max(asked, 1e-6))))


def write_reply(
    request: PlaybackRequest, *, position_s: float, scale: float, sequence: int, rtp_time: int
) -> bytes:
    """The body of the 200: where the change takes effect, and with which packet."""
    lines = ["RTSP/1.0 200 OK"]
    if request.cseq:
        lines.append(f"CSeq: {request.cseq}")
    if request.method is Method.PLAY:
        if request.scale is not None:
            lines.append(f"Scale: {scale:g}")
        lines.append(f"Range: npt={position_s:.3f}-")
        lines.append(f"RTP-Info: seq={sequence};rtptime={rtp_time}")
    return "".join(line + "\r\n" for line in [*lines, ""]).encode()
