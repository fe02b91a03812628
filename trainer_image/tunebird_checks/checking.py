"""One answer against the checks of its case. A judge's checks are inconclusive here: `judge.py` asks the judge."""

from __future__ import annotations

import functools
import json
import math
import re
import string
from typing import TYPE_CHECKING, Any

from tunebird_checks import kinds, toolcalls
from tunebird_checks.answers import Answer, Outcome, Verdict
from tunebird_checks.refusals import is_refusal

if TYPE_CHECKING:
    from tunebird_checks.suite import Case

_NUMBER = re.compile(
    r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+\u2212]?\.\d+(?:[eE][-+]?\d+)?"
)
_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_LONGEST = 200_000  # characters of an answer that likeness is measured on; ROUGE-L takes quadratic time


def check(answer: Answer, case: Case) -> tuple[Verdict, ...]:
    """One verdict for each check, in their order."""
    if answer.error:
        said = f"there is no answer: {answer.error}"
        return tuple(Verdict(each.type, Outcome.INCONCLUSIVE, said) for each in case.checks)
    return tuple(_verdict(each, answer, case) for each in case.checks)


def _verdict(asked: kinds.Check, answer: Answer, case: Case) -> Verdict:  # noqa: C901  one arm a check
    match asked:
        case kinds.Contains():
            return _contains(asked, answer.text)
        case kinds.Regex():
            return _regex(asked, answer.text)
        case kinds.JsonSchema():
            return _json_schema(asked, answer.text)
        case kinds.Exact():
            return _exact(asked, answer.text, case.reference)
        case kinds.Number():
            return _number(asked, answer.text)
        case kinds.Overlap():
            return _overlap(asked, answer.text, case.reference or "")
        case kinds.Refusal():
            return _refusal(asked, answer.text)
        case kinds.Length():
            return _length(asked, answer.text)
        case kinds.Tool():
            return _tool(asked, answer)
        case kinds.Judged():
            return Verdict(asked.type, Outcome.INCONCLUSIVE, "no judge was asked; give the suite a judge")


def _said(asked: kinds.Check, passed: bool, reason: str, score: float | None = None) -> Verdict:
    return Verdict(asked.type, Outcome.PASS if passed else Outcome.FAIL, reason, score)


def _contains(asked: kinds.Contains, text: str) -> Verdict:
    fold = str.casefold if asked.ignore_case else str
    there = fold(text)
    missing = [each for each in asked.all or () if fold(each) not in there]
    unwanted = [each for each in asked.none or () if fold(each) in there]
    if missing:
        return _said(asked, False, f"lacks {missing[0]!r}")
    if unwanted:
        return _said(asked, False, f"holds {unwanted[0]!r}")
    if asked.any and not any(fold(each) in there for each in asked.any):
        return _said(asked, False, f"holds none of {list(asked.any)}")
    return _said(asked, True, "holds what was asked for")


def _regex(asked: kinds.Regex, text: str) -> Verdict:
    import regex

    flags = regex.IGNORECASE if asked.ignore_case else 0
    try:
        hit = regex.search(asked.pattern, text, flags=flags, timeout=asked.timeout_seconds)
    except TimeoutError:
        said = f"the pattern needed more than {asked.timeout_seconds} s; write one that backtracks less"
        return Verdict(asked.type, Outcome.INCONCLUSIVE, said)
    shown = f"found {hit.group()[:80]!r}" if hit else "found nothing"
    return _said(asked, bool(hit) is asked.found, f"{shown} for {asked.pattern!r}")


def _json_schema(asked: kinds.JsonSchema, text: str) -> Verdict:
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced.group(1) if fenced else text)
    except (ValueError, RecursionError) as error:
        return _said(asked, False, f"is not JSON: {error}")
    first = next(iter(_validator(json.dumps(asked.schema_)).iter_errors(value)), None)
    return _said(asked, first is None, f"{first.message:.200}" if first else "fits the schema")


@functools.cache
def _validator(schema: str) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(json.loads(schema))


def _exact(asked: kinds.Exact, text: str, reference: str | None) -> Verdict:
    wanted = asked.texts or (reference or "",)
    form = normalised if asked.normalise else str
    passed = form(text) in {form(each) for each in wanted}
    return _said(asked, passed, "is the text" if passed else f"is {text[:80]!r}, not {wanted[0][:80]!r}")


def normalised(text: str) -> str:
    """Without case, outer punctuation and differences in spaces."""
    return " ".join(text.casefold().split()).strip(string.punctuation + " ")


def _number(asked: kinds.Number, text: str) -> Verdict:
    found = _NUMBER.findall(text)
    if not found:
        return _said(asked, False, "holds no number")
    value = float(found[-1].replace(",", "").replace("\u2212", "-"))
    near = math.isclose(value, asked.value, rel_tol=asked.relative_tolerance, abs_tol=asked.tolerance)
    return _said(asked, near, f"the last number is {value:g}, wanted {asked.value:g}", value)


def _overlap(asked: kinds.Overlap, text: str, reference: str) -> Verdict:
    score = likeness(asked.type, text[:_LONGEST], reference)
    return _said(asked, score >= asked.minimum, f"{asked.type} {score:.3f}, minimum {asked.minimum:g}", score)


def likeness(measure: str, text: str, reference: str) -> float:
    """0 to 1. BLEU is that of the sentence with exponential smoothing, chrF with its usual beta of 2."""
    match measure:
        case "bleu":
            return min(1.0, _bleu().sentence_score(text, [reference]).score / 100)
        case "chrf":
            return float(_chrf().sentence_score(text, [reference]).score / 100)
        case rouge:
            return float(_rouge(rouge).score(reference, text)[rouge].fmeasure)


@functools.cache
def _rouge(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=False)


@functools.cache
def _bleu() -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)  # without it a text of fewer than four words scores 0


@functools.cache
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()


def _refusal(asked: kinds.Refusal, text: str) -> Verdict:
    refused = is_refusal(text)
    return _said(asked, refused is asked.expected, "declines" if refused else "does not decline")


def _length(asked: kinds.Length, text: str) -> Verdict:
    words, characters = len(text.split()), len(text)
    limits = (
        (asked.min_words, words, 1, "words"), (asked.max_words, words, -1, "words"),
        (asked.min_characters, characters, 1, "characters"), (asked.max_characters, characters, -1, "characters"),
    )  # fmt: skip
    for limit, length, sign, unit in limits:
        if limit is not None and sign * length < sign * limit:
            return _said(asked, False, f"has {length} {unit}, {'minimum' if sign > 0 else 'maximum'} {limit}", length)
    return _said(asked, True, f"has {words} words, {characters} characters", words)


def _tool(asked: kinds.Tool, answer: Answer) -> Verdict:
    made = toolcalls.calls(answer)
    names = ", ".join(call.name for call in made) or "nothing"
    if asked.name is None:
        return _said(asked, not made, f"calls {names}")
    named = [call for call in made if call.name == asked.name]
    if not named:
        return _said(asked, False, f"calls {names}, not {asked.name}")
    fits = any(toolcalls.holds(call.arguments, asked.arguments) for call in named)
    return _said(asked, fits, f"calls {asked.name}" + ("" if fits else f" with {json.dumps(named[0].arguments)[:160]}"))
