"""Real footage with staged defects, encoded as a camera does it.

Two clips (``/work/shared/media`` is not there on every machine, the cuts in ``tests/media`` are):
a path seen from above, cut into four views that share no pixel, and a street film of several
shots. Two more cameras, that stand still, are for judging alone: a crossing, and a tree behind a
window (tests/media/PROVENANCE.md). A defect is staged on the pictures before they are encoded, in
three strengths; those of the transmission are staged behind that.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.diagnose.defects import Defect
from retention.model import Codec, VideoFormat
from retention.nal import is_key_frame, join_lengths, nal_type, split_annexb, video_format

Frames: TypeAlias = NDArray[np.uint8]  # pictures, rows, columns, blue-green-red
Stage = Callable[[Frames, float, np.random.Generator], Frames]

_AUD, _AUD_H265 = 9, 35


def read_frames(path: Path, size: tuple[int, int], rate: int, seconds: float = 1e6) -> Frames:
    """Every picture of a clip, scaled to ``size`` (width, height), at ``rate`` a second."""
    width, height = size
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-t", str(seconds), "-i", str(path)]
        + ["-vf", f"fps={rate},scale={width}:{height}", "-f", "rawvideo", "-pix_fmt", "bgr24", "-"],
        capture_output=True,
        check=True,
    ).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Pictures as an RTSP camera would send them: NAL units behind their lengths."""

    format: VideoFormat
    pictures: tuple[bytes, ...]
    keys: tuple[bool, ...]

    def cut(self, first: int, last: int) -> Encoded:
        """Some of its pictures; the first one must be a key frame."""
        assert self.keys[first]
        return Encoded(
            format=self.format, pictures=self.pictures[first:last], keys=self.keys[first:last]
        )


def encode(
    frames: Frames,
    rate: int = 10,
    *,
    crf: int = 27,
    group: int = 250,
    key: int = 0,
    codec: str = "h264",
) -> Encoded:
    """H.264 (or ``h265``) without B-frames and without looking ahead, as cameras have it; a key
    frame each ``group`` pictures, and picture ``key`` is one."""
    count, height, width, _ = frames.shape
    is_h264 = codec == "h264"
    keys = f"keyint={group}:scenecut=0:bframes=0"
    if is_h264:
        coder = ["libx264", "-x264-params", f"aud=1:repeat-headers=1:mbtree=0:{keys}"]
    else:
        coder = ["libx265", "-x265-params", f"aud=1:repeat-headers=1:log-level=none:{keys}"]
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}"]
        + ["-r", str(rate), "-i", "-", "-c:v", *coder, "-preset", "veryfast", "-crf", str(crf)]
        + ["-force_key_frames", f"expr:eq(n,{key})", "-tune", "zerolatency"]
        + ["-pix_fmt", "yuv420p", "-threads", "1", "-f", "h264" if is_h264 else "hevc", "-"],
        input=frames.tobytes(),
        capture_output=True,
        check=True,
    ).stdout
    kind = Codec.H264 if is_h264 else Codec.H265
    delimiter = _AUD if is_h264 else _AUD_H265
    pictures: list[list[bytes]] = []
    for nal in split_annexb(raw):
        if nal_type(kind, nal) == delimiter:
            pictures.append([])
        else:
            pictures[-1].append(nal)
    assert len(pictures) == count
    return Encoded(
        format=video_format(kind, pictures[0]),
        pictures=tuple(map(join_lengths, pictures)),
        keys=tuple(is_key_frame(kind, nals) for nals in pictures),
    )


# Defects of the picture ------------------------------------------------------------------------


