"""Faults that another service of the box tells, read with care. Core."""

from __future__ import annotations

from typing import Any

from edge.alarms.codes import Code
from edge.alarms.register import Fault

#: A service that goes astray must not fill the register.
FAULTS_MAX = 500


def faults_of(document: Any) -> list[Fault]:
    """The list ``faults`` of a service's document.

    Each is ``{"code", "subject", "reason_zh", "reason_en"}``; what cannot be read, or is of a kind
    that this version does not know, is left out.
    """
    told = document.get("faults") if isinstance(document, dict) else None
    if not isinstance(told, list):
        return []
    return [one for item in told[:FAULTS_MAX] if (one := _fault(item)) is not None]


def _fault(item: Any) -> Fault | None:
    if not isinstance(item, dict) or str(item.get("code")) not in frozenset(Code):
        return None
    texts = [item.get(name, "") for name in ("subject", "reason_zh", "reason_en")]
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        return None
    return Fault(code=Code(item["code"]), subject=texts[0], reason_zh=texts[1], reason_en=texts[2])
