"""What is wrong with a settings file, and where.

Core.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from config.errors import XueliangError


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the settings; ``line`` counts from 1, 0 where none was found."""

    file: str
    line: int
    key: str  # "storage.volumes", "camera[gate-exit].gb_id"; empty for the file as a whole

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault: a sentence that names the key and what is wrong, and what a person should do."""

    place: Place
    what: str
    mend: str

    def sentence(self) -> str:
        """Place, fault and mend, as printed to a person."""
        text = f"{self.place}: {self.what}"
        return f"{text}; {self.mend}" if self.mend else text


class ConfigError(XueliangError):
    """The settings cannot be used; ``problems`` holds every fault, in the order of the file."""

    code = "config"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.place.line))
        assert self.problems, "a ConfigError needs a problem"
        first = self.problems[0]
        message = f"{first.place}: {first.what}"
        if len(self.problems) > 1:
            message = f"{first.place.file} has {len(self.problems)} problems, the first: {message}"
        super().__init__(message, hint=first.mend)

    def report(self) -> str:
        """Every problem with its mend, one a line."""
        return "\n".join(problem.sentence() for problem in self.problems)
