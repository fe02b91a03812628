#!/bin/sh
# Style, types, import contracts, and that generated files are up to date.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
PYTHONPATH=operator:trainer_image .venv/bin/lint-imports
.venv/bin/python -m tunebird.api.crds --check
.venv/bin/python -m devplane.data.generate --check
