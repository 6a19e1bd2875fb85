"""One decoded picture, for a browser that cannot play a camera's H.265. Shell.

OpenCV decodes it (it is there for the picture diagnosis; ffmpeg need not be installed), in a
process of its own: footage is not to be trusted with this service's memory. That process has
little time and memory, no network to speak of and the lowest priority, runs alone, and keeps the
picture nowhere but in memory.
"""

from __future__ import annotations

import asyncio
import os
import sys

from config.errors import Retry, XueliangError

CHILD = "edge.console.still_child"
TIMEOUT_S = 10.0
PICTURE_BYTES_MAX = 16 << 20
WAITING_MAX = 8

_turn = asyncio.Semaphore(1)
_waiting = 0


class StillUnavailable(XueliangError):
    """No picture could be made of this footage now."""

    code = "still_unavailable"


async def still_of(media: bytes) -> bytes:
    """The first picture of a file as JPEG.

    Raises:
        StillUnavailable: it cannot be decoded here, or too many are asked for.
    """
    global _waiting
    if _waiting >= WAITING_MAX:
        raise StillUnavailable("too many stills are asked for at once", retry=Retry.LATER)
    _waiting += 1
    try:
        async with _turn:
            return await _decoded(media)
    finally:
        _waiting -= 1


async def _decoded(media: bytes) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OPENBLAS_NUM_THREADS": "1",
            "OPENCV_FFMPEG_CAPTURE_OPTIONS": "threads;1",
            "OPENCV_LOG_LEVEL": "OFF",
        },
        start_new_session=True,
    )
    try:
        picture, _ = await asyncio.wait_for(child.communicate(media), TIMEOUT_S)
    except TimeoutError:
        picture = b""
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode or not picture or len(picture) > PICTURE_BYTES_MAX:
        raise StillUnavailable(
            "this picture cannot be decoded here",
            hint="open an export of it with a player for H.265",
        )
    return picture
