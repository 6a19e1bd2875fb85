#!/bin/sh
# Everything that CI checks, in the order that fails soonest.
set -eu
cd "$(dirname "$0")/.."
tests/lint.sh
# Most tests wait for a clock, so there are more workers than cores; a file stays with one worker.
exec .venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder "$@"
