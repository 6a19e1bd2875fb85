"""Phrases that scripts of the pages need, as they go into a page. Shell: reads the catalogue."""

from __future__ import annotations

from edge.console.phrases import Say
from retention.model import GapCause


def words(say: Say, *keys: str) -> dict[str, str]:
    """Texts by the last part of their keys, with their fields left open."""
    return {key.partition(".")[2]: say(key) for key in keys}


def cause_words(say: Say) -> dict[str, str]:
    """Of each cause of a gap."""
    return {cause.value: say(f"cause.{cause.value}") for cause in GapCause}
