"""What picture diagnosis tells apart, and how a check can end. Core.

The list is that of the platforms' diagnosis (视频质量诊断); the words are those of the table of
alarms (``picture_…`` of :mod:`edge.alarms.codes`): metrics, alarms and Catalog have one for each.
"""

from __future__ import annotations

from enum import StrEnum


class Defect(StrEnum):
    """Kinds of a damaged picture, in the order in which they rule each other out."""

    LOST = "signal_lost"  # a blue or otherwise plain picture instead of the scene
    BLACK = "black"
    BROKEN = "broken"  # mosaic, grey smear, green, or nothing that decodes
    FROZEN = "frozen"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    NOISY = "noisy"
    STRIPED = "striped"
    LOW_CONTRAST = "low_contrast"
    COVERED = "covered"
    BLURRED = "blurred"
    COLOUR_CAST = "colour_cast"
    MOVED = "moved"
    SHAKING = "shaking"


TEXTS_ZH = {
    Defect.LOST: "信号丢失",
    Defect.BLACK: "黑屏",
    Defect.BROKEN: "花屏",
    Defect.FROZEN: "画面冻结",
    Defect.TOO_DARK: "过暗",
    Defect.TOO_BRIGHT: "过亮",
    Defect.NOISY: "噪声",
    Defect.STRIPED: "条纹",
    Defect.LOW_CONTRAST: "对比度低",
    Defect.COVERED: "遮挡",
    Defect.BLURRED: "模糊",
    Defect.COLOUR_CAST: "偏色",
    Defect.MOVED: "场景移位",
    Defect.SHAKING: "抖动",
}


class Outcome(StrEnum):
    """Of one kind of defect in one check, and of the whole check."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    UNKNOWN = "unknown"  # it could not be judged: too dark, nothing to compare with
    FAILED = "failed"  # there was no picture to judge


class Failure(StrEnum):
    """Why a check had no picture."""

    NONE = ""
    NO_FOOTAGE = "no_footage"  # nothing was sealed since the last check
    UNREADABLE = "unreadable"  # index or disk did not give it
    UNDECODABLE = "undecodable"  # the decoder refused it
    CRASHED = "crashed"  # the decoder died of it
    TIMED_OUT = "timed_out"  # the decoder did not end
    INTERNAL = "internal"  # the diagnosis itself failed


#: Footage that is there and cannot be seen is itself a broken picture.
BROKEN_FAILURES = frozenset({Failure.UNDECODABLE, Failure.CRASHED, Failure.TIMED_OUT})
