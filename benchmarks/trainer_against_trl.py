"""Tunebird's trainer against a script written by hand on TRL: same model, rows, order and settings, alternating pairs.

    .venv/bin/python benchmarks/trainer_against_trl.py [PAIRS]

Ours is the whole `tunebird-trainer`, wrapper included, with its checks of data, loss and gradient, heartbeat, curves of
each step, reports to an endpoint that answers, and checkpoints with digests; the script logs every tenth step, as TRL
does, and writes its checkpoints at the same steps. CPU seconds of all processes, because wall time is the machine's.
Both must have trained on the same tokens and have the same losses. Printed: the ratio of tokens per CPU second while
training (above 1 is faster) and of CPU seconds up to the first step, as a config has it that doesn't speak of
`worstCaseStep`, and with it. The limits that the project has set itself: the first's lower end at least 0.97, the
second at most 1.15.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from recipes.runs import Bench, Clocks, Interval, endpoint, tokens_per_second

PAIRS = 7
MORE_STARTS = 2  # pairs of one step for each whole pair: a start is mostly imports, whose time varies
SLOWEST, LATEST = 0.97, 1.15
LOSS_TOLERANCE = 1e-3


def main() -> int:
    """0 when both limits hold."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory() as name, endpoint() as (url, reports):
        bench = Bench(Path(name), url)
        pair(bench, 0, steps=1)  # files and bytecode are read by now
        runs = [pair(bench, number) for number in range(pairs)]
        begun = [*runs, *(pair(bench, number, steps=1) for number in range(MORE_STARTS * pairs))]
        rehearsed = [pair(bench, number, steps=1, worstCaseStep=True) for number in range(pairs)]
        print(f"{pairs} alternating pairs of {runs[0][0]['steps']} steps, {len(reports)} reports were taken")
    print(f"largest difference of the mean loss of ten steps: {max(loss_gap(*each) for each in runs):.1e}")
    speed, start = speeds(runs), starts(begun)
    print(f"tokens per CPU second, tunebird / plain TRL: {speed} (limit: lower end at least {SLOWEST})")
    print(f"CPU seconds to the first step, tunebird / plain TRL, {len(begun)} pairs: {start} (limit: {LATEST})")
    print(f"with worstCaseStep: {starts(rehearsed)}")
    return 0 if speed.low >= SLOWEST and start.mean <= LATEST else 1


def pair(bench: Bench, number: int, **options: object) -> tuple[Clocks, Clocks]:
    """Ours and theirs, in turn the one and the other first."""
    names = ["tunebird", "plain_trl"]
    found = {name: bench.ran(name, **options) for name in (names if number % 2 else names[::-1])}
    ours, theirs = found["tunebird"], found["plain_trl"]
    if (ours["steps"], ours["tokens"]) != (theirs["steps"], theirs["tokens"]):
        raise SystemExit(f"not the same rows: {ours['tokens']} and {theirs['tokens']} tokens")
    if loss_gap(ours, theirs) > LOSS_TOLERANCE:
        raise SystemExit(f"not the same training: the losses are {ours['losses']} and {theirs['losses']}")
    print(f"  {number + 1}: " + ", ".join(map(told, (ours, theirs))), file=sys.stderr, flush=True)
    return ours, theirs


def told(clocks: Clocks) -> str:
    return f"{clocks['first_step']:.2f} s to the first step, {tokens_per_second(clocks):.0f} tokens/s"


def loss_gap(ours: Clocks, theirs: Clocks) -> float:
    """Between the means of the same steps: the script logs less often."""
    own, gaps, before = dict(ours["losses"]), [0.0], 0
    for step, loss in theirs["losses"]:
        gaps.append(abs(loss - statistics.fmean(own[each] for each in range(before + 1, step + 1))))
        before = step
    return max(gaps)


def speeds(runs: list[tuple[Clocks, Clocks]]) -> Interval:
    return Interval.of([tokens_per_second(ours) / tokens_per_second(theirs) for ours, theirs in runs])


def starts(runs: list[tuple[Clocks, Clocks]]) -> Interval:
    return Interval.of([ours["first_step"] / theirs["first_step"] for ours, theirs in runs])


if __name__ == "__main__":
    sys.exit(main())
