"""What a demo camera's burnt-in clock says in a picture that a browser shows."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo import font

LETTERS = "0123456789-:.+ "
CHARACTERS = len("2026-11-25 20:15:30.000+08:00")

#: Draws the picture that a video shows now, and returns it as PNG.
GRAB = """(video) => {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.toDataURL("image/png");
}"""

#: The same for the next picture while it plays, with what stands under it at that moment, and under
#: the one after.
GRAB_NEXT = """(video) => new Promise((resolve) => video.requestVideoFrameCallback(() => {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const clock = video.closest("figure").querySelector(".clock");
  const found = [canvas.toDataURL("image/png"), clock.textContent];
  video.requestVideoFrameCallback(() => resolve([...found, clock.textContent]));
}))"""


def read_clock(png_url: str) -> str:
    """The burnt-in text, read letter by letter: local time with milliseconds, as ``YYYY-MM-DD
    HH:MM:SS.mmm`` (the offset behind it is read, too, and must be Beijing's)."""
    found = cv2.imdecode(
        np.frombuffer(base64.b64decode(png_url.partition(",")[2]), dtype=np.uint8),
        cv2.IMREAD_GRAYSCALE,
    )
    assert found is not None, "no picture"
    luma: npt.NDArray[Any] = np.asarray(found)
    height, width = luma.shape
    scale = max(1, width // (font.ADVANCE * 30))
    row = height - max(4, height // 32 // 4 * 4) * 2 - 10 * scale
    text = ""
    for place in range(CHARACTERS):
        column = 2 * scale + place * font.ADVANCE * scale
        cell = luma[row : row + font.HEIGHT * scale, column : column + font.ADVANCE * scale] > 128
        wrong = {letter: int((cell ^ font.glyph(letter, scale)).sum()) for letter in LETTERS}
        best = min(wrong, key=lambda letter: wrong[letter])
        assert wrong[best] < cell.size // 8, f"letter {place} is none: {wrong}"
        text += best
    assert text.endswith("+08:00"), text
    return text.removesuffix("+08:00")
