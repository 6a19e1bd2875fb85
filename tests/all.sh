#!/bin/sh
# Everything that CI checks, in the order that fails soonest.
set -eu
cd "$(dirname "$0")/.."
tests/lint.sh
exec .venv/bin/python -m pytest "$@"
