"""Pictures out of pieces of segments, by OpenCV's own FFmpeg. Shell; the only importer of ``cv2``.

Runs in the diagnose child alone, never beside PyAV (both bundle an FFmpeg; opencv/opencv#21952,
PyAV#978). The bytes come in memory: the decoder never opens footage itself.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from config.errors import XueliangError
from edge.diagnose.pictures import Colours

#: Smaller pictures have no cells to be judged by.
SIDE_MIN = 64
#: Complaints are counted, not kept.
COMPLAINT_BYTES_MAX = 1 << 20

cv2.setNumThreads(1)  # it runs beside a recorder


class Undecodable(XueliangError):
    """Nothing comes out of it that is a picture."""

    code = "undecodable"


def decode(data: bytes, count: int, step: int) -> tuple[list[Colours], int]:
    """Up to ``count`` pictures of a small MP4, each ``step``-th from the first on, and how often
    the decoder complained.

    Raises:
        Undecodable: there is no picture in it.
    """
    file = os.memfd_create("footage", os.MFD_CLOEXEC)
    try:
        with memoryview(data) as rest:
            written = 0
            while written < len(rest):
                written += os.write(file, rest[written:])
        with _complaints() as complaints:
            pictures = _read(f"/proc/self/fd/{file}", count, step)
            errors = complaints()
    finally:
        os.close(file)
    if not pictures:
        raise Undecodable("the decoder gives no picture")
    return pictures, errors


def _read(path: str, count: int, step: int) -> list[Colours]:
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    pictures: list[Colours] = []
    try:
        while capture.isOpened() and len(pictures) < count:
            is_there, picture = capture.read()
            if not is_there or picture is None:
                break
            if picture.ndim != 3 or min(picture.shape[:2]) < SIDE_MIN:
                break
            pictures.append(np.asarray(picture, dtype=np.uint8))
            for _ in range(step - 1 if len(pictures) < count else 0):
                if not capture.grab():
                    return pictures
    except cv2.error:
        return pictures
    finally:
        capture.release()
    return pictures


@contextmanager
def _complaints() -> Iterator[Callable[[], int]]:
    """What FFmpeg says (OpenCV prints it to standard output) goes to memory; the value counts its
    lines so far."""
    libc = ctypes.CDLL(None)
    libc.fflush(None)
    kept = [os.dup(number) for number in (1, 2)]
    file = os.memfd_create("complaints", os.MFD_CLOEXEC)

    def count() -> int:
        libc.fflush(None)
        return os.pread(file, COMPLAINT_BYTES_MAX, 0).count(b"\n")

    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        yield count
    finally:
        libc.fflush(None)
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(file)
