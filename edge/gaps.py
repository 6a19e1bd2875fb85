"""What one camera owes the ledger: the open gap, its cause, and when it ends. Core.

A gap is told of once it is a second long (``GAP_MIN_US``), so that a quick reconnect leaves no
trace, and it ends where footage begins again. Whoever drives it calls :meth:`tick` each second.
"""

from __future__ import annotations

from dataclasses import dataclass

from retention.model import GAP_MIN_US, GapCause


@dataclass(frozen=True, slots=True, kw_only=True)
class GapOpened:
    start_us: int
    cause: GapCause
    detail: str
    epoch: int = 0  # that start_us is of


@dataclass(frozen=True, slots=True, kw_only=True)
class GapClosed:
    start_us: int
    end_us: int
    cause: GapCause
    epoch: int = 0  # that end_us is of


GapEvent = GapOpened | GapClosed


class GapKeeper:
    """The account of one camera from ``covered_until_us`` on.

    Args:
        covered_until_us: the end of what is accounted for; media or ledger.
        open_gap: the gap that the ledger already holds open from there (start-up), if any.
        epoch: the stretch of host time that instants are of, until told otherwise.
    """

    def __init__(
        self, covered_until_us: int, open_gap: GapOpened | None = None, epoch: int = 0
    ) -> None:
        self.epoch = epoch
        self._covered_until_us = covered_until_us
        self._open = open_gap
        self._cause: GapCause | None = open_gap.cause if open_gap else None
        self._detail = open_gap.detail if open_gap else ""

    @property
    def cause(self) -> GapCause | None:
        """Why nothing is being recorded now; None while it is."""
        return self._cause

    @property
    def detail(self) -> str:
        return self._detail

    @property
    def covered_until_us(self) -> int:
        return self._covered_until_us

    def lost(self, cause: GapCause, detail: str, now_us: int) -> list[GapEvent]:
        """Nothing is recorded from now on, or still not, and this is why.

        A second cause takes over from ``now_us``; the first keeps what it cost until then.
        """
        if self._cause == cause:
            self._detail = detail
            return []
        events = self.tick(now_us)
        if self._open is not None and now_us - self._open.start_us >= GAP_MIN_US:
            events.append(self._close(now_us))
        self._cause, self._detail = cause, detail
        return events

    def stepped(self, step_us: int, now_us: int, epoch: int) -> list[GapEvent]:
        """The host's clock was stepped, and shows ``now_us``: the account goes on at the same
        moment, told on the new clock. A gap is never told on two."""
        events: list[GapEvent] = []
        if self._open is not None:
            events.append(self._close(max(now_us - step_us, self._open.start_us)))
        self._covered_until_us += step_us
        self.epoch = epoch
        return events + self.tick(now_us)

    def tick(self, now_us: int) -> list[GapEvent]:
        """Tell the ledger of the gap once it is long enough."""
        start_us = self._covered_until_us
        if self._cause is None or self._open is not None or now_us - start_us < GAP_MIN_US:
            return []
        self._open = GapOpened(
            start_us=start_us, cause=self._cause, detail=self._detail, epoch=self.epoch
        )
        return [self._open]

    def recorded(self, start_us: int, end_us: int, unexplained: GapCause) -> list[GapEvent]:
        """Footage of ``[start_us, end_us)`` was accepted; ``unexplained`` names a hole before it
        that nobody called."""
        events: list[GapEvent] = []
        if self._cause is None:
            self._cause, self._detail = unexplained, ""
        if start_us > self._covered_until_us:
            events += self.tick(start_us)
        if self._open is not None:
            events.append(self._close(max(start_us, self._open.start_us)))
        self._cause, self._detail = None, ""
        self._covered_until_us = max(self._covered_until_us, end_us)
        return events

    def hole(self, start_us: int, end_us: int, cause: GapCause) -> list[GapEvent]:
        """Pictures are missing in footage that is otherwise being recorded."""
        if self._cause is not None:
            return []  # the gap that is under way tells of it
        self._covered_until_us = max(self._covered_until_us, end_us)
        return [
            GapOpened(start_us=start_us, cause=cause, detail="", epoch=self.epoch),
            GapClosed(start_us=start_us, end_us=end_us, cause=cause, epoch=self.epoch),
        ]

    def _close(self, end_us: int) -> GapClosed:
        assert self._open is not None
        closed = GapClosed(
            start_us=self._open.start_us, end_us=end_us, cause=self._open.cause, epoch=self.epoch
        )
        self._open = None
        self._covered_until_us = max(self._covered_until_us, end_us)
        return closed
