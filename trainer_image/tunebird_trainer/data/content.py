"""What of an example counts for what: its identity, its question, what is learned of it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from tunebird_trainer.config import SplitBy
from tunebird_trainer.data.work import key_of

if TYPE_CHECKING:
    from tunebird_trainer.data.work import Conversation
    from tunebird_trainer.formats import Message


def key(example: Conversation) -> bytes:
    """The same for the same content, wherever it lies."""
    return key_of([[message.role, message.content] for message in example.messages])


def group(example: Conversation, by: SplitBy, own: bytes) -> bytes:
    """What the example may not be separated from: with `conversation`, rows that open with the same words, such as
    the turns of one conversation as rows of their own, or several answers to one question."""
    match by:
        case SplitBy.ROW:
            return own
        case _:
            return key_of([[message.role, normal(message.content)] for message in opening(example)])


def opening(example: Conversation) -> tuple[Message, ...]:
    """The messages before the first answer."""
    first = next(index for index, message in enumerate(example.messages) if message.role == "assistant")
    return example.messages[:first]


def normal(text: str) -> str:
    """Without what doesn't make it another text: case, width, spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
