"""Live messages are a file that others play, also with B-frames and after a loss."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.console.live_muxer import FRAGMENT, HEAD, TOLD, LiveMuxer
from edge.demo.encode import PictureEncoder
from edge.demo.picture import Painter
from edge.demo.units import stored_bytes
from retention.model import US_PER_S, AccessUnit, AudioFormat, Codec, MediaFormat, Track
from tests.support.demo_footage import STREAM

T0 = 1_790_000_000 * US_PER_S
STEP_US = US_PER_S // 10


def units(b_frames: int, count: int) -> tuple[MediaFormat, list[AccessUnit]]:
    plan = replace(STREAM, width=160, height=96, b_frames=b_frames)
    encoder = PictureEncoder(plan)
    painter = Painter(name="x", width=160, height=96, hue=1)
    made = []
    for number in range(count):
        made += encoder.encode(painter.paint(number, T0), number, key=number % 20 == 0)
    made += encoder.flush()
    found = [
        AccessUnit(
            track=Track.VIDEO,
            pts_us=T0 + one.number * STEP_US,
            is_key=one.unit.is_key,
            data=stored_bytes(one.unit),
        )
        for one in made
    ]
    return MediaFormat(video=encoder.format), found


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        size = int.from_bytes(data[1:5], "big")
        yield data[0], data[5 : 5 + size]
        data = data[5 + size :]


def decoded(data: bytes, folder: Path) -> int:
    """How many pictures ffmpeg makes of it; it must not complain."""
    path = folder / "live.mp4"
    path.write_bytes(data)
    asked = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames"]
    done = subprocess.run([*asked, "-of", "csv=p=0", str(path)], capture_output=True, check=True)
    assert done.stderr == b""
    return int(done.stdout)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_picture_from_the_first_key_frame_on(b_frames: int, tmp_path: Path) -> None:
    format, found = units(b_frames, 60)
    muxer = LiveMuxer("gate")
    sound = AccessUnit(track=Track.AUDIO, pts_us=T0, is_key=True, data=b"x" * 160)
    with_sound = replace(
        format, audio=AudioFormat(codec=Codec.ALAW, sample_rate_hz=8000, channels=1)
    )
    told = b"".join(
        piece for unit in [*found[5:], sound] for piece in muxer.unit("1" * 32, with_sound, unit)
    )
    rows = list(messages(told))
    assert [kind for kind, _ in rows[:3]] == [TOLD, HEAD, FRAGMENT]
    head = json.loads(rows[0][1])
    assert head["type"].startswith('video/mp4; codecs="avc1.')
    key = next(place for place, unit in enumerate(found) if unit.is_key and place > 5)
    assert head["zero_us"] == found[key].pts_us
    assert decoded(b"".join(body for _, body in rows[1:]), tmp_path) == len(found) - key


def test_after_a_loss_and_with_a_new_run_it_begins_anew(tmp_path: Path) -> None:
    format, found = units(0, 60)
    muxer = LiveMuxer("gate")
    rows: list[tuple[int, bytes]] = []
    for place, unit in enumerate(found):
        if place == 30:
            muxer.skipped()
        run = "2" * 32 if place >= 50 else "1" * 32
        for piece in muxer.unit(run, format, unit):
            rows += messages(piece)
    zeros = [json.loads(body)["zero_us"] for kind, body in rows if kind == TOLD]
    assert zeros == [T0, T0 + 40 * STEP_US]  # the new run has no key frame yet
    assert sum(kind == FRAGMENT for kind, _ in rows) == 30 + 10
