"""Rows of the accepted formats become conversations. One row in, one conversation or a plain sentence of what is
wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLES = ("system", "user", "assistant", "tool")
_SHAREGPT_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "system": "system", "tool": "tool",
}  # fmt: skip
_PLACEHOLDER = re.compile(r"\{\{\s*[\w .-]{1,40}\s*\}\}|\[(?:NAME|EMAIL|ADDRESS|ORDER ID|INSERT [A-Z ]+)\]")


class Format(StrEnum):
    MESSAGES = "messages"
    PROMPT_COMPLETION = "promptCompletion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"


class InvalidRow(ValueError):  # noqa: N818  a finding, not a fault of ours
    """What is wrong with one row, in words for the person who owns the file."""


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    content: str


def detected(row: Any) -> Format | None:
    """The format a row looks like, by its keys."""
    if not isinstance(row, dict):
        return None
    if "messages" in row:
        return Format.MESSAGES
    if "conversations" in row:
        return Format.SHAREGPT
    if "prompt" in row and "completion" in row:
        return Format.PROMPT_COMPLETION
    if "instruction" in row and "output" in row:
        return Format.ALPACA
    return None


def conversation(row: Any, format: Format) -> tuple[Message, ...]:  # noqa: A002  the config's own word
    """The row's conversation, checked.

    Raises:
        InvalidRow: with what is wrong.
    """
    if not isinstance(row, dict):
        raise InvalidRow(f"is {_kind(row)}, not an object")
    match format:
        case Format.MESSAGES:
            messages = _from_messages(_required(row, "messages"))
        case Format.SHAREGPT:
            messages = _from_sharegpt(_required(row, "conversations"))
        case Format.PROMPT_COMPLETION:
            messages = _from_prompt_completion(row)
        case Format.ALPACA:
            messages = _from_alpaca(row)
    _check(messages)
    return messages


def has_placeholder(messages: tuple[Message, ...]) -> str | None:
    """The first thing that looks like a template's gap nobody filled, such as `{{name}}`."""
    for message in messages:
        if found := _PLACEHOLDER.search(message.content):
            return found.group()
    return None


def _from_messages(items: Any) -> tuple[Message, ...]:
    if not isinstance(items, list) or not items:
        raise InvalidRow(f"messages is {_kind(items)}, not a list with a user and an assistant message")
    return tuple(_message(item, f"messages[{index}]") for index, item in enumerate(items))


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise InvalidRow(f"{where} is {_kind(item)}, not an object with role and content")
    if item.get("tool_calls"):
        raise InvalidRow(f"{where}.tool_calls: tool calls are not supported by this version; remove the row")
    role = item.get("role")
    if role not in ROLES:
        raise InvalidRow(f"{where}.role is {role!r}; use one of {', '.join(ROLES)}")
    return Message(role, _text(item.get("content"), f"{where}.content"))


def _from_sharegpt(items: Any) -> tuple[Message, ...]:
    if not isinstance(items, list) or not items:
        raise InvalidRow(f"conversations is {_kind(items)}, not a list of turns with from and value")
    return tuple(_sharegpt_turn(item, f"conversations[{index}]") for index, item in enumerate(items))


def _sharegpt_turn(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise InvalidRow(f"{where} is {_kind(item)}, not an object with from and value")
    speaker = item.get("from")
    if speaker not in _SHAREGPT_ROLES:
        raise InvalidRow(f"{where}.from is {speaker!r}; use one of {', '.join(_SHAREGPT_ROLES)}")
    return Message(_SHAREGPT_ROLES[speaker], _text(item.get("value"), f"{where}.value"))


def _from_prompt_completion(row: Mapping[str, Any]) -> tuple[Message, ...]:
    prompt, completion = _required(row, "prompt"), _required(row, "completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        return _from_messages([*prompt, *completion])
    return (Message("user", _text(prompt, "prompt")), Message("assistant", _text(completion, "completion")))


def _from_alpaca(row: Mapping[str, Any]) -> tuple[Message, ...]:
    instruction = _text(_required(row, "instruction"), "instruction")
    given = row.get("input") or ""
    if not isinstance(given, str):
        raise InvalidRow(f"input is {_kind(given)}, not text")
    asked = f"{instruction}\n\n{given}" if given.strip() else instruction
    turns = (Message("user", asked), Message("assistant", _text(_required(row, "output"), "output")))
    system = row.get("system")
    return (Message("system", _text(system, "system")), *turns) if system else turns


def _check(messages: tuple[Message, ...]) -> None:
    roles = [message.role for message in messages]
    if "assistant" not in roles:
        raise InvalidRow("has no assistant message, so there is nothing to learn from it")
    if roles[-1] != "assistant":
        raise InvalidRow(f"ends with a {roles[-1]} message; end with the assistant's answer")
    if "system" in roles[1:]:
        raise InvalidRow(f"has a system message at position {roles.index('system', 1)}; it may only come first")
    if roles[0] == "assistant":
        raise InvalidRow("begins with the assistant; begin with a user message")


def _required(row: Mapping[str, Any], key: str) -> Any:
    if key not in row:
        raise InvalidRow(f"has no {key!r}, only {', '.join(sorted(map(str, row))) or 'nothing'}")
    return row[key]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidRow(f"{where} is {_kind(value)}, only text is supported")
    if not value.strip():
        raise InvalidRow(f"{where} is empty")
    return value


def _kind(value: Any) -> str:
    match value:
        case None:
            return "missing"
        case dict():
            return "an object"
        case list():
            return "a list" if value else "an empty list"
        case bool() | int() | float():
            return f"the value {value!r}"
        case _:
            return f"{type(value).__name__} {str(value)[:40]!r}"
