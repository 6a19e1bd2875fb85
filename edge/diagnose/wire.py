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


def measures_json(measures: Measures) -> dict[str, Any]:
    document: dict[str, Any] = {
        field.name: getattr(measures, field.name)
        for field in fields(measures)
        if field.name != "scene"
    }
    return {**document, "scene": scene_json(measures.scene)}


def measures_of_json(told: Any) -> Measures:
    """Raises ValueError, TypeError or KeyError for anything else than measures."""
    numbers: dict[str, Any] = {}
    for field in fields(Measures):
        if field.name in ("scene", "decoder_errors"):
            continue
        value = told[field.name]
        is_missing = value is None and field.name in MAYBE
        numbers[field.name] = None if is_missing else number(value)
    return Measures(
        scene=scene_of_json(told["scene"]), decoder_errors=int(told["decoder_errors"]), **numbers
    )


def looked_json(looked: Looked) -> dict[str, Any]:
    return {
        "footage_us": looked.footage_us,
        "measures": None if looked.measures is None else measures_json(looked.measures),
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
