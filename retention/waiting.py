"""What somebody outside shall be told and has not got: files in a folder, the oldest first. Shell.

An outage or a restart loses none of them before the limit is reached; then the oldest goes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retention.whole_file import make_folder, replace_file


class Waiting:
    """Documents as files ``<number>.json`` of a folder that is nobody else's.

    Every method raises :class:`OSError`.

    Args:
        limit: so many wait at most.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def add(self, document: Mapping[str, Any]) -> int:
        """Keep one more; how many old ones had to go for it."""
        make_folder(self._folder, 0o750)
        names = self._names()
        number = int(names[-1][: -len(".json")]) + 1 if names else 1
        data = json.dumps(document, sort_keys=True).encode()
        replace_file(self._folder / f"{number:012}.json", data)
        lost = names[: max(0, len(names) + 1 - self._limit)]
        for name in lost:
            (self._folder / name).unlink()
        return len(lost)

    def oldest(self) -> tuple[str, bytes] | None:
        """Name and content of the one to be told next."""
        names = self._names()
        return (names[0], (self._folder / names[0]).read_bytes()) if names else None

    def told(self, name: str) -> None:
        """It was taken."""
        (self._folder / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        try:
            found = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name.endswith(".json"))
