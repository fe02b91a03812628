"""Asks several models the suites of a config by Tunebird's own evaluation and prints what they show, as JSON.

    judged.py CONFIG base=DIRECTORY NAME=DIRECTORY...

Every model is compared with the base, and the second with the third, case by case. Models answer in bf16, 32 cases at
once: where the CPU knows bf16, some three times as fast as 32-bit floats and eight at once. Answers are cached where
TUNEBIRD_CACHE says, under the digest of model, suite and code.
"""

import itertools
import json
import sys
from collections import defaultdict
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import torch

from tunebird_checks import intervals
from tunebird_checks.answers import Outcome
from tunebird_checks.metrics import differences
from tunebird_trainer import config_file
from tunebird_trainer.evaluation import evaluating, in_process, scores
from tunebird_trainer.evaluation.interruptions import Interruptions
from tunebird_trainer.stores import storage

CONFIDENCE = 0.95
BATCH = 32
PLAIN = {"answer", "benign", "harmful"}  # tags that name no kind of case
SHOWN = ("instructionSuccess", "unfinished", "overRefusal", "underRefusal", "perplexity")


def main(config_path, named):
    config = config_file.load(Path(config_path))
    in_process.load, in_process.BATCH = narrow(in_process.load), BATCH
    with redirect_stdout(sys.stderr):
        stops = Interruptions(lambda: False)
        plan = evaluating.Plan(config, evaluating.preflight(config), scores.Scores.of(config), stops)
        models = dict(each.split("=", 1) for each in named)
        found = {name: evaluating.asked(plan, subject(name, Path(place))) for name, place in models.items()}
    first, *others = found
    pairs = [(name, first) for name in others] + [(b, a) for a, b in itertools.pairwise(others)]
    print(json.dumps({
        "metrics": {name: measured(each) for name, each in found.items()},
        "changes": {f"{new} - {old}": changed(found[new], found[old]) for new, old in pairs},
        "shares": {name: shares(plan, each) for name, each in found.items()},
    }))  # fmt: skip


def narrow(load):
    def loaded(directory):
        found = load(directory)
        found.model.to(torch.bfloat16)
        return found

    return loaded


def subject(name, directory):
    return evaluating.Subject(name, f"bf16 {storage.directory_digest(directory)}", directory)


def measured(found):
    return {
        name: ends(measure.interval(CONFIDENCE))
        for name, measure in found.measures.items()
        if name.partition(".")[2] in SHOWN
    }


def changed(new, old):
    """Paired bootstrap of success; perplexity as the evaluation compares it, as a ratio."""
    told = {}
    for name, measure in new.measures.items():
        metric = name.partition(".")[2]
        if metric == "instructionSuccess":
            cases = sorted(measure.known.keys() & old.measures[name].known.keys())
            values = [[each.known[case] for case in cases] for each in (measure, old.measures[name])]
            told[name] = ends(intervals.difference(*values, CONFIDENCE))
            told[name] |= {"gained": lead(*values), "lost": lead(*reversed(values))}
        elif metric == "perplexity":
            told[name] = ends(differences(measure, old.measures[name], CONFIDENCE))
    return told


def lead(new, old):
    """Cases that only the first passes."""
    return sum(a > b for a, b in zip(new, old, strict=True))


def shares(plan, found):
    """By suite and tag: of how many cases every check passed, and the first one, which is about the content."""
    told = {}
    for suite, results in found.results.items():
        tags = {case.id: sorted({*case.tags} - PLAIN) or ["all"] for case in plan.files[suite].cases if case.checks}
        counts = defaultdict(lambda: [0, 0, 0])
        for result in results.results:
            for tag in tags.get(result.case, ()):
                verdicts = [verdict.outcome is Outcome.PASS for verdict in result.verdicts]
                counts[tag] = [a + b for a, b in zip(counts[tag], (1, all(verdicts), verdicts[0]), strict=True)]
        told[suite] = {
            tag: dict(zip(("cases", "success", "first"), count, strict=True)) for tag, count in counts.items()
        }
    return told


def ends(found):
    return {name: value for name, value in asdict(found).items() if name in ("value", "low", "high", "n")}


main(sys.argv[1], sys.argv[2:])
