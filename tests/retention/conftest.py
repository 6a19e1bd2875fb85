"""Small file systems of their own, for tests that run as root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a fresh tmpfs with the given options; skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    mounted: list[Path] = []

    def new(options: str) -> Path:
        point = tmp_path / f"mount{len(mounted)}"
        point.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("may not mount")
        mounted.append(point)
        return point

    yield new
    for point in reversed(mounted):
        subprocess.run(["umount", "-l", str(point)], check=False, capture_output=True)
