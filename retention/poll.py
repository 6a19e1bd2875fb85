"""A day's recording as a checking platform sees it: a list of items, compared with the plan. Core.

A platform asks for the records of one camera from 00:00:00 to 23:59:59, joins what it is given, and
takes the rest of the day for missing (GB/T 28181-2022, RecordInfo). Here the same is done with what
the reader gives: whatever is wrong with it shows before the platform sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from retention.completeness import local_date, midnight_us
from retention.model import US_PER_S, GapCause, Span
from retention.timeline import Timeline

HOUR_US = 3600 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    start_us: int
    end_us: int
    cause: GapCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """One camera's answer, judged."""

    items: tuple[Span, ...]
    due_us: int
    covered_us: int  # of what was due, by the items
    missing: tuple[Missing, ...]
    faults: tuple[str, ...]  # the answer itself is wrong: the check has failed


def items_of(line: Timeline, zone: tzinfo) -> tuple[Span, ...]:
    """The spans as a platform is told them: cut at full hours, so at midnight, too."""
    items = []
    for span in line.spans:
        start_us = span.start_us
        while start_us < span.end_us:
            day_us = midnight_us(local_date(start_us, zone), zone)
            cut_us = start_us - (start_us - day_us) % HOUR_US + HOUR_US
            items.append(Span(start_us=start_us, end_us=min(cut_us, span.end_us)))
            start_us = cut_us
    return tuple(items)


def judge(line: Timeline, items: Sequence[Span]) -> Polled:
    """Compare the items with the time line's due time, and both with one another."""
    expired_us = sum(
        (gap.end_us or line.to_us) - gap.start_us
        for gap in line.gaps
        if gap.cause is GapCause.EXPIRED
    )
    due_us = line.to_us - line.from_us - expired_us
    covered_us, faults, before_us = 0, [], line.from_us
    for item in items:
        if item.end_us <= item.start_us:
            faults.append("an item is empty or ends before it begins")
        elif item.start_us < before_us:
            faults.append("items overlap, or one begins before the day")
        covered_us += max(0, item.end_us - max(item.start_us, before_us))
        before_us = max(before_us, item.end_us)
    if before_us > line.to_us:
        faults.append("an item ends behind the day")
    missing = tuple(
        Missing(start_us=gap.start_us, end_us=gap.end_us or line.to_us, cause=gap.cause)
        for gap in line.gaps
        if gap.cause is not GapCause.EXPIRED
    )
    if due_us - covered_us != sum(one.end_us - one.start_us for one in missing):
        faults.append("items and gaps do not add up to the day")
    return Polled(
        items=tuple(items),
        due_us=due_us,
        covered_us=covered_us,
        missing=missing,
        faults=tuple(faults),
    )


def instant_in(spans: Sequence[Span], chance: float) -> int | None:
    """An instant of what is recorded, each as likely as any other; None where nothing is.

    Args:
        chance: from 0 to below 1.
    """
    left_us = int(chance * sum(span.end_us - span.start_us for span in spans))
    for span in spans:
        if left_us < span.end_us - span.start_us:
            return span.start_us + left_us
        left_us -= span.end_us - span.start_us
    return None
