"""What of an example counts for what: its identity, its question, what is learned of it, what two are compared by."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from tunebird_trainer.config import LossOn, SplitBy
from tunebird_trainer.data.examples import Conversation, Document, Message, Preference, Unpaired
from tunebird_trainer.data.work import key_of, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunebird_trainer.data.examples import Example

_WORD = re.compile(r"\w+")


def key(example: Example) -> bytes:
    """The same for the same content, wherever it lies and whoever it is from."""
    return key_of(plain(replace(example, id="", user="")))


def group(example: Example, by: SplitBy, own: bytes) -> bytes:
    """What the example may not be separated from: with `conversation`, rows that open with the same words, such as
    the turns of one conversation as rows of their own, or several answers to one question."""
    match by:
        case SplitBy.ROW:
            return own
        case SplitBy.USER:
            return key_of("user", example.user)
        case SplitBy.CONVERSATION:
            first = [[message.role, normal(message.content)] for message in opening(example)]
            return key_of(first) if first else own
        case _ as unreachable:
            assert_never(unreachable)


def opening(example: Example) -> tuple[Message, ...]:
    """The messages before the first answer; none of a document."""
    match example:
        case Document():
            return ()
        case Preference() | Unpaired():
            return example.prompt
        case Conversation(messages=messages):
            return messages[: next(place for place, each in enumerate(messages) if each.role == "assistant")]
        case _ as unreachable:
            assert_never(unreachable)


def asked(example: Example) -> list[str]:
    """Every question of a user, or the document."""
    if isinstance(example, Document):
        return [example.text]
    return [message.content for message in _messages(example) if message.role == "user"]


def answers(example: Example) -> list[str]:
    """Every answer, rejected ones left out."""
    if isinstance(example, Document):
        return []
    return [message.content for message in _messages(example) if message.role == "assistant"]


def learned(example: Example, loss_on: LossOn) -> list[str]:
    """The texts that the model is taught to write."""
    if isinstance(example, Document):
        return [example.text]
    messages = _messages(example)
    return [each.content for each in messages if loss_on is LossOn.ALL or (each.role == "assistant" and each.learned)]


def compared(example: Example) -> str:
    """The words by which two examples are alike: everything, of a preference the prompt and what was chosen."""
    if isinstance(example, Document):
        return normal(example.text)
    said = [
        part for each in _messages(example) for part in (each.content, *(call.arguments for call in each.tool_calls))
    ]
    return normal("\n".join(said))


def mapped(example: Example, change: Callable[[str], str]) -> Example:
    """The example with every text in it changed. Roles, names, ids and users stay."""
    match example:
        case Document():
            return replace(example, text=change(example.text))
        case Conversation():
            return replace(example, messages=_each(example.messages, change))
        case Preference():
            parts = {name: _each(getattr(example, name), change) for name in ("prompt", "chosen", "rejected")}
            return replace(example, **parts)
        case Unpaired():
            return replace(example, prompt=_each(example.prompt, change), completion=_each(example.completion, change))
        case _ as unreachable:
            assert_never(unreachable)


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return _WORD.findall(normal(text))


def normal(text: str) -> str:
    """Without what doesn't make it another text: case, width, spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _messages(example: Conversation | Preference | Unpaired) -> tuple[Message, ...]:
    match example:
        case Conversation():
            return example.messages
        case Preference():
            return example.prompt + example.chosen
        case Unpaired():
            return example.prompt + example.completion
        case _ as unreachable:
            assert_never(unreachable)


def _each(messages: tuple[Message, ...], change: Callable[[str], str]) -> tuple[Message, ...]:
    return tuple(replace(each, content=change(each.content), tool_calls=_calls(each, change)) for each in messages)


def _calls(message: Message, change: Callable[[str], str]) -> tuple[Any, ...]:
    return tuple(
        replace(call, arguments=json.dumps(_inside(json.loads(call.arguments), change), ensure_ascii=False))
        for call in message.tool_calls
    )


def _inside(value: Any, change: Callable[[str], str]) -> Any:
    """JSON with its texts changed. A number that is changed as text becomes text, so that it stays JSON."""
    match value:
        case dict():
            return {name: _inside(each, change) for name, each in value.items()}
        case list():
            return [_inside(each, change) for each in value]
        case str():
            return change(value)
        case bool() | None:
            return value
    return value if (written := change(str(value))) == str(value) else written
