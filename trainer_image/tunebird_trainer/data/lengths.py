"""What happens to an example that is longer than the model may see: dropped, cut, split at its turns, or refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import OnTooLong
from tunebird_trainer.data import masks
from tunebird_trainer.data.examples import Conversation, Document
from tunebird_trainer.data.masks import Pair, Sequence

if TYPE_CHECKING:
    from tunebird_trainer.config import Config
    from tunebird_trainer.data.examples import Example, Message
    from tunebird_trainer.data.masks import Encoded, Template


class TooLong(ValueError):  # noqa: N818  a finding, not a fault of ours
    """The example is too long and may be neither dropped nor cut."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the model will see of one example, and what it won't. Counts are sequences."""

    encoded: tuple[Encoded, ...]
    too_long: int = 0  # left out
    truncated: int = 0
    cut_answers: int = 0  # truncated within an answer: it keeps its end token and loses words
    split: int = 0  # parts beyond the first


def fitted(example: Example, template: Template, config: Config) -> Fitted:
    """Documents of any length fit: they are joined and cut into blocks.

    Raises:
        InvalidRow: see `masks.encoded`.
        TooLong: with onTooLong Fail.
    """
    whole = masks.encoded(example, template, config)
    limit, on_too_long = config.training.max_sequence_length, config.preparation.on_too_long
    long = [each for each in whole if length(each) > limit]
    if not long or isinstance(example, Document):
        return Fitted(whole)
    match on_too_long:
        case OnTooLong.FAIL:
            raise TooLong(
                f"has {length(long[0])} tokens, above maxSequenceLength {limit}; "
                "raise it, shorten the row, or set preparation.onTooLong: Drop, Split or Truncate"
            )
        case OnTooLong.TRUNCATE:
            return _truncated(whole, limit, template)
        case OnTooLong.SPLIT if isinstance(example, Conversation):
            return _split(example, template, config)
        case _:
            return Fitted(tuple(each for each in whole if length(each) <= limit), too_long=len(long))


def length(encoded: Encoded) -> int:
    """Tokens of what the model sees at once."""
    match encoded:
        case Sequence():
            return len(encoded.input_ids)
        case Pair():
            return len(encoded.prompt_ids) + max(len(encoded.chosen_ids), len(encoded.rejected_ids))


def parts(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], list[tuple[Message, ...]]]:
    """The system message, and the turns after it: each begins with a user message that follows an answer."""
    head = messages[:1] if messages[0].role == "system" else ()
    turns: list[tuple[Message, ...]] = []
    for message in messages[len(head) :]:
        if not turns or (message.role == "user" and turns[-1][-1].role != "user"):
            turns.append((message,))
        else:
            turns[-1] += (message,)
    return head, turns


def _split(example: Conversation, template: Template, config: Config) -> Fitted:
    """As many turns a part as fit, each under the same system message and tools."""
    head, turns = parts(example.messages)
    chunks: list[tuple[Message, ...]] = []
    for turn in turns:
        if chunks and _fits(replace(example, messages=head + chunks[-1] + turn), template, config):
            chunks[-1] += turn
        else:
            chunks.append(turn)
    learned = [chunk for chunk in chunks if any(each.role == "assistant" and each.learned for each in chunk)]
    encoded = [_encoded(replace(example, messages=head + chunk), template, config) for chunk in learned]
    limit = config.training.max_sequence_length
    fitting = tuple(each for part in encoded for each in part if length(each) <= limit)
    return Fitted(fitting, too_long=sum(map(len, encoded)) - len(fitting), split=len(chunks) - 1)


def _fits(example: Conversation, template: Template, config: Config) -> bool:
    encoded = _encoded(example, template, config)
    return all(length(each) <= config.training.max_sequence_length for each in encoded)


def _encoded(example: Conversation, template: Template, config: Config) -> tuple[Encoded, ...]:
    if not any(message.role == "assistant" and message.learned for message in example.messages):
        return ()
    return masks.encoded(example, template, config)


def _truncated(whole: tuple[Encoded, ...], limit: int, template: Template) -> Fitted:
    cut = [_cut(each, limit, template) for each in whole]
    kept = [(before, after) for before, after in zip(whole, cut, strict=True) if after is not None]
    changed = [(before, after) for before, after in kept if before != after]
    return Fitted(
        tuple(after for _, after in kept),
        too_long=len(whole) - len(kept),
        truncated=len(changed),
        cut_answers=sum(_loses_words(before, after) for before, after in changed),
    )


def _cut(encoded: Encoded, limit: int, template: Template) -> Any:
    """At most `limit` tokens of it; None when nothing to learn would be left."""
    match encoded:
        case Sequence():
            cut = masks.truncated(encoded, limit, template.special)
            return cut if cut.learns else None
        case Pair():
            room = limit - len(encoded.prompt_ids)
            answers = (_shortened(each, room) for each in (encoded.chosen_ids, encoded.rejected_ids))
            return Pair(encoded.prompt_ids, *answers) if room > 1 else None


def _shortened(answer: tuple[int, ...], room: int) -> tuple[int, ...]:
    return answer if len(answer) <= room else (*answer[: room - 1], answer[-1])


def _loses_words(before: Encoded, after: Encoded) -> bool:
    if isinstance(before, Pair) or isinstance(after, Pair):
        return True
    # The cut within an answer puts its end token in the last place.
    return before.input_ids[: len(after.input_ids)] != after.input_ids
