"""A resolved value and why it is this one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Config = TypeVar("Config")
FROM_SPEC = "spec"


@dataclass(frozen=True, slots=True)
class Choice:
    """A resolved value: `field` is its path under spec, `reason` is "spec" or the rule that it follows from."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Part(Generic[Config]):
    """A part of the trainer's configuration with the choices that it is made of."""

    config: Config
    choices: tuple[Choice, ...]


def pick(field: str, asked: object | None, otherwise: object, reason: str) -> Choice:
    """What was asked for, or else the value that follows from `reason`."""
    return Choice(field, text(otherwise), reason) if asked is None else Choice(field, text(asked), FROM_SPEC)


def text(value: object) -> str:
    """As YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
