#!/bin/sh
# Checks, then every test: the operator's and devplane's, the trainer's in its own environment, the stories end to end.
set -eu
cd "$(dirname "$0")/.."
sh tools/lint.sh
export OMP_NUM_THREADS=1
.venv/bin/pytest -q tests e2e --ignore tests/trainer "$@"
.venv-trainer/bin/python -m pytest -q tests/trainer "$@"
