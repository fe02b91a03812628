"""Keeps what the model will be asked out of what it learns. A row is contaminated by a suite's prompt when one of its
questions is that prompt, or when they share a run of 13 words (Brown et al. 2020, Language Models are Few-Shot
Learners, appendix C, which also gives the limit above which a run counts as a common phrase)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Dataset, OnFound
from tunebird_trainer.data import content, formats, rows
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import sources
from tunebird_trainer.stores.storage import digest_of, file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tunebird_trainer.config import Config, Suite
    from tunebird_trainer.data.examples import Example
    from tunebird_trainer.data.work import Desk, Entry

_RUN = 13  # words
_COMMON = 10  # rows in which a run may occur; in more it is a common phrase, such as an instruction's preamble


@dataclass(frozen=True, slots=True)
class Prompt:
    suite: str
    where: str


@dataclass(frozen=True, slots=True)
class Suites:
    """The prompts of all suites by what gives them away: hashes of the whole and of each run of 13 words."""

    wholes: dict[int, Prompt]
    runs: dict[int, Prompt]
    counts: Counter[str]  # prompts by suite


def files(config: Config) -> dict[str, Path]:
    """Each suite's file; tasks of a harness have none. Raises: Failure, DatasetNotFound."""
    suites = [suite for suite in config.evaluation.suites if not suite.uri.startswith("lm-eval://")]
    return {suite.name: sources.fetch_dataset(_as_dataset(suite)) for suite in suites}


def digests(found: dict[str, Path]) -> dict[str, str]:
    return {
        f"suite {name}": digest_of({file.name: file_digest(file) for file in rows.files_of(path)})
        for name, path in found.items()
    }


def read(found: dict[str, Path]) -> Suites:
    suites = Suites({}, {}, Counter())
    for name, path in found.items():
        for row in rows.read(path, name):
            for text in _questions(row):
                suites.counts[name] += 1
                words = content.words(text)
                suites.wholes.setdefault(_hash(words), Prompt(name, row.where))
                for run in _runs(words):
                    suites.runs.setdefault(run, Prompt(name, row.where))
    return suites


def without(entries: list[Entry], suites: Suites, desk: Desk) -> tuple[list[Entry], dict[str, Any]]:
    """The entries that stay, and the report.

    Raises:
        Failure: InvalidDataset when none may be contaminated.
    """
    if not suites.wholes:
        return entries, {}
    hits = {entry.place: _matches(example, suites) for entry, _, example in desk.work.read(entries)}
    common = Counter(run for _, runs in hits.values() for run in runs)
    found = {place: _prompt(whole, runs, common, suites) for place, (whole, runs) in hits.items()}
    report = {name: {"prompts": number, "rows": 0, "shown": []} for name, number in suites.counts.items()}
    for entry in entries:
        if prompt := found[entry.place]:
            _told(entry, prompt, report[prompt.suite], desk)
    if desk.config.preparation.on_contaminated is OnFound.KEEP:
        return entries, report
    return [entry for entry in entries if not found[entry.place]], report


def _told(entry: Entry, prompt: Prompt, report: dict[str, Any], desk: Desk) -> None:
    where, action = desk.work.at(entry.place)[0], desk.config.preparation.on_contaminated
    if action is OnFound.FAIL:
        remedy = "remove it or set preparation.onContaminated: Drop or Keep"
        raise Failure(Reason.INVALID_DATASET, f"{where} holds the evaluation prompt {prompt.where}; {remedy}")
    report["rows"] += 1
    if len(report["shown"]) < 5:
        report["shown"].append({"row": where, "prompt": prompt.where})
    desk.ledger.add(entry.dataset, "contaminated" if action is OnFound.DROP else "contaminated, kept")


def _matches(example: Example, suites: Suites) -> tuple[Prompt | None, frozenset[int]]:
    """The prompt that one of the questions is, and the runs shared with any."""
    whole = next(
        (hit for text in content.asked(example) if (hit := suites.wholes.get(_hash(content.words(text))))), None
    )
    runs = (run for text in formats.texts(example) for run in _runs(content.words(text)) if run in suites.runs)
    return whole, frozenset(runs)


def _prompt(whole: Prompt | None, runs: frozenset[int], common: Counter[int], suites: Suites) -> Prompt | None:
    rare = [suites.runs[run] for run in runs if common[run] <= _COMMON]
    return whole or min(rare, key=lambda prompt: prompt.where, default=None)


def _questions(row: rows.Row) -> Iterator[str]:
    """The prompt, or what a user says in messages; a suite's own reader judges its rows."""
    value = row.value if isinstance(row.value, dict) else {}
    if isinstance(value.get("prompt"), str):
        yield value["prompt"]
    messages = value.get("messages") or value.get("prompt")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
            yield message["content"]


def _runs(words: list[str]) -> Iterator[int]:
    return (_hash(words[place : place + _RUN]) for place in range(len(words) - _RUN + 1))


def _hash(words: list[str]) -> int:
    """Equal within this process, which is all that is needed."""
    return hash(tuple(words))


def _as_dataset(suite: Suite) -> Dataset:
    return Dataset(suite.name, suite.uri, "auto", 1, None, "", digest=suite.digest)
