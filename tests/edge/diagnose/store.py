"""A store of real sealed segments, written by the real writer from staged footage."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from retention.model import ClockState, EndReason, Fragment, MediaFormat, Run, SegmentHeader
from tests.edge.diagnose import staging
from tests.edge.diagnose.pieces import fragment_of
from tests.edge.diagnose.staging import RATE, Encoded, Frames
from tests.retention.storing import S, Site
from tests.retention.writing import T0

MEDIA = Path(__file__).parents[2] / "media"
CLIP = MEDIA / "pedestrians-h265-aac.mkv"
#: A segment of a real camera lasts a minute: two groups at its ends stand for it.
APART_S = 58


@cache
def clip() -> Frames:
    return staging.read_frames(CLIP, (384, 288), RATE)


class Footage:
    """One camera's minutes, one segment each, on a box that is not recording now."""

    def __init__(self, folder: Path, camera: str = "gate") -> None:
        self.site = Site.make(folder)
        self.camera = camera
        self.minutes = 0
        #: Minutes that stages stand for.
        self.marks: list[int] = []

    def add(
        self,
        *minutes: tuple[Encoded, Encoded],
        spoil: Callable[[Path], None] | None = None,
    ) -> None:
        """Each minute is its first and its last group of pictures."""
        boot = f"boot-{self.minutes}"
        with self.site.running([self.camera], boot) as recorder:
            for first, last in minutes:
                number, start_s = self.minutes + 1, self.minutes * 60
                run = f"{number:032x}"
                recorder.opened.ledger.run_started(
                    Run(
                        run=run,
                        camera=self.camera,
                        start_us=T0 + start_s * S,
                        clock=ClockState.TRUSTED,
                        format=MediaFormat(video=first.format),
                    )
                )
                header = SegmentHeader(
                    camera=self.camera,
                    run=run,
                    number=number,
                    start_us=T0 + start_s * S,
                    clock=ClockState.TRUSTED,
                    format=MediaFormat(video=first.format),
                )
                writer = recorder.writer()
                writer.open(header)
                for encoded, at_s in ((first, 0), (last, APART_S)):
                    fragment: Fragment = fragment_of(encoded, RATE, T0 + (start_s + at_s) * S)
                    writer.append(self.camera, number, fragment)
                writer.seal(self.camera, number, EndReason.ROTATED)
                self.minutes += 1
            self.site.at(self.minutes * 60)
        if spoil is not None:
            spoil(self.site.files()[-1])

    @property
    def start_us(self) -> int:
        return T0

    @property
    def end_us(self) -> int:
        return T0 + self.minutes * 60 * S
