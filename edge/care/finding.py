"""What care finds wrong, in both languages. Core."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence without a full stop; holds no secret."""

    zh: str
    en: str


def joined(findings: Iterable[Finding]) -> Finding | None:
    """All of them as one; None where there are none."""
    every = list(findings)
    if not every:
        return None
    return Finding(zh="；".join(one.zh for one in every), en="; ".join(one.en for one in every))
