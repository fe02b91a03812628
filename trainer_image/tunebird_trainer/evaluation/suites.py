"""The suites of a config: fetched, checked against their digests and linted before training begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tunebird_checks
from tunebird_checks import lint
from tunebird_trainer.config import Config, Suite
from tunebird_trainer.evaluation.rules import HARNESS, bound_of
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import sources, storage

if TYPE_CHECKING:
    from pathlib import Path


def loaded(config: Config) -> dict[str, tunebird_checks.Suite]:
    """Every suite file by its name; tasks of the harness are no files.

    Raises:
        Failure: InvalidDataset or DatasetNotFound, naming file, line and field of every fault.
    """
    return {suite.name: load(suite) for suite in config.evaluation.suites if not suite.uri.startswith(HARNESS)}


def load(suite: Suite) -> tunebird_checks.Suite:
    path = _file(suite)
    if suite.digest and (found := f"sha256:{storage.file_digest(path)}") != suite.digest:
        raise Failure(
            Reason.INVALID_DATASET,
            f"suite {suite.name}: {suite.uri} has digest {found}, not {suite.digest}; it changed since it was pinned",
        )
    try:
        read = tunebird_checks.load(path)
    except tunebird_checks.InvalidSuite as error:
        raise Failure(Reason.INVALID_DATASET, f"suite {suite.name}: {error}; correct the file") from error
    if read.judged and suite.judge is None:
        cases = [case.id for case in read.cases if any(check.type == "judge" for check in case.checks)]
        remedy = "name the judge's endpoint and model in evaluation.suites.judge"
        raise Failure(
            Reason.INVALID_CONFIG, f"suite {suite.name}: case {cases[0]} asks a judge and there is none; {remedy}"
        )
    return read


def doubts(config: Config, suites: dict[str, tunebird_checks.Suite]) -> list[str]:
    """What makes the gates weaker than they look, or impossible to pass."""
    found = [f"{name}: {said}" for name, suite in suites.items() for said in lint.warnings(suite)]
    for gate in config.evaluation.gates:
        name, _, metric = gate.metric.partition(".")
        if name not in suites:
            continue
        kind, value = bound_of(gate)
        fields = {"minimum": "minimum", "maximum": "maximum", "maxRegressionAbsolute": "regression"}
        if kind in fields:
            bound = lint.Bound(metric, confidence=gate.confidence, **{fields[kind]: value})
            said = lint.too_small(suites[name], bound)
            found += [f"{name}: {said}"] if said else []
    return found


def _file(suite: Suite) -> Path:
    path = sources.fetch_suite(suite)
    if path.is_dir():
        raise Failure(
            Reason.DATASET_NOT_FOUND, f"suite {suite.name}: {suite.uri} is a directory; name the JSON Lines file in it"
        )
    return path
