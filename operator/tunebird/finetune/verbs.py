"""Verbs that a job can't obey: each is answered once, with `VerbIgnored` and in the status, never ignored. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tunebird.finetune.state import VERBS_KEPT, Decision, Happening, Observed, Record, Verb

VERBS = ("retry",)
NO_SUCH = "there is no such verb; a FineTuneJob knows retry"
NOTHING_TO_RETRY = "the specification is not valid, so there is nothing to try again: see the message"


def answered(seen: Observed, decision: Decision) -> Decision:
    """The decision with every verb refused that is unknown, or comes while the specification is invalid."""
    record = decision.record
    refused = tuple(_refused(seen, record))
    if not refused:
        return decision
    told = tuple(
        Happening("VerbIgnored", f"{verb.name} {verb.value}: {verb.refusal}", warning=True) for verb in refused
    )
    there = {*seen.intent.unknown, ("retry", seen.intent.retry)}
    kept = sorted((*record.verbs, *refused), key=lambda verb: ((verb.name, verb.value) in there, verb.time))
    return replace(decision, record=replace(record, verbs=tuple(kept[-VERBS_KEPT:])), events=(*decision.events, *told))


def known(record: Record, name: str, value: str) -> bool:
    """Whether a verb has had its answer."""
    return any((verb.name, verb.value) == (name, value) for verb in record.verbs)


def unanswered(record: Record, retry: str | None) -> bool:
    """Whether the verb `retry` needs an answer; one for an attempt that is still to come does not."""
    if retry is None or known(record, "retry", retry):
        return False
    return not (retry.isdecimal() and int(retry) > next_number(record))


def next_number(record: Record) -> int:
    """The attempt that would follow."""
    return record.last.number + 1 if record.last is not None else 1


def _refused(seen: Observed, record: Record) -> Iterator[Verb]:
    for name, value in seen.intent.unknown:
        if not known(record, name, value):
            yield Verb(name, value, seen.now, NO_SUCH)
    retry = seen.intent.retry
    stalled = record.refused and record.live is None and record.outcome is None
    if retry is not None and stalled and unanswered(record, retry):
        yield Verb("retry", retry, seen.now, NOTHING_TO_RETRY)
