"""Decodes the first picture of the file on standard input to a JPEG on standard output. Shell; a
process of its own (edge.console.still)."""

from __future__ import annotations

import os
import resource
import sys

MEDIA_BYTES_MAX = 64 << 20
CPU_S = 6
MEMORY_BYTES = 2 << 30
QUALITY = 85


def main() -> int:
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEDIA_BYTES_MAX, MEDIA_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no picture in a core file
    media = sys.stdin.buffer.read(MEDIA_BYTES_MAX)
    import cv2

    cv2.setNumThreads(1)
    file = os.memfd_create("still")
    os.write(file, media)
    capture = cv2.VideoCapture(f"/proc/self/fd/{file}", cv2.CAP_FFMPEG)
    is_read, picture = capture.read()
    if not is_read:
        return 1
    is_written, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not is_written:
        return 1
    sys.stdout.buffer.write(jpeg.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
