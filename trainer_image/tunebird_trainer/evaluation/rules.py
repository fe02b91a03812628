"""What the evaluation part of a config may not say."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from tunebird_trainer.config import Evaluation, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tunebird_trainer.config import Config

# Metrics of no suite file: of the training rows, the held-out rows and the planted canaries.
BUILT_IN = {"training": ("memorisation",), "validation": ("perplexity",), "canaries": ("exposure",)}
HARNESS = "lm-eval://"
HARNESS_METRICS = ("accuracy",)


def checks(config: Config) -> Iterator[Callable[[Config], list[str]]]:
    """One for each suite and gate, so that none depends on another's being readable."""
    yield _names_errors
    for index in range(len(config.evaluation.suites)):
        yield partial(_suite_errors, index)
    for index in range(len(config.evaluation.gates)):
        yield partial(_gate_errors, index)


def _names_errors(config: Config) -> list[str]:
    return [
        f"evaluation.suites: the name {name!r} is used twice; give each its own" for name in _twice(config.evaluation)
    ]


def _suite_errors(index: int, config: Config) -> list[str]:
    return [f"evaluation.suites[{index}].{fault}" for fault in _suite_faults(config.evaluation.suites[index])]


def _gate_errors(index: int, config: Config) -> list[str]:
    return [f"evaluation.gates[{index}].{fault}" for fault in _gate_faults(config.evaluation.gates[index], config)]


def bound_of(gate: Gate) -> tuple[str, float]:
    """The one bound that is given, by its name in the config."""
    return _bounds(gate)[0]


def _bounds(gate: Gate) -> list[tuple[str, float]]:
    named = (
        ("minimum", gate.minimum), ("maximum", gate.maximum), ("maxRegressionAbsolute", gate.max_regression_absolute),
        ("maxRegressionRelative", gate.max_regression_relative),
    )  # fmt: skip
    return [(name, value) for name, value in named if value is not None]


def _twice(asked: Evaluation) -> list[str]:
    return [name for name, count in Counter(suite.name for suite in asked.suites).items() if count > 1]


def _suite_faults(suite: object) -> list[str]:
    from tunebird_trainer.config import Suite

    assert isinstance(suite, Suite)
    faults = []
    if suite.name in BUILT_IN:
        faults.append(f"name: {suite.name!r} stands for metrics that come without a suite; choose another")
    if suite.judge and not suite.judge.endpoint.startswith(("http://", "https://")):
        faults.append(f"judge.endpoint: {suite.judge.endpoint!r} is no http:// or https:// address")
    if suite.generation.samples > 1 and suite.generation.temperature == 0:
        faults.append("generation.samples: greedy answers are all the same; set a temperature or use 1")
    if suite.uri.startswith(HARNESS) and (suite.judge or suite.generation != type(suite.generation)()):
        faults.append(f"uri: a {HARNESS} task brings its own generation and grading; remove judge and generation")
    return faults


def _gate_faults(gate: Gate, config: Config) -> list[str]:
    faults = [*_metric_faults(gate, config)]
    given = [name for name, _ in _bounds(gate)]
    if len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "has no bound"
        faults.append(f"metric: the gate on {gate.metric} {said}; give exactly one of minimum, maximum, "
                      "maxRegressionAbsolute, maxRegressionRelative")  # fmt: skip
    elif "maxRegression" not in given[0] and gate.compare_to != "base":
        faults.append(f"compareTo: {gate.compare_to} goes with a maxRegression; {given[0]} compares with nothing")
    return faults + [_no_share(gate, name, value) for name, value in _bounds(gate) if _outside(gate, name, value)]


def _outside(gate: Gate, bound: str, value: float) -> bool:
    """Is the bound one that no share or score, which lie between 0 and 1, could ever reach or break?"""
    from tunebird_checks.metrics import METRICS, Kind

    known = METRICS.get(gate.metric.partition(".")[2])
    bounded = known is not None and known.kind in (Kind.SHARE, Kind.SCORE)
    return bounded and bound != "maxRegressionRelative" and not 0 <= value <= 1


def _no_share(gate: Gate, bound: str, value: float) -> str:
    percent = f"; write {value / 100:g} for {value:g} %" if 1 < value <= 100 else "; use one in this range"
    return f"{bound}: {value:g} lies outside 0 to 1, where {gate.metric} is{percent}"


def _metric_faults(gate: Gate, config: Config) -> list[str]:
    from tunebird_checks.metrics import METRICS

    name, _, metric = gate.metric.partition(".")
    suites = {suite.name: suite for suite in config.evaluation.suites}
    if name in BUILT_IN:
        return [] if metric in BUILT_IN[name] and _measurable(name, config) else [_no_built_in(name, metric, config)]
    if name not in suites:
        known = ", ".join([*suites, *BUILT_IN])
        return [f"metric: {gate.metric}: there is no suite {name!r}; name one of {known}"]
    harness = suites[name].uri.startswith(HARNESS)
    of_suites = [each for each in METRICS if each not in ("memorisation", "exposure")]
    known_metrics = HARNESS_METRICS if harness else of_suites
    if metric not in known_metrics:
        return [f"metric: {gate.metric}: suites have no {metric!r}; use one of {', '.join(known_metrics)}"]
    if metric.startswith("judge") and not suites[name].judge:
        return [f"metric: {gate.metric}: the suite has no judge; give evaluation.suites its judge"]
    return []


def _measurable(name: str, config: Config) -> bool:
    match name:
        case "canaries":
            return config.evaluation.canaries > 0
        case "validation":
            return config.validation.percent > 0
        case _:
            return True


def _no_built_in(name: str, metric: str, config: Config) -> str:
    if metric not in BUILT_IN[name]:
        return f"metric: {name}.{metric}: {name} has {', '.join(BUILT_IN[name])}"
    remedy = "set evaluation.canaries" if name == "canaries" else "set validation.percent above 0"
    return f"metric: {name}.{metric}: nothing is there to measure; {remedy}"
