"""The texts in a camera's picture (OSD) held against its name. Core.

Checking platforms want date, time and name in the picture, and the name as in the tree.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from edge.camera.inspection import Overlay
from edge.care.finding import Finding

SHOWN_CHARS_MAX = 60


def overlay_findings(overlays: Sequence[Overlay], name: str) -> Iterator[Finding]:
    """What is missing or differs."""
    plain = [one.text for one in overlays if one.kind == "Plain" and one.text.strip()]
    if not any(_same(text, name) for text in plain):
        shown = plain[0][:SHOWN_CHARS_MAX] if plain else ""
        yield Finding(
            zh=f"画面字符“{shown}”不是“{name}”" if plain else f"画面上没有名称“{name}”",
            en=f"the picture says {shown!r}, not {name!r}"
            if plain
            else f"the picture does not show the name {name!r}",
        )
    kinds = {one.kind for one in overlays}
    if "DateAndTime" not in kinds and not {"Date", "Time"} <= kinds:
        yield Finding(zh="画面上没有日期和时间", en="the picture shows no date and time")


def _same(text: str, name: str) -> bool:
    """Full-width letters and blanks at the ends make no difference to who reads it."""
    return (
        unicodedata.normalize("NFKC", text).strip() == unicodedata.normalize("NFKC", name).strip()
    )
