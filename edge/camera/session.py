"""What state a camera's connection is in, and when to try again. Core: no I/O, time injected."""

from __future__ import annotations

from enum import StrEnum

from edge.backoff import Backoff
from retention.model import US_PER_S, GapCause

#: A session that streamed this long was sound: the next failure begins at the floor again.
SOUND_US = 30 * US_PER_S


class State(StrEnum):
    CONNECTING = "connecting"
    STREAMING = "streaming"
    WAITING = "waiting"
    STOPPED = "stopped"


class Session:
    """One camera's state; every transition is in this class.

    connecting -> streaming (first access unit) -> waiting (ended) -> connecting (retry), and
    connecting -> waiting when nothing came. ``stop`` leads to stopped from anywhere.
    """

    def __init__(self, backoff: Backoff, now_us: int) -> None:
        self._backoff = backoff
        self.state = State.CONNECTING
        self.since_us = now_us
        self.retry_us = now_us  # while waiting: when the next attempt is due
        self.cause: GapCause | None = None  # of the last end
        self.detail = ""
        self.failures = 0  # ends since the last sound session
        self._refusals = 0  # of the password, since a picture came

    def unit(self, now_us: int) -> None:
        """An access unit came."""
        if self.state is State.CONNECTING:
            self._enter(State.STREAMING, now_us)
            self._refusals = 0
            self.cause, self.detail = None, ""

    def ended(self, cause: GapCause, detail: str, now_us: int) -> int:
        """The session, or the attempt at one, is over; how long to wait, in microseconds.

        The first end after a sound session, or after none, that did stream is tried again at once;
        a refused password seldom, for cameras lock an account that knocks.
        """
        streamed = self.state is State.STREAMING
        if streamed and now_us - self.since_us >= SOUND_US:
            self._backoff.reset()
            self.failures = 0
        self.failures += 1
        self.cause, self.detail = cause, detail
        if streamed and self.failures == 1:
            delay_us = 0
        elif cause is GapCause.CAMERA_AUTH:
            self._refusals += 1
            delay_us = self._backoff.refused_us(self._refusals)
        else:
            delay_us = self._backoff.next_us()
        self._enter(State.WAITING, now_us)
        self.retry_us = now_us + delay_us
        return delay_us

    def retry(self, now_us: int) -> None:
        """The next attempt begins."""
        if self.state is State.WAITING:
            self._enter(State.CONNECTING, now_us)

    def stop(self, now_us: int) -> None:
        """Nobody wants this camera any more."""
        self._enter(State.STOPPED, now_us)

    def _enter(self, state: State, now_us: int) -> None:
        self.state = state
        self.since_us = now_us
