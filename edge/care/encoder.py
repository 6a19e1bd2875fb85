"""A camera's encoder held against the site's minimum (``[care.encoder]``). Core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge.camera.inspection import EncoderSettings
from edge.care.finding import Finding

#: Rising: what is further right is as good, or better.
_CODECS = ("JPEG", "MPEG4", "H264", "H265")
KBIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """``[care.encoder]``; 0, None or empty: not judged."""

    codec: str = ""  # "h264", "h265"
    size: tuple[int, int] | None = None  # width, height
    fps: int = 0
    min_kbps: int = 0
    max_gop_seconds: float = 0


def shortfalls(settings: EncoderSettings, minimum: Minimum) -> Iterator[Finding]:
    """What is below the minimum, one finding each; what the camera does not tell is not judged."""
    wanted = minimum.codec.upper()
    if wanted and settings.codec in _CODECS and _rank(settings.codec) < _rank(wanted):
        yield Finding(
            zh=f"编码 {settings.codec} 低于 {wanted}",
            en=f"codec {settings.codec} is below {wanted}",
        )
    size = minimum.size
    if size is not None and settings.width and _is_smaller(settings, size):
        yield Finding(
            zh=f"分辨率 {settings.width}x{settings.height} 低于 {size[0]}x{size[1]}",
            en=f"resolution {settings.width}x{settings.height} is below {size[0]}x{size[1]}",
        )
    if 0 < settings.fps < minimum.fps:
        yield Finding(
            zh=f"帧率 {settings.fps} 低于 {minimum.fps}",
            en=f"frame rate {settings.fps} is below {minimum.fps}",
        )
    if 0 < settings.bits_per_second < minimum.min_kbps * KBIT:
        kbps = settings.bits_per_second // KBIT
        yield Finding(
            zh=f"码率 {kbps} kbit/s 低于 {minimum.min_kbps}",
            en=f"bit rate {kbps} kbit/s is below {minimum.min_kbps}",
        )
    gop_s = gop_seconds(settings)
    if gop_s is not None and 0 < minimum.max_gop_seconds < gop_s:
        yield Finding(
            zh=f"关键帧间隔 {gop_s:.1f} 秒，长于 {minimum.max_gop_seconds:g}",
            en=f"a key frame each {gop_s:.1f} s only, not each {minimum.max_gop_seconds:g} s",
        )


def mended(settings: EncoderSettings, minimum: Minimum) -> EncoderSettings:
    """The settings with what is below the minimum raised to it, and nothing else touched.

    H.265 cannot be set through ONVIF Media 1: a camera of H.264 stays so.
    """
    found = settings
    if minimum.codec and _rank(found.codec) < _rank("H264"):
        found = replace(found, codec="H264")
    size = minimum.size
    if size is not None and (not found.width or _is_smaller(found, size)):
        found = replace(found, width=size[0], height=size[1])
    found = replace(
        found,
        fps=max(found.fps, minimum.fps),
        bits_per_second=max(found.bits_per_second, minimum.min_kbps * KBIT),
    )
    if minimum.max_gop_seconds and found.fps:
        longest = max(1, int(minimum.max_gop_seconds * found.fps))
        if not found.gop_frames or found.gop_frames > longest:
            found = replace(found, gop_frames=longest)
    return found


def gop_seconds(settings: EncoderSettings) -> float | None:
    """How far key frames are apart; None where the camera does not tell."""
    if not settings.gop_frames or not settings.fps:
        return None
    return settings.gop_frames / settings.fps


def _rank(codec: str) -> int:
    return _CODECS.index(codec) if codec in _CODECS else 0


def _is_smaller(settings: EncoderSettings, size: tuple[int, int]) -> bool:
    """Whichever way round the camera is mounted."""
    own, least = sorted((settings.width, settings.height)), sorted(size)
    return own[0] < least[0] or own[1] < least[1]
