"""Camera plans as JSON, for a demo site in a process of its own. Core."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import Codec


def to_json(plans: Sequence[CameraPlan]) -> str:
    """One line, passwords included: it belongs into a pipe, not into a log or argv."""
    return json.dumps([dataclasses.asdict(plan) for plan in plans])


def from_json(text: str) -> tuple[CameraPlan, ...]:
    """The plans. Raises ValueError or TypeError with the key that is wrong."""
    found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError("plans are a JSON list of objects")
    return tuple(_camera(one) for one in found)


def stream_from(values: dict[str, Any]) -> StreamPlan:
    """A stream plan from its JSON object."""
    given = dict(values)
    for key in ("codec", "audio"):
        if given.get(key) is not None:
            given[key] = Codec(given[key])
    return StreamPlan(**given)


def _camera(values: dict[str, Any]) -> CameraPlan:
    given = dict(values)
    if "stream" in given:
        given["stream"] = stream_from(given["stream"])
    for key in ("profiles", "event_kinds"):
        if key in given:
            given[key] = tuple(given[key])
    return CameraPlan(**given)
