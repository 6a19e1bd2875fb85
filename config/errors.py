"""The root of every error that a person is meant to read."""

from __future__ import annotations

from enum import StrEnum


class Retry(StrEnum):
    """Whether trying the same thing again is sane."""

    NEVER = "never"
    LATER = "later"
    NOW = "now"


class XueliangError(Exception):
    """Base of all errors of this project; never raised itself.

    ``str()`` is one sentence that names the thing; ``hint`` says what a person should do;
    ``code`` is a stable snake_case word, safe as a metric label.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "", retry: Retry = Retry.NEVER) -> None:
        super().__init__(message)
        self.hint = hint
        self.retry = retry

    def sentence(self) -> str:
        """The message and its mend, as printed to a person."""
        return f"{self}: {self.hint}" if self.hint else str(self)
