"""`tunebird-trainer --evaluate [--endpoint URL] [--out DIR] CONFIG`: the published artifact, or what an
endpoint serves."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tunebird_checks.chat import Target
from tunebird_trainer.evaluation import evaluating, rules, scores
from tunebird_trainer.evaluation.evaluating import Plan, Subject
from tunebird_trainer.evaluation.interruptions import Interruptions
from tunebird_trainer.evaluation.report import failure_of
from tunebird_trainer.outcome import ExitCode, Failure, Reason
from tunebird_trainer.server import source
from tunebird_trainer.stores import sources, storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunebird_checks import Suite
    from tunebird_trainer.config import Config
    from tunebird_trainer.data.prepared import Prepared
    from tunebird_trainer.evaluation.report import EvaluationReport

RESULT = "evaluation.json"


def main(
    config: Config,
    endpoint: str | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    out: Path = Path(),
) -> int:
    """Prints the table, writes evaluation.json and the failing cases below `out`, and returns the exit code: 7 where a
    gate does not pass.

    Raises:
        Failure: what a run's evaluation would fail with; Preempted after SIGTERM.
    """
    if not config.evaluation.suites:
        remedy = "add one, like {name, uri} of examples/data/support.suite.jsonl"
        raise Failure(Reason.INVALID_CONFIG, f"evaluation.suites: there is none to run; {remedy}")
    out = _writable(out)
    files = evaluating.preflight(config)
    written = [out / RESULT, *(evaluating.failing_cases(out, name) for name in files)]
    if replaced := [str(path) for path in written if path.exists()]:
        print(f"evaluation: replaces {', '.join(replaced)}", flush=True)
    found = _report(config, endpoint or "", Interruptions(stop_requested), files, out)
    written[0].write_text(json.dumps(found.manifest(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(found.table(), flush=True)
    print(f"evaluation: {found.status}; written to {written[0]}, failing cases: {_listed(written[1:])}", flush=True)
    failure = failure_of(found.manifest())
    return failure.exit_code if failure else ExitCode.DONE


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths)) or "none"


def _writable(out: Path) -> Path:
    """The directory as an absolute path, made where it is absent."""
    out = out.absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out
    except OSError as error:
        remedy = "name another directory"
        raise Failure(
            Reason.INVALID_CONFIG, f"--out {out} can't be written: {error.strerror or error}; {remedy}"
        ) from error


def _report(
    config: Config, endpoint: str, stops: Interruptions, files: dict[str, Suite], out: Path
) -> EvaluationReport:
    plan = Plan(config, files, scores.Scores.of(config), stops, None if endpoint else _prepared(config))
    if not endpoint:
        return evaluating.report(plan, _artifact(config), _base(config), out)
    key = os.environ.get("TUNEBIRD_ENDPOINT_API_KEY", "")
    compares = any("Regression" in rules.bound_of(gate)[0] for gate in config.evaluation.gates)
    served = Subject(endpoint, "", None, Target(endpoint, api_key=key))
    return evaluating.report(plan, served, _base(config) if compares else None, out)


def _artifact(config: Config) -> Subject:
    uri = config.output.uri
    if uri.startswith(("pvc://", "file://")) and not sources.place(uri).is_dir():
        remedy = "train first, or serve a model and name it with --endpoint"
        raise Failure(Reason.MODEL_NOT_FOUND, f"output.uri: {uri} holds no artifact yet; {remedy}")
    merged = source.merged_form(source.directory(uri))
    return Subject("model", storage.directory_digest(merged), merged)


def _base(config: Config) -> Subject:
    base = sources.fetch_model(config.model)
    return Subject("base", config.model.digest or storage.directory_digest(base), base)


def _prepared(config: Config) -> Prepared | None:
    """Only for gates on the training data, which must be prepared for it."""
    if not any(gate.metric.partition(".")[0] in rules.BUILT_IN for gate in config.evaluation.gates):
        return None
    from tunebird_trainer.data import pipeline
    from tunebird_trainer.training.loading import load_tokenizer

    return pipeline.prepare(config, load_tokenizer(sources.fetch_model(config.model), config))
