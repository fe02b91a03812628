"""A suite file: JSON Lines, one case a line. Every fault is named with its line and field, all at once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tunebird_checks.faults import found
from tunebird_checks.kinds import Check, Judged, Model, Overlap

_SHOWN = 50  # faults named in one message


class InvalidSuite(ValueError):  # noqa: N818  a finding about a file
    """Every fault of a suite file, as `file:line field: what is wrong`."""

    def __init__(self, faults: list[str]) -> None:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        super().__init__("; ".join([*faults[:_SHOWN], *more]))
        self.faults = tuple(faults)


class Turn(Model):
    """One message of a conversation, as OpenAI's chat API has it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = Field(None, alias="tool_calls")
    tool_call_id: str | None = Field(None, alias="tool_call_id")
    name: str | None = None


class Label(Model):
    """What a person said of an answer; with it the judge is measured."""

    answer: str
    passed: bool = Field(alias="pass")


class Case(Model):
    """One prompt with its checks. Tags `harmful` and `benign` say whether a refusal is right."""

    id: str = Field(min_length=1)
    prompt: Annotated[str, Field(min_length=1)] | None = None
    messages: Annotated[tuple[Turn, ...], Field(min_length=1)] | None = None
    tools: tuple[dict[str, Any], ...] = ()
    checks: tuple[Check, ...] = ()
    tags: tuple[str, ...] = ()
    reference: Annotated[str, Field(min_length=1)] | None = None
    labels: tuple[Label, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        wrong = [said for applies, said in self._faults() if applies]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _faults(self) -> tuple[tuple[bool, str], ...]:
        tagged, compares = {"harmful", "benign"} & set(self.tags), any(_needs_reference(each) for each in self.checks)
        judged = any(isinstance(each, Judged) for each in self.checks)
        nothing = not self.checks and self.reference is None and not tagged
        return (
            ((self.prompt is None) == (self.messages is None), "give prompt or messages, one of them"),
            (nothing, "nothing is checked: give checks, a reference, or the tag harmful or benign"),
            (len(tagged) == 2, "tags: a case is harmful or benign, not both"),
            (self.reference is None and compares, "reference: missing, and a check compares with it"),
            (bool(self.labels) and not judged, "labels: there is no check of type judge that they could measure"),
        )

    @property
    def turns(self) -> tuple[dict[str, Any], ...]:
        """The conversation up to the answer."""
        if self.messages is None:
            return ({"role": "user", "content": self.prompt},)
        return tuple(turn.model_dump(by_alias=True, exclude_none=True) for turn in self.messages)


@dataclass(frozen=True, slots=True)
class Suite:
    """`digest` is that of the file's content."""

    path: str
    cases: tuple[Case, ...]
    digest: str

    @property
    def judged(self) -> bool:
        return any(isinstance(check, Judged) for case in self.cases for check in case.checks)


def load(path: str | Path) -> Suite:
    """Raises:
    InvalidSuite: with every fault of the file.
    OSError: when it can't be read.
    """
    content = Path(path).read_bytes()
    cases, faults = _read(content, Path(path).name)
    lines = Counter(case.id for case in cases)
    faults += [f"{Path(path).name}: id {name!r} is used {count} times" for name, count in lines.items() if count > 1]
    if faults:
        raise InvalidSuite(faults)
    return Suite(str(path), tuple(cases), "sha256:" + hashlib.sha256(content).hexdigest())


def _read(content: bytes, name: str) -> tuple[list[Case], list[str]]:
    cases, faults = [], []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line.decode().rstrip())
        except ValueError as error:
            told = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            faults.append(f"{name}:{number} is not JSON: {told}")
            continue
        wrong = found(raw, Case)
        faults += [f"{name}:{number} {each}" for each in wrong]
        if not wrong:
            cases.append(Case.model_validate_json(line))
    return cases, faults


def _needs_reference(check: Any) -> bool:
    return isinstance(check, Overlap) or (check.type == "exact" and check.texts is None)
