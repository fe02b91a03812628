#!/bin/sh
# Checks, then the tests, two side by side: the operator's and devplane's, and the trainer's in its own environment; the
# stories end to end by themselves.
# `sh tools/test.sh slow` runs those that take minutes each, `long` those that search further, and no checks.
set -eu
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
case "${1:-}" in
long)
    .venv/bin/pytest -q -m long -n 2 --dist loadfile tests --ignore tests/trainer
    exec .venv-trainer/bin/python -m pytest -q -m long tests/trainer
    ;;
slow) marker="slow" ;;
*)
    marker="not slow and not long"
    sh tools/lint.sh
    ;;
esac
# A control plane of its own for each of the two, and a file's tests in one of them.
.venv/bin/pytest -q -m "$marker" -n 2 --dist loadfile tests --ignore tests/trainer
# What takes traffic from a version judges it by its latency: nothing is to run beside it.
.venv/bin/pytest -q -m "$marker" e2e
.venv-trainer/bin/python -m pytest -q -m "$marker" -n 2 --dist loadfile tests/trainer
