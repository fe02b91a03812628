"""Does training teach anything? SmolLM2-135M-Instruct before and after, on questions that no training row asks.

    python benchmarks/quality.py [--home DIRECTORY] [--json FILE] [--skip-dpo]

Two runs with LoRA on the 734 rows of examples/data that differ in their seed alone, then Tunebird's own evaluation of
the base and both: instruction success on the 211 held-out cases, and 432 questions of general knowledge. Where the
preference and instruction data of other projects lie beside this checkout (`--shared`), also the likelihood of general
texts, and DPO on short pairs, measured on pairs that were held out. Prints a table and the JSON of all figures. Takes
about an hour and a half of one CPU core; with `--home` what was finished is not made again.

What must be shown, each by the unfavourable end of a 95 % interval: success rises with either seed, general knowledge
is not worse by more than 5 points, and DPO raises chosen answers over rejected ones. Else the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-trainer" / "bin" / "python"
DATA = ROOT / "examples" / "data"
ROWS = ("support", "tunebird", "border", "general")
SEEDS = (42, 43)
NEAR = 0.5  # similarity above which a held-out case would be a near duplicate of a training row
SETTINGS = {
    "epochs": 1, "learningRate": 1e-3, "precision": "bf16", "microBatchSize": 4, "gradientAccumulationSteps": 1,
    "globalBatchSize": 4, "maxSequenceLength": 512, "groupByLength": True, "worstCaseStep": False,
}  # fmt: skip
PREFERENCES = {"learningRate": 2e-4, "microBatchSize": 2, "globalBatchSize": 2, "maxSequenceLength": 1024}
PAIRS = 200  # the shortest ones; three in eight are held out
BETA = 0.1
MARGIN = 0.05  # general knowledge may be that much worse, no more
TEXTS = 100  # instructions with answers between 40 and 500 characters

Json = dict[str, Any]


def main() -> int:
    options = parsed()
    with tempfile.TemporaryDirectory() as name:
        home = Path(options.home or name).resolve()
        home.mkdir(parents=True, exist_ok=True)
        figures = measured(home, options)
    print(table(figures))
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    missing = [claim for claim, shown in claims(figures).items() if not shown]
    print(*(f"not shown: {claim}" for claim in missing), sep="\n")
    return 1 if missing else 0


def claims(figures: Json) -> dict[str, bool]:
    """What must hold, and whether the unfavourable end of its interval says so."""
    found = {}
    for seed in SEEDS:
        change = figures["changes"][f"seed {seed} - base"]
        found[f"seed {seed} answers better than the base"] = change["heldout.instructionSuccess"]["low"] > 0
        kept = change["general.instructionSuccess"]["low"] > -MARGIN
        found[f"seed {seed} knows at most {MARGIN:.0%} less in general"] = kept
    if "dpo" in figures:
        found["DPO raises chosen over rejected answers"] = figures["dpo"]["margin"]["low"] > 0
    return found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="keep models and answers here, and go on from what is there")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "data", help="data of other projects")
    parser.add_argument("--skip-dpo", action="store_true", help="leave the preference training out")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    return parser.parse_args()


def measured(home: Path, options: argparse.Namespace) -> Json:
    trainer = Trainer(home, options.threads)
    base = trainer.base()
    suites = suites_of(home, options.shared)
    apart = trainer.kept_apart(base)
    tuned = {f"seed {seed}": trainer.trained(f"seed-{seed}", tuning(base, seed)) for seed in SEEDS}
    figures = trainer.judged(tuning(base, SEEDS[0]) | {"evaluation": {"suites": suites}}, {"base": base, **tuned})
    pairs = options.shared / "dpo_en_demo.json"
    if not options.skip_dpo and pairs.exists():
        figures["dpo"] = preferred(trainer, base, pairs)
    return {"rows": apart, "settings": SETTINGS, **figures}


class Trainer:
    """The trainer's commands, each in a process of its own, with everything below one directory."""

    def __init__(self, home: Path, threads: int) -> None:
        self.home = home
        self.environment = {
            **os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TUNEBIRD_CACHE": str(home / "cache"),
        }  # fmt: skip

    def run(self, *command: str | Path) -> str:
        done = subprocess.run([PYTHON, *command], env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            told = (done.stdout + done.stderr)[-3000:]
            raise SystemExit(f"{' '.join(map(str, command))} left with {done.returncode}:\n{told}")
        return done.stdout

    def base(self) -> Path:
        told = self.run("-m", "tunebird_trainer.models", "smollm2", "--hub", self.home / "hub")
        return Path(told.splitlines()[-1])

    def config(self, name: str, changes: Json) -> Path:
        config = json.loads((ROOT / "trainer_image" / "example.json").read_text(encoding="utf-8"))
        config["validation"]["percent"], config["training"]["maxSteps"] = 0, None  # the example is a short run
        for part, values in changes.items():
            config[part] = {**config[part], **values} if isinstance(config.get(part), dict) else values
        config["job"]["uid"] = name
        config["checkpoint"]["uri"] = f"file://{self.home}/{name}/checkpoints"
        config["output"]["uri"] = f"file://{self.home}/{name}/model"
        path = self.home / f"{name}.json"
        path.write_text(json.dumps(config, indent=1), encoding="utf-8")
        return path

    def trained(self, name: str, changes: Json) -> Path:
        """The merged model, trained unless it is there."""
        out = self.home / name / "model"
        if not out.is_dir():
            self.run("-m", "tunebird_trainer", self.config(name, changes))
        return out / "merged"

    def kept_apart(self, base: Path) -> Json:
        """Counts of rows and cases. The trainer refuses or drops what is near to another row or holds a prompt of the
        suite, and a row that was dropped ends the benchmark."""
        cases = held_out_rows(self.home)
        changes = tuning(base, SEEDS[0]) | {
            "datasets": [*datasets(), dataset("heldout", cases)],
            "preparation": {"deduplicate": {"near": NEAR}},
        }
        told = self.run("-m", "tunebird_trainer", "--check-data", self.config("near", changes))
        suite = [{"name": "heldout", "uri": f"file://{DATA}/heldout.suite.jsonl"}]
        strict = {"preparation": {"onContaminated": "Fail"}, "evaluation": {"suites": suite}}
        self.run("-m", "tunebird_trainer", "--check-data", self.config("apart", tuning(base, SEEDS[0]) | strict))
        counts = {each["name"]: lines(Path(each["uri"].removeprefix("file://"))) for each in changes["datasets"]}
        if f"data: {sum(counts.values())} sequences" not in told:
            raise SystemExit(f"rows are near to each other:\n{told}")
        return {"train": sum(counts[name] for name in ROWS), "heldout": counts["heldout"], "near": NEAR}

    def judged(self, changes: Json, models: dict[str, Path]) -> Json:
        named = [f"{name}={place}" for name, place in models.items()]
        told = self.run(ROOT / "benchmarks" / "recipes" / "judged.py", self.config("judged", changes), *named)
        found: Json = json.loads(told.splitlines()[-1])
        return found


def tuning(base: Path, seed: int) -> Json:
    return {"model": {"uri": f"file://{base}"}, "datasets": datasets(), "training": {**SETTINGS, "seed": seed}}


def datasets() -> list[Json]:
    return [dataset(name, DATA / f"{name}.jsonl") for name in ROWS]


def dataset(name: str, path: Path, form: str = "messages") -> Json:
    return {"name": name, "uri": f"file://{path}", "format": form, "weight": 1, "limit": None, "license": ""}


def held_out_rows(home: Path) -> Path:
    """The suite's cases with their references, as rows."""
    cases = [json.loads(line) for line in (DATA / "heldout.suite.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [{"prompt": case["prompt"], "completion": case["reference"]} for case in cases]
    return written(home / "heldout.jsonl", [{"messages": turns(row)} for row in rows])


def turns(row: Json) -> list[Json]:
    return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]


def suites_of(home: Path, shared: Path) -> list[Json]:
    suites = [suite("heldout", DATA / "heldout.suite.jsonl", 128), suite("general", DATA / "general.suite.jsonl", 32)]
    if (shared / "alpaca_en_demo.json").exists():
        suites.append(suite("texts", general_texts(home, shared / "alpaca_en_demo.json"), 1))
    return suites


def suite(name: str, path: Path, tokens: int) -> Json:
    return {"name": name, "uri": f"file://{path}", "generation": {"temperature": 0, "maxTokens": tokens, "samples": 1}}


def general_texts(home: Path, source: Path) -> Path:
    rows = json.loads(source.read_text(encoding="utf-8"))
    fitting = [row for row in rows if not row["input"] and 40 <= len(row["output"]) <= 500][:TEXTS]
    cases = enumerate(fitting)
    return written(
        home / "texts.jsonl",
        [{"id": f"text-{n}", "prompt": row["instruction"], "reference": row["output"]} for n, row in cases],
    )


def preferred(trainer: Trainer, base: Path, source: Path) -> Json:
    """What DPO does to the rewards of held-out pairs."""
    rows = sorted(json.loads(source.read_text(encoding="utf-8")), key=pair_length)[:PAIRS]
    trained = [row for n, row in enumerate(rows) if n % 8 < 5]
    path = written(trainer.home / "pairs.jsonl", trained)
    held = written(trainer.home / "held-pairs.jsonl", apart([row for n, row in enumerate(rows) if n % 8 >= 5], trained))
    changes = {
        "model": {"uri": f"file://{base}"},
        "datasets": [dataset("pairs", path, "preference")],
        "method": {"objective": "dpo", "dpo": {"beta": BETA}},
        "training": {**SETTINGS, **PREFERENCES, "seed": SEEDS[0]},
    }
    adapter = trainer.trained("dpo", changes).with_name("adapter")
    told = trainer.run(ROOT / "benchmarks" / "recipes" / "preferred.py", base, adapter, held, str(BETA))
    found: Json = json.loads(told.splitlines()[-1])
    return found


def apart(rows: list[Json], trained: list[Json]) -> list[Json]:
    """The rows that share at most half of their word triples with each of those that are trained on."""
    known = [triples(row) for row in trained]
    found = [(row, triples(row)) for row in rows]
    return [row for row, own in found if all(len(own & each) <= NEAR * min(len(own), len(each)) for each in known)]


def triples(row: Json) -> set[tuple[str, ...]]:
    """Of the conversation and its chosen answer."""
    text = " ".join(turn["value"] for turn in [*row["conversations"], row["chosen"]])
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def pair_length(row: Json) -> int:
    asked = sum(len(turn["value"]) for turn in row["conversations"])
    return 2 * asked + len(row["chosen"]["value"]) + len(row["rejected"]["value"])


def written(path: Path, rows: list[Json]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def table(figures: Json) -> str:
    rows = [f"{figures['rows']['train']} rows to train on, {figures['rows']['heldout']} held-out cases"]
    for model, metrics in figures["metrics"].items():
        rows += [f"{model:<24}{metric:<34}{told(found)}" for metric, found in metrics.items()]
    for pair, changes in figures["changes"].items():
        rows += [f"{pair:<24}{metric:<34}{told(found, signed=True)}" for metric, found in changes.items()]
    for model, by_suite in figures["shares"].items():
        for tag, share in by_suite["heldout"].items():
            counts = f"{share['success']} of {share['cases']} pass, {share['first']} the first check"
            rows.append(f"{model:<24}heldout, {tag:<25}{counts}")
    for metric in ("chosen", "rejected", "margin", "wins") if "dpo" in figures else ():
        rows.append(f"{'dpo, held-out pairs':<24}{metric:<34}{told(figures['dpo'][metric], signed=metric != 'wins')}")
    return "\n".join(rows)


def told(found: Json, *, signed: bool = False) -> str:
    form = "{:+.3f} ({:+.3f} to {:+.3f})" if signed else "{:.3f} ({:.3f} to {:.3f})"
    return form.format(found["value"], found["low"], found["high"])


if __name__ == "__main__":
    sys.exit(main())
