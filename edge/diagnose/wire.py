"""What the service and its looking child say to each other: lines of JSON. Core, numpy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from edge.diagnose.defects import Failure
from edge.diagnose.measures import DIRECTIONS, PROFILE, Measures, Scene
from edge.diagnose.pictures import CELLS_X, CELLS_Y

SCENE_SHAPES = {
    "grey": (CELLS_Y, CELLS_X),
    "edges": (CELLS_Y, CELLS_X),
    "directions": (CELLS_Y, CELLS_X, DIRECTIONS),
    "columns": (PROFILE,),
    "rows": (PROFILE,),
}
#: Measures that may be missing.
MAYBE = frozenset({"acuity", "still_mean", "still_most", "shake"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of looking at one camera: measures, or why there are none."""

    footage_us: int = 0
    measures: Measures | None = None
    failure: Failure = Failure.NONE
    detail: str = ""
    cpu_seconds: float = 0.0


def scene_json(scene: Scene) -> dict[str, list[float]]:
    return {
        name: [round(float(value), 3) for value in getattr(scene, name).flat]
        for name in SCENE_SHAPES
    }


def scene_of_json(told: Any) -> Scene:
    """Raises ValueError, TypeError or KeyError for anything else than a scene."""
    parts = {
        name: np.array(told[name], dtype=np.float32).reshape(shape)
        for name, shape in SCENE_SHAPES.items()
    }
    if not all(np.isfinite(part).all() for part in parts.values()):
        raise ValueError("not a number")
    return Scene(**parts)


def number(value: Any) -> float:
    """Raises ValueError for what is no finite number."""
    if type(value) not in (int, float) or not np.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def fields_json(one: Any) -> dict[str, Any]:
    """Of measures, or a baseline: numbers and a scene."""
    document = {field.name: getattr(one, field.name) for field in fields(one)}
    return {**document, "scene": scene_json(one.scene)}


def fields_of_json(kind: Any, told: Any, *, but: str) -> dict[str, Any]:
    """The fields of ``kind`` as :func:`fields_json` gave them, without its count (``but``).

    Raises:
        ValueError, TypeError, KeyError: something else.
    """
    found: dict[str, Any] = {"scene": scene_of_json(told["scene"])}
    for name in (field.name for field in fields(kind) if field.name not in ("scene", but)):
        value = told[name]
        found[name] = None if value is None and name in MAYBE else number(value)
    return found


def measures_of_json(told: Any) -> Measures:
    """Raises ValueError, TypeError or KeyError for anything else than measures."""
    return Measures(
        decoder_errors=int(told["decoder_errors"]),
        **fields_of_json(Measures, told, but="decoder_errors"),
    )


def looked_json(looked: Looked) -> dict[str, Any]:
    return {
        "footage_us": looked.footage_us,
        "measures": None if looked.measures is None else fields_json(looked.measures),
        "failure": looked.failure.value,
        "detail": looked.detail,
        "cpu_seconds": looked.cpu_seconds,
    }


def looked_of_json(told: Any) -> Looked:
    """Raises ValueError, TypeError or KeyError for anything else."""
    measures = told["measures"]
    return Looked(
        footage_us=int(told["footage_us"]),
        measures=None if measures is None else measures_of_json(measures),
        failure=Failure(told["failure"]),
        detail=str(told["detail"])[:200],
        cpu_seconds=number(told["cpu_seconds"]),
    )
