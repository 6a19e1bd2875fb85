"""From single checks to what is told: three of the last five decide. Core.

A defect stands once three of the last five checks that could judge it found it, and ends once three
of the last five found the picture right. A check that could not judge says nothing either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.diagnose.defects import Outcome

WINDOW = 5
NEEDED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Of one kind of defect at one camera."""

    recent: tuple[bool, ...] = ()  # oldest first: was it found
    is_standing: bool = False

    def after(self, outcome: Outcome) -> Gate:
        """The gate when one more check has been made."""
        if outcome not in (Outcome.NORMAL, Outcome.ABNORMAL):
            return self
        recent = (*self.recent, outcome is Outcome.ABNORMAL)[-WINDOW:]
        found = sum(recent)
        if self.is_standing:
            return Gate(recent=recent, is_standing=len(recent) - found < NEEDED)
        return Gate(recent=recent, is_standing=found >= NEEDED)

    def as_json(self) -> str:
        """``"xx.."`` with ``!`` before it while it stands."""
        marks = "".join("x" if one else "." for one in self.recent)
        return f"!{marks}" if self.is_standing else marks


def gate_of(told: Any) -> Gate:
    """From what :meth:`Gate.as_json` gave; anything else is a gate that knows nothing."""
    if not isinstance(told, str):
        return Gate()
    marks = told.removeprefix("!")
    if len(marks) > WINDOW or set(marks) - {"x", "."}:
        return Gate()
    return Gate(recent=tuple(one == "x" for one in marks), is_standing=told.startswith("!"))
