"""Rows of the accepted formats become examples. One row in, one example or a plain sentence of what is wrong."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from tunebird_trainer.data.examples import (
    Conversation,
    Document,
    Example,
    InvalidRow,
    Message,
    Preference,
    ToolCall,
    Unpaired,
    kind,
    required,
    text,
)
from tunebird_trainer.data.turns import (
    check_opening,
    check_order,
    decoded,
    from_messages,
    from_sharegpt,
    tools,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Conversation", "Document", "Example", "Format", "InvalidRow", "Message", "Preference", "ToolCall", "Unpaired",
    "detected", "example", "gap", "texts",
]  # fmt: skip

# What a template left for somebody to fill in and nobody did.
GAP = re.compile(r"\{\{\s*[\w .-]{1,40}\s*\}\}|\[(?:NAME|ADDRESS|ORDER ID|INSERT [A-Z ]+)\]")
_TRUE, _FALSE = (True, "true", "True", 1, "1"), (False, "false", "False", 0, "0")


class Format(StrEnum):
    MESSAGES = "messages"
    PROMPT_COMPLETION = "promptCompletion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    TEXT = "text"
    PREFERENCE = "preference"
    UNPAIRED = "unpaired"


def detected(row: Any) -> Format | None:
    """The format a row looks like, by its keys; the most specific counts."""
    if not isinstance(row, dict):
        return None
    asked = {"prompt", "messages", "conversations", "instruction"} & row.keys()
    if {"chosen", "rejected"} <= row.keys():
        return Format.PREFERENCE
    if asked and ("kto_tag" in row or str(row.get("label")).lower() in ("true", "false")):
        return Format.UNPAIRED
    if "messages" in row:
        return Format.MESSAGES
    if "conversations" in row:
        return Format.SHAREGPT
    if {"prompt", "completion"} <= row.keys():
        return Format.PROMPT_COMPLETION
    if {"instruction", "output"} <= row.keys():
        return Format.ALPACA
    return Format.TEXT if "text" in row else None


def example(row: Any, format: Format) -> Example:  # noqa: A002  the config's own word
    """The row as a checked value.

    Raises:
        InvalidRow: with what is wrong.
    """
    if not isinstance(row, dict):
        raise InvalidRow(f"is {kind(row)}, not an object")
    whose = _whose(row)
    match format:
        case Format.TEXT:
            return Document(text(required(row, "text"), "text"), **whose)
        case Format.PREFERENCE:
            return _preference(row, whose)
        case Format.UNPAIRED:
            return _unpaired(row, whose)
        case Format.MESSAGES | Format.SHAREGPT | Format.PROMPT_COMPLETION | Format.ALPACA:
            messages = _messages(row, format)
            check_order(messages)
            return Conversation(messages, tools(row.get("tools")), **whose)
        case _ as unreachable:
            assert_never(unreachable)


def texts(found: Example) -> Iterable[str]:
    """Every text of the example that a model would read or learn."""
    match found:
        case Document():
            yield found.text
        case Conversation():
            yield from _said(found.messages)
        case Preference():
            yield from _said(found.prompt + found.chosen + found.rejected)
        case Unpaired():
            yield from _said(found.prompt + found.completion)
        case _ as unreachable:
            assert_never(unreachable)


def gap(found: Example) -> str | None:
    """The first template's gap that nobody filled, such as `{{name}}`. It is read, and not learned."""
    return next((hit.group() for each in texts(found) if (hit := GAP.search(each))), None)


def _said(messages: tuple[Message, ...]) -> Iterable[str]:
    for message in messages:
        if message.content:
            yield message.content
        for call in message.tool_calls:
            yield call.arguments


def _whose(row: dict[str, Any]) -> dict[str, str]:
    """The row's own id and user, as text."""
    metadata = decoded(row.get("metadata"))
    inner = metadata if isinstance(metadata, dict) else {}
    user = next((each for each in (row.get("user"), row.get("user_id"), inner.get("user")) if each is not None), "")
    own = row.get("id")
    return {"id": "" if own is None else str(own), "user": str(user)}


def _messages(row: dict[str, Any], format: Format) -> tuple[Message, ...]:  # noqa: A002
    match format:
        case Format.MESSAGES:
            return _with_system(from_messages(required(row, "messages")), row)
        case Format.SHAREGPT:
            return _with_system(from_sharegpt(required(row, "conversations")), row)
        case Format.PROMPT_COMPLETION:
            return _asked(required(row, "prompt"), "prompt") + _answered(required(row, "completion"), "completion")
        case _:
            return _alpaca_prompt(row) + _answered(required(row, "output"), "output")


def _with_system(messages: tuple[Message, ...], row: dict[str, Any]) -> tuple[Message, ...]:
    if not row.get("system") or messages[0].role == "system":
        return messages
    return (Message("system", text(row["system"], "system")), *messages)


