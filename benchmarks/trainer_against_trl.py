"""Tunebird's recipe against a script written by hand on TRL, same model, rows and settings, in alternating pairs.

    python benchmarks/trainer_against_trl.py [PAIRS]

CPU seconds, because wall time is the machine's. Printed: the ratio of tokens per CPU second while training (Tunebird to
the script, checks, reports and checkpoint included; above 1 is faster), and of the CPU seconds up to the first step.
The limits that the project has set itself: the lower end of the first one's interval at least 0.97, the second at most
1.15. Then packing and grouping by length against padding, both by Tunebird.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-trainer" / "bin" / "python"
DATA = ROOT / "examples" / "data" / "support.jsonl"
PAIRS = 7
STEPS = 60
# Two-sided 95 % quantiles of Student's t by degrees of freedom, for the interval of a mean of ratios.
T95 = {4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201}

Clocks = dict[str, float]


def main() -> int:
    """0 when both limits hold."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        subprocess.run([PYTHON, "-m", "tunebird_trainer.models", "tiny", "--out", home / "tiny"], check=True)
        runs = [(ran("tunebird", home, f"a{pair}"), ran("plain_trl", home, f"b{pair}")) for pair in range(pairs)]
        speed = interval([tokens_per_second(ours) / tokens_per_second(theirs) for ours, theirs in runs])
        start = interval([ours["first_step"] / theirs["first_step"] for ours, theirs in runs])
        print(f"tokens per CPU second, tunebird / plain TRL: {told(speed)}   (limit: lower end ≥ 0.97)")
        print(f"CPU seconds to the first step, tunebird / plain TRL: {told(start)}   (limit: ≤ 1.15)")
        compare_packing(home, pairs)
    return 0 if speed[1] >= 0.97 and start[0] <= 1.15 else 1


def compare_packing(home: Path, pairs: int) -> None:
    print(lengths(home))
    ways = {"packing": {"packing": True}, "groupByLength": {"groupByLength": True}}
    padded = [ran("tunebird", home, f"c{pair}") for pair in range(pairs)]
    for name, training in ways.items():
        others = [ran("tunebird", home, f"{name}{pair}", **training) for pair in range(pairs)]
        pairwise = zip(others, padded, strict=True)
        ratios = interval([tokens_per_second(other) / tokens_per_second(base) for other, base in pairwise])
        print(f"tokens per CPU second, {name} / padding: {told(ratios)}")


def lengths(home: Path) -> str:
    """The distribution of the rows' lengths in tokens, which decides what packing is worth."""
    script = (
        "import json, sys; from transformers import AutoTokenizer as T; t = T.from_pretrained(sys.argv[1]);"
        "rows = [json.loads(row)['messages'] for row in open(sys.argv[2])];"
        "print(sorted(len(t.apply_chat_template(row, return_dict=False)) for row in rows))"
    )
    done = subprocess.run([PYTHON, "-c", script, home / "tiny", DATA], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    at = {share: found[min(len(found) - 1, int(share * len(found)))] for share in (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)}
    return f"{len(found)} rows, tokens: " + ", ".join(f"{share:.0%} {number}" for share, number in at.items())


def ran(recipe: str, home: Path, run: str, **training: Any) -> Clocks:
    """One run in a process of its own; its clocks."""
    config = json.loads((ROOT / "trainer_image" / "example.json").read_text())
    config["job"]["uid"] = run
    config["model"]["uri"] = f"file://{home}/tiny"
    config["datasets"][0]["uri"] = f"file://{DATA}"
    config["checkpoint"]["uri"] = f"file://{home}/{run}/checkpoints"
    config["output"]["uri"] = f"file://{home}/{run}/out"
    config["validation"]["percent"] = 0
    wanted = {"maxSteps": STEPS, "microBatchSize": 4, "gradientAccumulationSteps": 1, "globalBatchSize": 4}
    config["training"] |= {"groupByLength": False, **wanted, **training}
    path = home / f"{run}.json"
    path.write_text(json.dumps(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [PYTHON, ROOT / "benchmarks" / "recipes" / f"{recipe}.py", path]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{recipe} failed:\n{done.stderr[-3000:]}")
    clocks: Clocks = json.loads(done.stdout.splitlines()[-1])
    return clocks


def tokens_per_second(clocks: Clocks) -> float:
    return clocks["tokens"] / (clocks["trained"] - clocks["first_step"])


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """The mean of the ratios with its 95 % interval."""
    mean = statistics.fmean(ratios)
    half = T95[len(ratios) - 1] * statistics.stdev(ratios) / len(ratios) ** 0.5
    return mean, mean - half, mean + half


def told(found: tuple[float, float, float]) -> str:
    mean, low, high = found
    return f"{mean:.3f} (95 % interval {low:.3f} to {high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
