"""Picture diagnosis: precision and recall for each defect, and its CPU (``… diagnose``).

A process of its own does it (tests/edge/diagnose/figures.py): OpenCV and PyAV, which other
benchmarks of this run hold, never share one.
"""

from __future__ import annotations

import subprocess
import sys


def main() -> None:
    subprocess.run([sys.executable, "-m", "tests.edge.diagnose.figures"], check=True)
