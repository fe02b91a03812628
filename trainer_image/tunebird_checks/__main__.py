"""`tunebird-checks`: look at a suite, or run it against an endpoint. Needs no torch."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tunebird_checks import lint, metrics, results
from tunebird_checks.chat import Generation, Target
from tunebird_checks.suite import InvalidSuite, Suite, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunebird_checks.intervals import Interval


def main(argv: list[str] | None = None) -> int:
    """0 good; 1 a suite too small, or a minimum not reached; 2 wrong arguments or an invalid suite."""
    given = _parser().parse_args(argv)
    try:
        suite = load(given.suite)
    except InvalidSuite as error:
        print("\n".join(error.faults), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{given.suite}: {error.strerror}", file=sys.stderr)
        return 2
    if not suite.cases:
        print(f"{given.suite}: holds no case", file=sys.stderr)
        return 2
    return _lint(suite, given) if given.command == "lint" else _run(suite, given)


def table(rows: Iterable[tuple[str, Interval]], confidence: float) -> str:
    """Metric, value, interval and number of cases, aligned."""
    lines = [f"{'metric':34} {'value':>9}  {f'{confidence:.0%} interval':^21}  {'cases':>6}"]
    for name, found in rows:
        unknown = f"  ({found.unknown} unknown)" if found.unknown else ""
        low, high = _number(found.low), _number(found.high)
        lines.append(f"{name:34} {_number(found.value):>9}  [{low:>9}, {high:>9}]  {found.n:>6}{unknown}")
    return "\n".join(lines)


def _lint(suite: Suite, given: argparse.Namespace) -> int:
    bound = lint.Bound(given.metric, given.minimum, given.maximum, given.max_regression, given.confidence)
    print(f"{suite.path}: {len(suite.cases)} cases, {suite.digest}")
    for name in metrics.METRICS:
        about = metrics.population(suite, name) if name not in ("memorisation", "exposure") else 0
        if about and about != len(suite.cases):
            print(f"  {name}: {about} cases")
    for warning in lint.warnings(suite):
        print(f"warning: {warning}")
    if given.minimum is given.maximum is given.max_regression is None:
        return 0
    if fault := lint.too_small(suite, bound):
        print(f"{suite.path}: {fault}", file=sys.stderr)
        return 1
    print(f"large enough: {lint.needed(bound):.0f} cases could prove it")
    return 0


def _run(suite: Suite, given: argparse.Namespace) -> int:
    key = os.environ.get("TUNEBIRD_ENDPOINT_API_KEY", "")
    judge_key = os.environ.get("TUNEBIRD_JUDGE_API_KEY", "")
    target = Target(given.endpoint, given.model, key, given.concurrency, given.timeout)
    judge = Target(given.judge, given.judge_model, judge_key, given.concurrency) if given.judge else None
    found = asyncio.run(_results(suite, target, judge, given))
    measured = metrics.measures(suite, found)
    rows = [(name, each.interval(given.confidence)) for name, each in measured.items()]
    print(table(rows, given.confidence))
    if given.failing:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in results.failing(suite, found)]
        Path(given.failing).write_text("".join(lines), encoding="utf-8")
    first = next((each.answer.error for each in found.results if each.answer.error), None)
    if first:
        print(f"not every case was answered: {first}", file=sys.stderr)
    if given.minimum is None:
        return 1 if first else 0
    return 0 if dict(rows)[given.metric].low >= given.minimum else 1


async def _results(suite: Suite, target: Target, judge: Target | None, given: argparse.Namespace) -> results.Results:
    generation = Generation(given.temperature, given.max_tokens)
    found, seconds = await results.asked(suite, target, generation)
    found, agreement = await results.with_judge(suite, found, judge)
    return results.Results(suite.digest, tuple(found), seconds, agreement)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _share(text: str) -> float:
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share; write 95% or 0.95")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tunebird-checks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    looked = commands.add_parser("lint", help="check a suite file, and whether it is large enough for a gate")
    looked.add_argument("suite", type=Path)
    looked.add_argument("--maximum", type=_share)
    looked.add_argument("--max-regression", type=_share, help="absolute, against a model on the same cases")
    ran = commands.add_parser("run", help="ask an OpenAI-compatible endpoint and print every metric")
    ran.add_argument("--suite", type=Path, required=True)
    ran.add_argument("--endpoint", required=True, help="like http://127.0.0.1:8000; key: TUNEBIRD_ENDPOINT_API_KEY")
    ran.add_argument("--model", default="", help="default: the first that the endpoint lists")
    ran.add_argument("--judge", default="", help="endpoint of a judge; key: TUNEBIRD_JUDGE_API_KEY")
    ran.add_argument("--judge-model", default="")
    ran.add_argument("--concurrency", type=int, default=8)
    ran.add_argument("--timeout", type=float, default=120.0, help="seconds for one answer")
    ran.add_argument("--temperature", type=float, default=0.0)
    ran.add_argument("--max-tokens", type=int, default=256)
    ran.add_argument("--failing", default="", help="file for the failing cases, as JSON lines")
    for command in (looked, ran):
        command.add_argument("--metric", default="instructionSuccess", choices=sorted(metrics.METRICS))
        command.add_argument("--minimum", type=_share, help="what the interval's low end must reach, like 95%%")
        command.add_argument("--confidence", type=_share, default=0.95)
    return parser


if __name__ == "__main__":
    sys.exit(main())