def lost(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    """A recorder's blue picture, or a plain grey one, with or without words on it."""
    colour = [(255, 0, 0), (200, 40, 20), (128, 128, 128)][round(strength * 2)]
    plain = np.empty_like(frames)
    plain[:] = np.array(colour, np.uint8)
    if strength > 0.4:
        _letters(plain, plain.shape[1] // 2, plain.shape[2] // 2 - 40, "NO SIGNAL")
    return plain


def black(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    return _bytes(frames * (0.04 * (1 - strength)))


def frozen(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    """The picture stands; so does the clock in it."""
    return _bytes(np.repeat(frames[:1], len(frames), axis=0))


def too_dark(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    return _gain(frames, 0.26 - 0.12 * strength, 0)


def too_bright(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    return _gain(frames, 2.4 + 2 * strength, 60)


def low_contrast(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    """Fog, a steamed-up dome."""
    part = 0.2 - 0.13 * strength
    return _gain(frames, part, 140 * (1 - part))


def covered(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    """Something plain, near and out of focus before a part of the lens."""
    _, height, width, _ = frames.shape
    share = 0.35 + 0.6 * strength
    y, x = np.mgrid[:height, :width]
    kind = int(chance.integers(4))
    along = [x / width, 1 - x / width, y / height, (x / width + y / height) / 2][kind]
    edge = np.quantile(along, share)
    soft = np.clip((edge - along) / 0.06 + 0.5, 0, 1)[None, :, :, None]
    colour = np.array([[30, 30, 30], [60, 110, 70], [130, 150, 170], [20, 50, 35]][kind])
    shade = colour + 6 * np.sin(x / 90 + y / 70)[None, :, :, None]
    return _bytes(frames * (1 - soft) + shade * soft)


def blurred(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    return _blur(frames, (1.8 + 4 * strength) * frames.shape[2] / 512)


def colour_cast(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    part = 0.3 + 0.4 * strength
    tint = [(1 - part, 1 - part, 1.1), (1.1, 1 - part, 1.0), (1 - part, 1.1, 1 - part)]
    gains = np.array(tint[int(chance.integers(3))])
    return _bytes(frames * gains)


def noise(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    spread = 16 + 30 * strength
    grain = chance.normal(0, spread, frames.shape[:3])[..., None]
    return _bytes(frames + grain)


def stripes(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    """Bars of interference, which wander."""
    _, height, width, _ = frames.shape
    y, x = np.mgrid[:height, :width]
    turn = chance.uniform(0, 0.5)
    length = chance.uniform(5, 14)
    out = np.empty_like(frames)
    for n, frame in enumerate(frames):
        wave = np.sin(2 * np.pi * (y * np.cos(turn) + x * np.sin(turn) + 3 * n) / length)
        out[n] = np.clip(frame + (9 + 20 * strength) * wave[..., None], 0, 255)
    return out


def moved(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    """The camera looks elsewhere: by a part of its view (what comes in is mirrored footage), or at
    the same scene turned about."""
    _, height, width, _ = frames.shape
    if strength > 0.9:
        return frames[:, ::-1, ::-1].copy()
    right = int(width * (0.06 + 0.4 * strength)) * (1 if chance.random() < 0.5 else -1)
    down = int(height * 0.3 * strength)
    grown = np.pad(frames, ((0, 0), (down, down), (abs(right), abs(right)), (0, 0)), mode="reflect")
    left = abs(right) + right
    return grown[:, :height, left : left + width].copy()


def shaking(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    """A pole in the wind."""
    amplitude = (3 + 6 * strength) * frames.shape[2] / 512
    margin = int(amplitude) + 2
    grown = np.pad(frames, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    _, height, width, _ = frames.shape
    out = np.empty_like(frames)
    for n in range(len(frames)):
        down, right = (amplitude * chance.uniform(-1, 1, 2)).astype(int) + margin
        out[n] = grown[n, down : down + height, right : right + width]
    return out


def broken(frames: Frames, strength: float, chance: np.random.Generator) -> Frames:
    """Blocks that are plain, of another place, or the decoder's grey or green."""
    out = frames.copy()
    _, height, width, _ = frames.shape
    size = 16
    kind = int(chance.integers(3))
    rows, columns = height // size, width // size
    if kind == 2:  # all below a line is gone
        out[:, int(rows * (0.8 - 0.5 * strength)) * size :] = (128, 128, 128)
        if chance.random() < 0.5:
            out[:, int(rows * (0.8 - 0.5 * strength)) * size :] = (0, 135, 0)
        return out
    for row in range(rows):
        for column in range(columns):
            if chance.random() > 0.12 + 0.4 * strength:
                continue
            place = (
                slice(None),
                slice(row * size, row * size + size),
                slice(column * size, column * size + size),
            )
            if kind == 0:
                mean = out[place].mean(axis=(1, 2), keepdims=True)
                out[place] = _bytes(mean + int(chance.integers(-60, 60)))
            else:
                out[place] = chance.integers(0, 255, 3)
    return out


def torn(encoded: Encoded, strength: float, chance: np.random.Generator) -> Encoded:
    """Packets lost on the way: pieces of the first pictures are gone."""
    pictures = list(encoded.pictures)
    for n in range(0, min(len(pictures), 6)):
        data = pictures[n]
        count = max(1, round((0.15 + 0.5 * strength) * len(data) / 1400))
        for _ in range(count if n == 0 or chance.random() < 0.5 else 0):
            at = int(chance.integers(min(200, len(data) // 2), len(data)))
            data = data[:at] + bytes(min(1400, len(data) - at)) + data[at + 1400 :]
        pictures[n] = data
    return Encoded(format=encoded.format, pictures=tuple(pictures), keys=encoded.keys)


STAGES: dict[Defect, Stage] = {
    Defect.LOST: lost,
    Defect.BLACK: black,
    Defect.BROKEN: broken,
    Defect.FROZEN: frozen,
    Defect.TOO_DARK: too_dark,
    Defect.TOO_BRIGHT: too_bright,
    Defect.NOISY: noise,
    Defect.STRIPED: stripes,
    Defect.LOW_CONTRAST: low_contrast,
    Defect.COVERED: covered,
    Defect.BLURRED: blurred,
    Defect.COLOUR_CAST: colour_cast,
    Defect.MOVED: moved,
    Defect.SHAKING: shaking,
}


#: What happens before the sensor, which then adds its grain.
_OPTICAL = frozenset(
    {Defect.TOO_DARK, Defect.TOO_BRIGHT, Defect.LOW_CONTRAST, Defect.COVERED}
    | {Defect.BLURRED, Defect.COLOUR_CAST, Defect.MOVED, Defect.SHAKING}
)
#: What stands, stands with the camera's clock.
_STANDING = frozenset({Defect.FROZEN, Defect.LOST})


def camera_shows(
    scene: Frames,
    defect: Defect | None,
    strength: float,
    seconds: Sequence[float],
    chance: np.random.Generator,
) -> Frames:
    """What a camera makes of a scene: lens, sensor with its grain, clock in the picture, and the
    defect at its place between these."""

    def staged(frames: Frames) -> Frames:
        return frames if defect is None else STAGES[defect](frames, strength, chance)

    if defect in _OPTICAL:
        return with_clock(sensor_grain(staged(scene), chance), seconds)
    if defect in _STANDING:
        return staged(with_clock(sensor_grain(scene, chance), seconds))
    return with_clock(staged(sensor_grain(scene, chance)), seconds)


# What is no defect -----------------------------------------------------------------------------


def daylight(frames: Frames, hour: float) -> Frames:
    """The light of an hour: darker and redder towards evening."""
    height = max(0.0, np.sin((hour - 6) / 12 * np.pi))
    gains = np.array([0.5 + 0.5 * height, 0.55 + 0.45 * height, 0.62 + 0.38 * height])
    return _bytes(frames * gains)


def infrared(frames: Frames, chance: np.random.Generator) -> Frames:
    """A night picture of a camera with its own light: grey, grainy, darker towards its edges."""
    _, height, width, _ = frames.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    grey = frames.astype(np.float32).mean(axis=3) * (0.85 - 0.35 * (x**2 + y**2) / 2)
    grey = np.clip(grey + chance.normal(0, 4, grey.shape), 0, 255).astype(np.uint8)
    return _bytes(np.repeat(grey[..., None], 3, axis=3))


def with_clock(frames: Frames, seconds: Sequence[float]) -> Frames:
    """The camera's clock in the picture, as it reads at those seconds."""
    out = frames.copy()
    for n, second in enumerate(seconds):
        _letters(out[n : n + 1], 6, 6, f"{int(second) // 60:02}:{int(second) % 60:02}")
    return out


def sensor_grain(frames: Frames, chance: np.random.Generator, spread: float = 1.5) -> Frames:
    """No sensor gives the same picture twice."""
    return _bytes(frames + chance.normal(0, spread, frames.shape))


def _letters(frames: Frames, top: int, left: int, text: str) -> None:
    """White blocks on black in a pattern of the text's own: enough to be a running clock."""
    for place, letter in enumerate(text):
        bits = (ord(letter) * 2654435761 >> 7) & 0x7FFF
        for bit in range(15):
            row, column = top + bit // 3 * 3, left + place * 12 + bit % 3 * 3
            frames[:, row : row + 3, column : column + 3] = 255 if bits >> bit & 1 else 0


def _bytes(values: Any) -> Frames:
    found: Frames = np.clip(values, 0, 255).astype(np.uint8)
    return found


def _gain(frames: Frames, factor: float, offset: float) -> Frames:
    return _bytes(frames * factor + offset)


def _blur(frames: Frames, sigma: float) -> Frames:
    radius = int(3 * sigma) + 1
    weights = np.exp(-((np.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    weights = (weights / weights.sum()).astype(np.float32)
    out = frames.astype(np.float32)
    for axis in (1, 2):
        padded = np.pad(out, [(radius, radius) if a == axis else (0, 0) for a in range(4)], "edge")
        size = out.shape[axis]
        parts = (
            padded[:, n : n + size] if axis == 1 else padded[:, :, n : n + size]
            for n in range(len(weights))
        )
        out = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    return _bytes(out)


# Footage ---------------------------------------------------------------------------------------

VIEW_SIZE = (384, 288)
RATE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A place that a camera looks at: pictures at :data:`RATE` a second."""

    name: str
    frames: Frames = field(repr=False)
    #: Seconds between two pictures that count as a minute apart.
    apart_s: float


def path_views(path: Path) -> list[View]:
    """The quarters of the path from above."""
    width, height = VIEW_SIZE
    frames = read_frames(path, (2 * width, 2 * height), RATE)
    return [
        View(
            name=f"path {('top', 'bottom')[row]} {('left', 'right')[column]}",
            frames=frames[
                :,
                row * height : (row + 1) * height,
                column * width : (column + 1) * width,
            ],
            apart_s=60 if len(frames) > 700 else 4,
        )
        for row in (0, 1)
        for column in (0, 1)
    ]


def street_views(path: Path, seconds_min: float = 1.4) -> list[View]:
    """The shots of the street film that last."""
    frames = read_frames(path, (640, 272), RATE)
    small = frames[:, ::8, ::8].astype(np.float32)
    cuts = (
        [0]
        + [n for n in range(1, len(frames)) if np.abs(small[n] - small[n - 1]).mean() > 30]
        + [len(frames)]
    )
    return [
        View(name=f"street {first}-{last}", frames=frames[first:last], apart_s=0.5)
        for first, last in zip(cuts, cuts[1:], strict=False)
        if last - first >= seconds_min * RATE
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """A camera that stands still, at two times: what is learnt from, and what is judged."""

    earlier: View = field(repr=False)
    view: View


def crossing_views(folder: Path) -> list[Later]:
    """Two clips of one camera, seven minutes apart: each is judged by what the other one taught,
    and a minute before a picture of one is a picture of the other."""
    first, second = (
        read_frames(folder / f"Testvideo_{what}_FR20_2020-01-01_00-00-00.mp4", (800, 600), RATE)
        for what in ("Cars-Truck", "Cars-Cyclist")
    )
    early, late = (
        View(
            name=f"crossing {when}",
            frames=np.concatenate([before, shown]),
            apart_s=len(before) / RATE,
        )
        for when, before, shown in (("1204", second, first), ("1211", first, second))
    )
    return [Later(earlier=early, view=late), Later(earlier=late, view=early)]


#: Seconds of the tree's film: to be learnt from, to be judged, and a hand before the lens.
TREE_S = (0, 11, 22)
HAND_S = (25.5, 28.3)


def tree_views(path: Path) -> list[Later]:
    """A tree in the wind, against the light."""
    frames = read_frames(path, (320, 240), RATE)
    first, second = (
        View(name=f"tree {low}-{high} s", frames=frames[low * RATE : high * RATE], apart_s=4)
        for low, high in zip(TREE_S, TREE_S[1:], strict=False)
    )
    return [Later(earlier=first, view=second)]


def hand_view(path: Path) -> View:
    """A hand is held before the tree, over a fifth of the picture: a cover that nobody staged."""
    frames = read_frames(path, (320, 240), RATE)
    before = frames[round(5 * RATE) : round(HAND_S[1] * RATE)]
    return View(name="hand", frames=before, apart_s=HAND_S[0] - 5)
