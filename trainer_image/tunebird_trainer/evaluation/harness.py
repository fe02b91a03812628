"""Tasks of lm-evaluation-harness, where it is installed: a suite with the uri `lm-eval://TASK`, or with the path of a
task's own YAML. Tried with lm-eval 0.4.13."""

from __future__ import annotations

import difflib
import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_checks.metrics import METRICS, Measure
from tunebird_trainer.evaluation.rules import HARNESS
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from tunebird_trainer.config import Suite
    from tunebird_trainer.evaluation.in_process import Loaded

# What a task calls its answer being right, by preference.
_RIGHT = ("exact_match", "acc", "acc_norm")


def check(suite: Suite) -> None:
    """Raises Failure (InvalidConfig) where the harness is absent or has no such task."""
    if importlib.util.find_spec("lm_eval") is None:
        raise Failure(
            Reason.INVALID_CONFIG,
            f"suite {suite.name}: {suite.uri} needs lm-evaluation-harness, which is not installed; "
            "pip install lm-eval in the image, or use a suite file",
        )

    task = suite.uri.removeprefix(HARNESS)
    if not Path(task).is_file() and task not in _known():
        near = difflib.get_close_matches(task, _known(), n=1)
        meant = f"did you mean {near[0]}?" if near else "name one of `lm_eval ls tasks`, or the path of a task's YAML"
        raise Failure(Reason.INVALID_CONFIG, f"suite {suite.name}: the harness has no task {task!r}; {meant}")


@functools.cache
def _known() -> frozenset[str]:
    from lm_eval.tasks import TaskManager

    return frozenset(TaskManager().all_tasks)


def measure(suite: Suite, loaded: Loaded, batch: int) -> Measure:
    """Accuracy by document, so that two models are compared on the same ones."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    task = suite.uri.removeprefix(HARNESS)
    model = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch)
    told = simple_evaluate(
        model, tasks=[task], apply_chat_template=bool(loaded.tokenizer.chat_template), log_samples=True,
        bootstrap_iters=0,
    )  # fmt: skip
    values: dict[str, float | None] = {}
    for name, samples in (told or {}).get("samples", {}).items():
        values |= {f"{name}/{sample['doc_id']}": _right(sample, suite) for sample in samples}
    return Measure(METRICS["accuracy"], values)


def _right(sample: dict[str, Any], suite: Suite) -> float:
    name = next((each for each in _RIGHT if each in sample), None)
    if name is None:
        raise Failure(
            Reason.INVALID_CONFIG,
            f"suite {suite.name}: {suite.uri} reports none of {', '.join(_RIGHT)}; choose a task that does",
        )
    return float(sample[name])
