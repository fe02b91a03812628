#!/bin/sh
# Checks, then the tests: the operator's and devplane's, the stories end to end, the trainer's in its own environment.
# `sh tools/test.sh slow` runs those that take minutes each, `long` those that take hours together, and no checks.
set -eu
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
case "${1:-}" in
long) exec .venv-trainer/bin/python -m pytest -q -m long tests/trainer ;;
slow) marker="slow" ;;
*)
    marker="not slow and not long"
    sh tools/lint.sh
    ;;
esac
.venv/bin/pytest -q -m "$marker" tests e2e --ignore tests/trainer
# Each of the trainer's tests computes on one thread: two run side by side.
.venv-trainer/bin/python -m pytest -q -m "$marker" -n 2 --dist loadfile tests/trainer
