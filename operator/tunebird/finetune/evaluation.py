"""What the trained model must show, and how the trainer's answer reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tunebird.api import evaluation as api
from tunebird.api import trainer as config
from tunebird.api.base import fraction
from tunebird.api.finetunejob import FineTuneJobSpec

CONFIDENCE = "95%"
BUILT_IN = ("training", "validation", "canaries")  # metrics of the run itself, which need no suite
JOB = "job/"


def evaluation(spec: FineTuneJobSpec) -> config.EvaluationConfig:
    """Suites and gates; `compare_to` still names jobs, their artifacts are put in where a run begins."""
    asked = spec.evaluation or api.Evaluation()
    return config.EvaluationConfig(
        suites=tuple(_suite(suite) for suite in asked.suites),
        gates=tuple(_gate(gate) for gate in asked.gates),
        canaries=asked.canaries or 0,
    )


def _suite(suite: api.Suite) -> config.SuiteConfig:
    judge, sampling = suite.judge, suite.generation or api.Generation()
    return config.SuiteConfig(
        name=suite.name,
        uri=suite.source.uri,
        digest=suite.source.digest or "",
        judge=None if judge is None else config.JudgeConfig(endpoint=judge.endpoint or "", model=judge.model or ""),
        generation=config.GenerationConfig(
            temperature=float(sampling.temperature or "0"),
            max_tokens=sampling.max_tokens or 256,
            samples=sampling.samples or 1,
        ),
    )


def _gate(gate: api.Gate) -> config.GateConfig:
    allowed = gate.max_regression
    absolute, relative = (allowed.absolute, allowed.relative) if allowed is not None else (None, None)
    return config.GateConfig(
        metric=gate.metric,
        minimum=_share(gate.minimum),
        maximum=_share(gate.maximum),
        max_regression_absolute=_share(absolute),
        max_regression_relative=_share(relative),
        compare_to=gate.compare_to or "base",
        confidence=fraction(gate.confidence or CONFIDENCE),
    )


def _share(rate: str | None) -> float | None:
    return None if rate is None else fraction(rate)


def compared_jobs(spec: FineTuneJobSpec) -> tuple[str, ...]:
    """Names of the jobs that gates compare with."""
    gates = spec.evaluation.gates if spec.evaluation is not None else ()
    names = {(gate.compare_to or "").removeprefix(JOB) for gate in gates if (gate.compare_to or "").startswith(JOB)}
    return tuple(sorted(names))


def evaluation_problems(spec: FineTuneJobSpec) -> Iterator[str]:
    """What of the evaluation can't be carried out."""
    asked = spec.evaluation
    if asked is None:
        return
    for suite in asked.suites:
        yield from _suite_problems(suite)
    known = {suite.name for suite in asked.suites} | set(_measured(spec))
    for index, gate in enumerate(asked.gates):
        yield from _gate_problems(gate, f"spec.evaluation.gates[{index}]", known)


def _measured(spec: FineTuneJobSpec) -> Iterator[str]:
    yield "training"
    if spec.validation.percent:
        yield "validation"
    if spec.evaluation is not None and spec.evaluation.canaries:
        yield "canaries"


def _suite_problems(suite: api.Suite) -> Iterator[str]:
    field, sampling = f"spec.evaluation.suites[{suite.name}]", suite.generation
    if suite.name in BUILT_IN:
        yield f"{field}.name: stands for metrics that come without a suite; choose another"
    if sampling is not None and (sampling.samples or 1) > 1 and float(sampling.temperature or "0") == 0:
        yield f"{field}.generation.samples ({sampling.samples}): greedy answers are all alike; set a temperature or 1"
    yield from _judge_problems(suite)


def _judge_problems(suite: api.Suite) -> Iterator[str]:
    judge, field = suite.judge, f"spec.evaluation.suites[{suite.name}].judge"
    if judge is None:
        return
    if judge.source is not None:
        yield f"{field}.source ({judge.source.uri}): not supported by this version; serve it and name its endpoint"
    elif not judge.endpoint or not judge.model:
        yield f"{field}: endpoint and model are both needed; add what is missing"
    elif not judge.endpoint.startswith(("http://", "https://")):
        yield f"{field}.endpoint ({judge.endpoint}): is no http:// or https:// address; correct it"


def _gate_problems(gate: api.Gate, field: str, known: set[str]) -> Iterator[str]:
    suite = gate.metric.partition(".")[0]
    if suite not in known:
        yield f"{field}.metric ({gate.metric}): there is no suite {suite}; name one of {', '.join(sorted(known))}"
    if gate.compare_to == "stable":
        yield f"{field}.compareTo (stable): not supported by this version; use base or job/<name>"
    if not 0.5 < fraction(gate.confidence or CONFIDENCE) < 1:
        yield f"{field}.confidence ({gate.confidence}): must lie between 50% and 100%, e.g. 95%"
