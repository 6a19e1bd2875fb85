"""The baselines on disk: ``<state_dir>/diagnose/baseline-<camera>.json``. Shell.

Numbers only (:mod:`edge.diagnose.baseline` says which). A file that is gone, or is no baseline of
this version, is a camera that is to be learnt anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from edge.diagnose.baseline import Baseline, Light, as_json, from_json
from edge.diagnose.report_file import FOLDER, read_whole, write_whole

_VERSION = 1

Baselines = dict[Light, Baseline]


def baseline_path(state_dir: Path, camera: str) -> Path:
    return state_dir / FOLDER / f"baseline-{camera}.json"


def read_baselines(state_dir: Path, camera: str) -> Baselines:
    """Empty for a camera that is not known yet. Raises :class:`PermissionError`."""
    try:
        document = json.loads(read_whole(baseline_path(state_dir, camera)))
        if document["version"] != _VERSION:
            return {}
        found = {light: from_json(document[light]) for light in Light if light in document}
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {light: one for light, one in found.items() if one is not None}


def write_baselines(state_dir: Path, camera: str, baselines: Baselines) -> None:
    """Raises :class:`OSError`."""
    document = {
        "version": _VERSION,
        **{light.value: as_json(one) for light, one in baselines.items()},
    }
    write_whole(baseline_path(state_dir, camera), json.dumps(document).encode())


def forget_baselines(state_dir: Path, camera: str) -> bool:
    """Have a camera learnt anew; False where nothing was known. Raises :class:`OSError`."""
    try:
        baseline_path(state_dir, camera).unlink()
    except FileNotFoundError:
        return False
    return True
