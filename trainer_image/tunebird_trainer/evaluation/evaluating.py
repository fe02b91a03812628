"""From a model directory to a report: suites on this model, on the base and on what gates compare with, then the
gates."""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tunebird_checks import results as running
from tunebird_checks.chat import Generation, Target
from tunebird_checks.metrics import Measure, differences, measures
from tunebird_checks.results import Results
from tunebird_trainer.data import redaction
from tunebird_trainer.evaluation import gates, harness, rules, scores, suites, training_data
from tunebird_trainer.evaluation.interruptions import Interruptions
from tunebird_trainer.evaluation.report import CONFIDENCE, EvaluationReport, Line
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.server import source
from tunebird_trainer.stores import storage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import tunebird_checks
    from tunebird_trainer.config import Config, Suite
    from tunebird_trainer.data.prepared import Prepared
    from tunebird_trainer.evaluation.in_process import Loaded

_MANIFEST = "tunebird.json"


class Session(Protocol):
    """What evaluation needs of the process around it."""

    def stop_requested(self) -> bool: ...

    def doing(self, activity: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be asked: a directory, or an endpoint (then `directory` is None). `digest` names its scores."""

    name: str
    digest: str
    directory: Path | None
    endpoint: Target | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of every subject."""

    config: Config
    files: dict[str, tunebird_checks.Suite]
    scores: scores.Scores
    interruptions: Interruptions
    prepared: Prepared | None = None

    def generation(self, suite: Suite) -> Generation:
        asked = suite.generation
        return Generation(asked.temperature, asked.max_tokens, asked.samples, self.config.training.seed)


@dataclass(frozen=True, slots=True)
class Found:
    """One subject's measures by `<suite>.<metric>`, and its results by suite."""

    measures: dict[str, Measure]
    results: dict[str, Results]


def preflight(config: Config) -> dict[str, tunebird_checks.Suite]:
    """Everything that can be known before training: suites are there, valid and not empty, what is compared with is
    there. Prints what weakens the gates.

    Raises:
        Failure: InvalidDataset, DatasetNotFound, InvalidConfig, ModelNotFound or EvaluationInconclusive.
    """
    found = suites.loaded(config)
    for name, suite in found.items():
        if not suite.cases:
            raise Failure(
                Reason.EVALUATION_INCONCLUSIVE, f"suite {name}: {suite.path} holds no case; add some or remove it"
            )
    for asked in config.evaluation.suites:
        if asked.uri.startswith(rules.HARNESS):
            harness.check(asked)
    for uri in _compared(config) - {"base"}:
        source.merged_form(source.directory(uri))
    for doubt in suites.doubts(config, found):
        print(f"evaluation: warning: {doubt}", flush=True)
    return found


def evaluate(
    config: Config, session: Session, model_dir: Path, base_dir: Path, prepared: Prepared | None, out_dir: Path
) -> EvaluationReport:
    """Evaluate the model in the form that will be served, if anything is asked. Failing cases go to
    `out_dir`/evaluation/SUITE.jsonl.

    Raises:
        Failure: Preempted soon after SIGTERM, or what `preflight` raises.
    """
    if not _asks_anything(config) and not config.evaluation.canaries:
        return EvaluationReport((), (), {})
    interruptions = Interruptions(session.stop_requested, session.doing)
    plan = Plan(config, preflight(config), scores.Scores.of(config), interruptions, prepared)
    mine = Subject("model", storage.directory_digest(model_dir), model_dir)
    base = Subject("base", config.model.digest or storage.directory_digest(base_dir), base_dir)
    return report(plan, mine, base if _asks_anything(config) else None, out_dir)


def report(plan: Plan, mine: Subject, base: Subject | None, out_dir: Path | None) -> EvaluationReport:
    """Without a base the metrics stand alone, and gates that compare with it are inconclusive."""
    config = plan.config
    found = asked(plan, mine)
    others = {uri: asked(plan, subject) for uri, subject in _others(config, base).items()}
    before = others.get("base")
    lines = tuple(_line(name, measure, before) for name, measure in found.measures.items())
    decided = tuple(
        gates.decided(gate, found.measures, others[gate.compare_to].measures if gate.compare_to in others else None)
        for gate in config.evaluation.gates
    )
    if out_dir is not None:
        _write_failing(plan, found, out_dir)
    told = {name: {"digest": suite.digest, "cases": len(suite.cases)} for name, suite in plan.files.items()}
    doubts = tuple(suites.doubts(config, plan.files))
    return EvaluationReport(lines, decided, told, doubts, tuple(_troubles(found)))


def asked(plan: Plan, subject: Subject) -> Found:
    """Every suite on one subject. A model is loaded at most once, and not at all when its scores are known."""
    load = _Once(subject)
    results = {suite.name: _results(plan, suite, subject, load) for suite in _file_suites(plan)}
    found = {
        f"{name}.{metric}": measure
        for name, each in results.items()
        for metric, measure in measures(plan.files[name], each, _personal).items()
    }
    if subject.directory is not None:
        for suite in plan.config.evaluation.suites:
            if suite.uri.startswith(rules.HARNESS):
                found[f"{suite.name}.accuracy"] = _by_harness(plan, suite, load())
        if plan.prepared is not None:
            pieces = plan.interruptions.counted(f"training data on {subject.name}, pieces", plan.interruptions.between)
            found |= training_data.measures(plan.config, plan.prepared, load(), pieces)
    load.forget()
    return Found(found, results)


class _Once:
    """Loads a subject's model when it is first asked for."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._loaded: Loaded | None = None

    def __call__(self) -> Loaded:
        from tunebird_trainer.evaluation import in_process

        assert self.subject.directory is not None
        if self._loaded is None:
            self._loaded = in_process.load(self.subject.directory)
        return self._loaded

    def forget(self) -> None:
        self._loaded = None
        gc.collect()
        if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _results(plan: Plan, suite: Suite, subject: Subject, load: Callable[[], Loaded]) -> Results:
    cases, generation = plan.files[suite.name], plan.generation(suite)
    key = scores.key(f"{subject.digest} {_device()}", cases, generation, suite.judge)
    known = plan.scores.read(key) if subject.digest else None
    if known is not None:
        print(f"evaluation: {suite.name} on {subject.name}: {len(known.results)} answers from the cache", flush=True)
        return known
    print(f"evaluation: {suite.name} on {subject.name}: asking {len(cases.cases)} cases", flush=True)
    made = _made(plan, suite, subject, load)
    if subject.digest:
        plan.scores.write(key, made)
    return made


def _made(plan: Plan, suite: Suite, subject: Subject, load: Callable[[], Loaded]) -> Results:
    from tunebird_trainer.evaluation import in_process

    cases, generation, stops = plan.files[suite.name], plan.generation(suite), plan.interruptions
    name, of = f"{suite.name} on {subject.name}", len(cases.cases) * generation.samples
    if subject.endpoint is not None:
        answers, seconds = stops.waited(running.asked(cases, subject.endpoint, generation, stops.beat))
    else:
        batches = stops.counted(f"{name}, answers", stops.between, of, in_process.BATCH)
        answers, seconds = in_process.answers(cases, load(), generation, batches)
        references = stops.counted(f"{name}, references", stops.between, of)
        answers = in_process.with_references(cases, answers, load(), references)
    judged = stops.counted(f"{name}, replies of the judge", stops.beat)
    answers, agreement = stops.waited(running.with_judge(cases, answers, _judge(suite), judged))
    return Results(cases.digest, tuple(answers), seconds, agreement)


def _by_harness(plan: Plan, suite: Suite, loaded: Loaded) -> Measure:
    with plan.interruptions.within(loaded.model):
        return harness.measure(suite, loaded, batch=8)


def _judge(suite: Suite) -> Target | None:
    if suite.judge is None:
        return None
    key = os.environ.get("TUNEBIRD_JUDGE_API_KEY", "")
    return Target(suite.judge.endpoint, suite.judge.model, key)


def _others(config: Config, base: Subject | None) -> dict[str, Subject]:
    found = {"base": base} if base is not None else {}
    for uri in sorted(_compared(config) - {"base"}):
        path = source.directory(uri)
        found[uri] = Subject(uri, storage.directory_digest(path, leave_out=[_MANIFEST]), source.merged_form(path))
    return found


def _compared(config: Config) -> set[str]:
    return {gate.compare_to for gate in config.evaluation.gates if "Regression" in rules.bound_of(gate)[0]}


def _asks_anything(config: Config) -> bool:
    return bool(config.evaluation.suites) or bool(config.evaluation.gates)


def _file_suites(plan: Plan) -> list[Suite]:
    return [suite for suite in plan.config.evaluation.suites if suite.name in plan.files]


def _line(name: str, measure: Measure, before: Found | None) -> Line:
    found = measure.interval(CONFIDENCE)
    old = before.measures.get(name) if before else None
    if old is None or not (old.values.keys() & measure.values.keys()):
        return Line(name, measure.metric.higher_is_better, found)
    change = differences(measure, old, CONFIDENCE)
    return Line(name, measure.metric.higher_is_better, found, old.interval(CONFIDENCE), change)


def _troubles(found: Found) -> list[str]:
    """Suites of which nothing could be known: the model or the judge gave no usable answer at all."""
    said = []
    for name, results in found.results.items():
        measure = found.measures.get(f"{name}.instructionSuccess")
        if measure is not None and measure.values and not measure.known:
            reasons = [verdict.reason for each in results.results for verdict in each.verdicts if verdict.score is None]
            said.append(f"suite {name}: no case could be decided: {reasons[0] if reasons else 'no answer'}")
    return said


def failing_cases(out_dir: Path, suite: str) -> Path:
    return out_dir / "evaluation" / f"{suite}.jsonl"


def _write_failing(plan: Plan, found: Found, out_dir: Path) -> None:
    for name, results in found.results.items():
        path = failing_cases(out_dir, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = running.failing(plan.files[name], results)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")


def _personal(text: str) -> set[str]:
    """The personal data and secrets in a text, as they are written there."""
    return {text[hit.start : hit.end] for hit in redaction.hits(text)}


def _device() -> str:
    """Latency is told for a device, so scores of another are not these."""
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else platform.machine()
