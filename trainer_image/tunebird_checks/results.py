"""A suite that has been run: answers and verdicts, and running one against an endpoint."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tunebird_checks.answers import Answer, Outcome, ToolCall, Verdict
from tunebird_checks.chat import Chat
from tunebird_checks.checking import check
from tunebird_checks.judge import judged, labelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunebird_checks.chat import Generation, Target
    from tunebird_checks.suite import Case, Suite


@dataclass(frozen=True, slots=True)
class Result:
    """One sample of one case. `nll` is the negative log-likelihood of the case's reference, summed over its tokens."""

    case: str
    sample: int
    answer: Answer
    verdicts: tuple[Verdict, ...]
    nll: float | None = None
    nll_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Results:
    """`agreement` pairs what people and the judge said of labelled answers; `wall_seconds` is that of asking alone."""

    suite: str
    results: tuple[Result, ...]
    wall_seconds: float
    agreement: tuple[tuple[bool, bool | None], ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Results:
        raw = json.loads(text)
        results = tuple(_result(each) for each in raw["results"])
        agreement = tuple((a, b) for a, b in raw["agreement"])
        return cls(raw["suite"], results, raw["wall_seconds"], agreement)


async def asked(
    suite: Suite, target: Target, generation: Generation, tried: Callable[[], None] = lambda: None
) -> tuple[list[Result], float]:
    """Every case, every sample, against an endpoint; and the seconds it took. `tried` is called after each request,
    whatever came of it."""
    began = time.monotonic()
    async with Chat(target, tried) as chat:
        jobs = [_asked(case, sample, chat, generation) for case in suite.cases for sample in range(generation.samples)]
        results = list(await asyncio.gather(*jobs))
    return results, time.monotonic() - began


async def with_judge(
    suite: Suite, results: list[Result], target: Target | None, tried: Callable[[], None] = lambda: None
) -> tuple[list[Result], tuple[tuple[bool, bool | None], ...]]:
    """The results with the judge's verdicts, and its agreement with the suite's labels."""
    if target is None or not suite.judged:
        return results, ()
    cases = {case.id: case for case in suite.cases}
    async with Chat(target, tried) as judge:
        verdicts = await asyncio.gather(*(judged(r.answer, cases[r.case], r.verdicts, judge) for r in results))
        pairs = await asyncio.gather(*(labelled(case, judge) for case in suite.cases))
    done = [replace(result, verdicts=said) for result, said in zip(results, verdicts, strict=True)]
    return done, tuple(pair for each in pairs for pair in each)


def failing(suite: Suite, results: Results) -> list[dict[str, Any]]:
    """Every sample with a verdict that is no pass: prompt, answer and why. Personal and long: for files, not status."""
    cases = {case.id: case for case in suite.cases}
    return [_told(cases[each.case], each) for each in results.results if _failed(each)]


def _failed(result: Result) -> bool:
    return bool(result.answer.error) or any(each.outcome is not Outcome.PASS for each in result.verdicts)


def _told(case: Case, result: Result) -> dict[str, Any]:
    verdicts = [asdict(each) for each in result.verdicts if each.outcome is not Outcome.PASS]
    return {"id": case.id, "sample": result.sample, "tags": list(case.tags), "messages": list(case.turns),
            "answer": result.answer.text, "finishReason": result.answer.finish_reason, "error": result.answer.error,
            "verdicts": verdicts}  # fmt: skip


async def _asked(case: Case, sample: int, chat: Chat, generation: Generation) -> Result:
    answer = await chat.ask(case.turns, generation, case.tools, sample)
    return Result(case.id, sample, answer, check(answer, case))


def _result(raw: dict[str, Any]) -> Result:
    calls = tuple(ToolCall(**call) for call in raw["answer"].pop("tool_calls"))
    answer = Answer(tool_calls=calls, **raw.pop("answer"))
    verdicts = tuple(Verdict(each.pop("type"), Outcome(each.pop("outcome")), **each) for each in raw.pop("verdicts"))
    return Result(answer=answer, verdicts=verdicts, **raw)
