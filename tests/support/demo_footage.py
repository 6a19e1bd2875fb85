"""Footage of a demo camera in a store, of any time: its clock is burnt into the pictures.

The real writer stores it; only the waiting is left out. Encoding takes a 20th of the length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge.demo.encode import PictureEncoder, audio_loop
from edge.demo.picture import Painter
from edge.demo.plan import StreamPlan
from edge.demo.units import MediaUnit, stored_bytes
from retention.model import (
    US_PER_S,
    AccessUnit,
    AudioFormat,
    ClockState,
    Codec,
    EndReason,
    Fragment,
    MediaFormat,
    Run,
    SegmentHeader,
    Track,
)
from tests.retention.storing import Recorder

#: Small and slow, so that minutes are encoded in seconds; the clock is 21 points high.
STREAM = StreamPlan(width=640, height=360, fps=10, gop_frames=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One run of a camera, cut at ``cuts_us``."""

    camera: str
    run: str
    first_number: int
    cuts_us: Sequence[int]  # where segments begin, and where the last one ends
    stream: StreamPlan = STREAM


def record_take(recorder: Recorder, take: Take) -> None:
    """Encode and store a take; every segment is sealed.

    The burnt-in clock is that of the picture's instant. Cuts are whole groups of pictures apart.
    """
    encoder = PictureEncoder(take.stream)
    audio = None if take.stream.audio is None else audio_loop(take.stream.audio)
    format = MediaFormat(video=encoder.format, audio=None if audio is None else audio[0])
    run = Run(
        run=take.run,
        camera=take.camera,
        start_us=take.cuts_us[0],
        clock=ClockState.TRUSTED,
        format=format,
    )
    recorder.opened.ledger.run_started(run)
    writer = recorder.writer()
    groups = _groups(encoder, take)
    for number, (from_us, to_us) in enumerate(pairwise(take.cuts_us), take.first_number):
        writer.open(
            SegmentHeader(
                camera=take.camera,
                run=take.run,
                number=number,
                start_us=from_us,
                clock=ClockState.TRUSTED,
                format=format,
            )
        )
        gop_us = take.stream.gop_frames * US_PER_S // take.stream.fps
        for start_us in range(from_us, to_us, gop_us):
            units = next(groups)
            if audio is not None:
                units = [*units, *_sound(audio, start_us - take.cuts_us[0], gop_us, start_us)]
                units.sort(key=lambda unit: unit.pts_us)
            writer.append(
                take.camera,
                number,
                Fragment(
                    units=tuple(units), start_us=start_us, end_us=start_us + gop_us, is_key=True
                ),
            )
        is_last = to_us == take.cuts_us[-1]
        writer.seal(take.camera, number, EndReason.RUN_ENDED if is_last else EndReason.ROTATED)


def _groups(encoder: PictureEncoder, take: Take) -> Iterator[list[AccessUnit]]:
    """Groups of pictures, one behind the other, for as long as the take lasts."""
    plan = take.stream
    painter = Painter(
        name=take.camera.upper(), width=plan.width, height=plan.height, hue=len(take.camera)
    )
    step_us = US_PER_S // plan.fps
    count = (take.cuts_us[-1] - take.cuts_us[0]) // step_us
    group: list[AccessUnit] = []

    def put(number: int, unit: MediaUnit) -> None:
        group.append(
            AccessUnit(
                track=Track.VIDEO,
                pts_us=take.cuts_us[0] + number * step_us,
                is_key=unit.is_key,
                data=stored_bytes(unit),
            )
        )

    for number in range(count):
        picture = painter.paint(number, take.cuts_us[0] + number * step_us)
        made = encoder.encode(picture, number, key=number % plan.gop_frames == 0)
        for one in made:
            if one.unit.is_key and group:
                yield group
                group = []
            put(one.number, one.unit)
    for one in encoder.flush():
        if one.unit.is_key and group:
            yield group
            group = []
        put(one.number, one.unit)
    yield group


def _sound(
    audio: tuple[AudioFormat, int, list[MediaUnit]], offset_us: int, length_us: int, start_us: int
) -> list[AccessUnit]:
    """What the camera's loop of sound gives from ``offset_us`` on."""
    format, samples, loop = audio
    rate_hz = format.sample_rate_hz
    first = -(-offset_us * rate_hz // (US_PER_S * samples))
    last = -(-(offset_us + length_us) * rate_hz // (US_PER_S * samples))
    return [
        AccessUnit(
            track=Track.AUDIO,
            pts_us=start_us - offset_us + n * samples * US_PER_S // rate_hz,
            is_key=True,
            data=stored_bytes(loop[n % len(loop)]),
        )
        for n in range(first, last)
    ]


__all__ = ["STREAM", "Codec", "Take", "record_take"]
