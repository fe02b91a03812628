"""What a checked row is: frozen values that the rest of preparation works on, and the words for a row that is not one.

Texts are as the row had them. `id` and `user` are the row's own, empty where it has none; they are never trained on."""

from __future__ import annotations

from dataclasses import dataclass

ROLES = ("system", "user", "assistant", "tool")


class InvalidRow(ValueError):  # noqa: N818  a finding, not a fault of ours
    """What is wrong with one row, in words for the person who owns the file."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The assistant asks for a tool. `arguments` is the JSON text of an object."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `content` may be empty only where there are tool calls. `learned` is False for an answer that its owner
    gave the weight 0: it is read, and not learned."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""  # of a tool's answer
    name: str = ""  # of the tool that answers
    learned: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    """`tools` holds one JSON text for each, in the form {"type": "function", "function": {…}}."""

    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    id: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """`prompt` ends with what the assistant answers; `chosen` and `rejected` hold one assistant message each."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    id: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A prompt, one answer, and whether that is a good one."""

    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    label: bool
    tools: tuple[str, ...] = ()
    id: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    text: str
    id: str = ""
    user: str = ""


Example = Conversation | Preference | Unpaired | Document


def required(row: dict[str, object], key: str) -> object:
    if key not in row:
        raise InvalidRow(f"has no {key!r}, only {', '.join(sorted(map(str, row))) or 'nothing'}")
    return row[key]


def text(value: object, where: str) -> str:
    """Text with something in it. A list of text parts, as some APIs write it, counts as their concatenation."""
    if isinstance(value, list) and value and all(_is_text_part(part) for part in value):
        value = "".join(part["text"] for part in value)
    if not isinstance(value, str):
        raise InvalidRow(f"{where} is {kind(value)}, only text is supported")
    if not value.strip():
        raise InvalidRow(f"{where} is empty")
    return value


def kind(value: object) -> str:
    """A value in words, shortened."""
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


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
