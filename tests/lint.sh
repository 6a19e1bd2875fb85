#!/bin/sh
# Style, types and the import law: what `make lint` and CI check before the tests run.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/mypy"
"$bin/lint-imports" --no-cache
