"""A suite file: JSON Lines, one case a line. Every fault is named with its line and field, all at once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

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
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give prompt or messages, one of them")
        if not self.checks and self.reference is None and not {"harmful", "benign"} & set(self.tags):
            raise ValueError("nothing is checked: give checks, a reference, or the tag harmful or benign")
        if {"harmful", "benign"} <= set(self.tags):
            raise ValueError("tags: a case is harmful or benign, not both")
        if self.reference is None and any(_needs_reference(each) for each in self.checks):
            raise ValueError("reference: missing, and a check compares with it")
        if self.labels and not any(isinstance(each, Judged) for each in self.checks):
            raise ValueError("labels: there is no check of type judge that they could measure")
        return self

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
            cases.append(_case(line))
        except ValidationError as error:
            faults += [f"{name}:{number} {_said(each)}" for each in error.errors(include_url=False)]
        except ValueError as error:
            faults.append(f"{name}:{number} is not JSON: {error}")
    return cases, faults


def _case(line: bytes) -> Case:
    json.loads(line.decode())  # its message names the column, pydantic's does not
    return Case.model_validate_json(line)


def _said(error: Any) -> str:
    kinds = {"contains", "regex", "jsonSchema", "exact", "number", "refusal", "length", "toolCall", "judge"}
    overlaps = {"rouge1", "rouge2", "rougeL", "bleu", "chrf"}
    steps = [step for place, step in enumerate(error["loc"]) if not (place == 2 and step in kinds | overlaps)]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
    message = error["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def _needs_reference(check: Any) -> bool:
    return isinstance(check, Overlap) or (check.type == "exact" and check.texts is None)
