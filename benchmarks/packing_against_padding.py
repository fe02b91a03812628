"""One epoch on the project's own data in three ways: rows padded to the longest of their batch, rows of like length
together, and rows packed. All by Tunebird's trainer.

    .venv/bin/python benchmarks/packing_against_padding.py [ROUNDS]

Batches hold about the same number of tokens: four rows, or one packed row. Printed: the lengths of the rows, and for
each way the share of padding in what the model sees and the tokens (without padding) per CPU second.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from recipes.runs import Bench, Clocks, Interval, endpoint, tokens_per_second

ROUNDS = 7
WAYS = {
    "padding": {},
    "groupByLength": {"groupByLength": True},
    "packing": {"packing": True, "microBatchSize": 1, "globalBatchSize": 1},
}


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as name, endpoint() as (url, _):
        bench = Bench(Path(name), url)
        print(distribution(bench.lengths()))
        bench.ran("tunebird", steps=1)
        found = [{way: one(bench, way) for way in turned(number)} for number in range(rounds)]
    for way in WAYS:
        print(line(way, found))
    return 0


def one(bench: Bench, way: str) -> Clocks:
    found = bench.ran("tunebird", steps=None, epochs=1, **WAYS[way])
    print(f"  {way}: {tokens_per_second(found):.0f} tokens/CPU-s", file=sys.stderr, flush=True)
    return found


def turned(number: int) -> list[str]:
    """Each round begins with another way."""
    ways = list(WAYS)
    return ways[number % len(ways) :] + ways[: number % len(ways)]


def line(way: str, found: list[dict[str, Clocks]]) -> str:
    own = [each[way] for each in found]
    first, speed = own[0], statistics.median(map(tokens_per_second, own))
    wasted = 1 - first["tokens"] / first["padded"]
    said = f"{way}: {first['steps']} steps, {first['tokens']} tokens, {wasted:.1%} padding, {speed:.0f} tokens/CPU-s"
    if way == "padding" or len(found) == 1:
        return said
    ratios = Interval.of([tokens_per_second(each[way]) / tokens_per_second(each["padding"]) for each in found])
    return f"{said}, {ratios} of padding's"


def distribution(lengths: list[int]) -> str:
    """What decides what packing is worth."""
    shares, last = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0), len(lengths) - 1
    at = {share: lengths[min(last, int(share * len(lengths)))] for share in shares}
    return f"{len(lengths)} rows, tokens: " + ", ".join(f"{share:.0%} {number}" for share, number in at.items())


if __name__ == "__main__":
    sys.exit(main())
