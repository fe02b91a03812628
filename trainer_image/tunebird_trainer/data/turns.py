"""Messages of a row, in the forms that files have them in: chat messages with tool calls, and sharegpt turns. Checks
each message and the order of the turns; what a row is made of is `formats.py`'s."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tunebird_trainer.data.examples import ROLES, InvalidRow, Message, ToolCall, kind, text

_ALIASES = {"developer": "system", "function": "tool"}
_SPEAKERS = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "system": "system", "tool": "tool", "observation": "tool", "function_response": "tool", "function_call": "call",
}  # fmt: skip
_UNKNOWN = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "images",
    "audio",
    "prefix",
)  # each would change what is learned


def from_messages(items: Any, where: str = "messages") -> tuple[Message, ...]:
    items = decoded(items)
    if not isinstance(items, list) or not items:
        raise InvalidRow(f"{where} is {kind(items)}, not a list with a user and an assistant message")
    return tuple(_message(item, f"{where}[{index}]") for index, item in enumerate(items))


def from_sharegpt(items: Any, where: str = "conversations") -> tuple[Message, ...]:
    items = decoded(items)
    if not isinstance(items, list) or not items:
        raise InvalidRow(f"{where} is {kind(items)}, not a list of turns with from and value")
    turns = [sharegpt_turn(item, f"{where}[{index}]") for index, item in enumerate(items)]
    return _calls_joined(turns)


def sharegpt_turn(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise InvalidRow(f"{where} is {kind(item)}, not an object with from and value")
    speaker = item.get("from")
    if speaker not in _SPEAKERS:
        raise InvalidRow(f"{where}.from is {speaker!r}; use one of {', '.join(_SPEAKERS)}")
    said = text(item.get("value"), f"{where}.value")
    if _SPEAKERS[speaker] == "call":
        return Message("assistant", "", _calls(said, f"{where}.value"))
    return Message(_SPEAKERS[speaker], said)


def tools(value: Any) -> tuple[str, ...]:
    """The row's list of tools, each as the JSON text of {"type": "function", "function": {…}}."""
    value = decoded(value)
    if value is None or value in ("", []):
        return ()
    if not isinstance(value, list):
        raise InvalidRow(f"tools is {kind(value)}, not a list of functions")
    return tuple(_tool(item, f"tools[{index}]") for index, item in enumerate(value))


def decoded(value: Any) -> Any:
    """Columns of CSV and Parquet often hold a list as JSON text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def check_order(messages: tuple[Message, ...]) -> None:
    """The order that every chat template expects, and tools that answer only when asked."""
    roles = [message.role for message in messages]
    if "assistant" not in roles:
        raise InvalidRow("has no assistant message, so there is nothing to learn from it")
    if not any(message.learned for message in messages if message.role == "assistant"):
        raise InvalidRow("gives every answer the weight 0, so there is nothing to learn from it")
    if roles[-1] != "assistant":
        raise InvalidRow(f"ends with a {roles[-1]} message; end with the assistant's answer")
    check_opening(messages)


def check_opening(messages: tuple[Message, ...]) -> None:
    """What `check_order` asks of a conversation that the assistant has not answered yet."""
    roles = [message.role for message in messages]
    if "system" in roles[1:]:
        raise InvalidRow(f"has a system message at position {roles.index('system', 1)}; it may only come first")
    first = next((role for role in roles if role != "system"), "system")
    if first != "user":
        raise InvalidRow(f"begins with the {first}; begin with a user message")
    for index, message in enumerate(messages):
        if message.role == "tool":
            _check_asked(messages[:index], message, index)


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise InvalidRow(f"{where} is {kind(item)}, not an object with role and content")
    for key in _UNKNOWN:
        if item.get(key):
            raise InvalidRow(f"{where}.{key} is not supported; write it into content or remove it")
    role = _ALIASES.get(item.get("role") or "", item.get("role"))
    if role not in ROLES:
        raise InvalidRow(f"{where}.role is {role!r}; use one of {', '.join(ROLES)}")
    calls = _called(item, where)
    if calls and role != "assistant":
        raise InvalidRow(f"{where} has tool_calls and the role {role}; only the assistant calls tools")
    content = "" if calls and not item.get("content") else text(item.get("content"), f"{where}.content")
    call_id, name = (str(item.get(key) or "") for key in ("tool_call_id", "name"))
    return Message(role, content, calls, call_id, name if role == "tool" else "", _learned(item, role, where))


def _learned(item: dict[str, Any], role: str, where: str) -> bool:
    weight = item.get("weight")
    if weight not in (None, 0, 1):
        raise InvalidRow(f"{where}.weight is {weight!r}; use 0 for an answer that is not learned, or 1")
    return weight != 0 or role != "assistant"


def _called(item: dict[str, Any], where: str) -> tuple[ToolCall, ...]:
    asked = decoded(item.get("tool_calls")) or item.get("function_call")
    return _calls(asked, f"{where}.tool_calls") if asked else ()


def _calls(asked: Any, where: str) -> tuple[ToolCall, ...]:
    asked = decoded(asked)
    listed = asked if isinstance(asked, list) else [asked]
    if not listed:
        raise InvalidRow(f"{where} is an empty list; name a function")
    return tuple(_call(each, f"{where}[{index}]") for index, each in enumerate(listed))


def _call(item: Any, where: str) -> ToolCall:
    item = decoded(item)
    if not isinstance(item, dict):
        raise InvalidRow(f"{where} is {kind(item)}, not an object with name and arguments")
    function = item["function"] if isinstance(item.get("function"), dict) else item
    name = text(function.get("name"), f"{where}.name")
    given = function.get("arguments", function.get("parameters"))
    arguments = {} if given in (None, "") else decoded(given)
    if not isinstance(arguments, dict):
        raise InvalidRow(f"{where}.arguments of {name} is {kind(given)}, not an object nor its JSON text")
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False), str(item.get("id") or ""))


def _tool(item: Any, where: str) -> str:
    item = decoded(item)
    if not isinstance(item, dict):
        raise InvalidRow(f"{where} is {kind(item)}, not an object with a function")
    function = item["function"] if isinstance(item.get("function"), dict) else item
    text(function.get("name"), f"{where}.name")
    return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


def _calls_joined(turns: list[Message]) -> tuple[Message, ...]:
    """A call that follows the assistant's words, or another call, is part of the same turn."""
    joined: list[Message] = []
    for turn in turns:
        if turn.tool_calls and joined and joined[-1].role == "assistant":
            joined[-1] = replace(joined[-1], tool_calls=joined[-1].tool_calls + turn.tool_calls)
        else:
            joined.append(turn)
    return tuple(joined)


def _check_asked(before: tuple[Message, ...], answer: Message, index: int) -> None:
    asked = next((message for message in reversed(before) if message.role != "tool"), None)
    if asked is None or not asked.tool_calls:
        raise InvalidRow(f"has a tool message at position {index} that no tool call asked for")
    known = {call.id for call in asked.tool_calls} - {""}
    if answer.tool_call_id and known and answer.tool_call_id not in known:
        raise InvalidRow(
            f"has a tool message at position {index} for the call {answer.tool_call_id!r}, which was not made: "
            f"{', '.join(sorted(known))}"
        )