def _asked(value: Any, where: str) -> tuple[Message, ...]:
    """A prompt: text, or messages."""
    if _is_messages(value):
        return from_messages(value, where)
    return (Message("user", text(value, where)),)


def _answered(value: Any, where: str) -> tuple[Message, ...]:
    """An answer: text, one message, one sharegpt turn, or a list of messages."""
    value = decoded(value) if _is_messages(value) or isinstance(value, dict) else value
    if isinstance(value, dict):
        value = [value]
    if _is_messages(value):
        shaped = from_sharegpt if isinstance(value[0], dict) and "from" in value[0] else from_messages
        return shaped(value, where)
    return (Message("assistant", text(value, where)),)


def _is_messages(value: Any) -> bool:
    found = decoded(value) if isinstance(value, str) else value
    return isinstance(found, list) and all(isinstance(each, dict) and {"role", "from"} & each.keys() for each in found)


def _alpaca_prompt(row: dict[str, Any]) -> tuple[Message, ...]:
    """Instruction and input are one question; `history` holds pairs of earlier questions and answers."""
    instruction = text(required(row, "instruction"), "instruction")
    given = row.get("input") or ""
    if not isinstance(given, str):
        raise InvalidRow(f"input is {kind(given)}, not text")
    asked = f"{instruction}\n\n{given}" if given.strip() else instruction
    turns = (*_history(decoded(row.get("history")) or []), Message("user", asked))
    system = row.get("system")
    return (Message("system", text(system, "system")), *turns) if system else turns


def _history(pairs: Any) -> Iterable[Message]:
    if not isinstance(pairs, list):
        raise InvalidRow(f"history is {kind(pairs)}, not a list of pairs of a question and its answer")
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidRow(f"history[{index}] is {kind(pair)}, not a pair of a question and its answer")
        yield Message("user", text(pair[0], f"history[{index}][0]"))
        yield Message("assistant", text(pair[1], f"history[{index}][1]"))


def _preference(row: dict[str, Any], whose: dict[str, str]) -> Preference:
    chosen, rejected = (_answered(required(row, key), key) for key in ("chosen", "rejected"))
    prompt = _prompt(row)
    if prompt is None:
        prompt, chosen, rejected = _shared(chosen, rejected)
    found = Preference(prompt, chosen, rejected, tools(row.get("tools")), **whose)
    check_opening(prompt)
    _check_answer(prompt, chosen, "chosen")
    _check_answer(prompt, rejected, "rejected")
    if chosen == rejected:
        raise InvalidRow("has the same answer as chosen and rejected; nothing is preferred")
    return found


def _prompt(row: dict[str, Any]) -> tuple[Message, ...] | None:
    """What was asked, under whichever name; None where the answers hold it themselves."""
    if "prompt" in row:
        return _with_system(_asked(row["prompt"], "prompt"), row)
    if "conversations" in row:
        return _with_system(from_sharegpt(row["conversations"]), row)
    if "messages" in row:
        return _with_system(from_messages(row["messages"]), row)
    return _alpaca_prompt(row) if "instruction" in row else None


def _shared(
    chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]:
    """Two whole conversations share their beginning: that is the prompt."""
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same] == rejected[same]:
        same += 1
    if not same:
        raise InvalidRow("has no prompt, and chosen and rejected share no first message; add the key prompt")
    return chosen[:same], chosen[same:], rejected[same:]


def _unpaired(row: dict[str, Any], whose: dict[str, str]) -> Unpaired:
    key = "kto_tag" if "kto_tag" in row else "label"
    label = required(row, key)
    if label not in _TRUE + _FALSE:
        raise InvalidRow(f"{key} is {kind(label)}; use true for a good answer and false for a bad one")
    prompt, completion = _prompt_and_answer(row)
    check_opening(prompt)
    _check_answer(prompt, completion, "completion")
    return Unpaired(prompt, completion, label in _TRUE, tools(row.get("tools")), **whose)


def _prompt_and_answer(row: dict[str, Any]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    if "completion" in row or "prompt" in row:
        return _asked(required(row, "prompt"), "prompt"), _answered(required(row, "completion"), "completion")
    if "instruction" in row:
        return _alpaca_prompt(row), _answered(required(row, "output"), "output")
    shape = Format.SHAREGPT if "conversations" in row else Format.MESSAGES
    messages = _messages(row, shape)
    return messages[:-1], messages[-1:]


def _check_answer(prompt: tuple[Message, ...], answer: tuple[Message, ...], where: str) -> None:
    if len(answer) != 1 or answer[0].role != "assistant":
        told = ", ".join(message.role for message in answer)
        raise InvalidRow(f"{where} is {len(answer)} messages ({told}); give one assistant message")
    if not prompt or prompt[-1].role == "assistant":
        raise InvalidRow(f"has no question before {where}; end the prompt with a user or a tool message")
