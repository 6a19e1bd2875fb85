"""Tests, drills and benchmarks."""

import os

# An installed program has its bytecode; without it each process begins with compiling all of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
