"""Conversations become token ids and labels. Works for any chat template: it renders prefixes and compares them, and
needs no generation markers. Every answer's end token is part of the loss, or the model would never learn to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import LossOn
from tunebird_trainer.formats import InvalidRow

if TYPE_CHECKING:
    from tunebird_trainer.formats import Message

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Sequence:
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def learns(self) -> bool:
        return any(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Template:
    """A tokenizer with its chat template, and the ids of its special tokens (dear to ask for on every row)."""

    tokenizer: Any
    special: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Any) -> Template:
        added = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
        return cls(tokenizer, frozenset(added | set(tokenizer.all_special_ids)))


def sequences(messages: tuple[Message, ...], template: Template, loss_on: LossOn) -> tuple[Sequence, ...]:
    """One sequence for the conversation; several when the template rewrites earlier turns as the conversation grows.

    Raises:
        InvalidRow: when the template refuses the conversation or hides where an answer begins.
    """
    text = rendered(messages, template)
    if loss_on is LossOn.ALL:
        return (_tokenized(text, [(0, len(text))], template),)
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    spans = [_span(messages, index, text, template) for index in answers]
    if None not in spans:
        return (_tokenized(text, [span for span in spans if span], template),)
    return tuple(_last_turn_alone(messages[: index + 1], template) for index in answers)


def rendered(messages: tuple[Message, ...], template: Template, *, ask: bool = False) -> str:
    """The conversation as the template writes it; `ask` adds the opening of the assistant's next turn."""
    import jinja2

    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text: str = template.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask)
    except jinja2.TemplateError as error:
        raise InvalidRow(f"is refused by the model's chat template: {error}") from error
    return text


def truncated(sequence: Sequence, length: int) -> Sequence:
    """Cut to `length` tokens, keeping the end token where the cut falls into an answer."""
    if len(sequence.input_ids) <= length:
        return sequence
    ids, labels = list(sequence.input_ids[:length]), list(sequence.labels[:length])
    end = next((label for label in reversed(sequence.labels) if label != IGNORED), None)
    if end is not None and labels[-1] != IGNORED:
        ids[-1] = labels[-1] = end
    return Sequence(tuple(ids), tuple(labels))


def end_tokens(template: Template, generation_ends: tuple[int, ...] = ()) -> frozenset[int]:
    """Every token that ends an answer: the tokenizer's, the model's, and what its template writes after one."""
    ends = {template.tokenizer.eos_token_id, *generation_ends} - {None}
    if template.tokenizer.chat_template:
        ends |= _template_ends(template)
    return frozenset(ends)


def _template_ends(template: Template) -> set[int]:
    from tunebird_trainer.formats import Message

    turns = (Message("user", "Hello"), Message("assistant", "Good day"))
    try:
        (sequence,) = sequences(turns, template, LossOn.COMPLETIONS)
    except InvalidRow:
        return set()
    last = sequence.labels[_last_learned(sequence.labels)]
    return {last} if last in template.special else set()


def _span(messages: tuple[Message, ...], index: int, text: str, template: Template) -> tuple[int, int] | None:
    """Characters of answer `index` in the whole text, or None when the template does not grow by appending."""
    before = rendered(messages[:index], template, ask=True)
    after = rendered(messages[: index + 1], template)
    if text.startswith(before) and text.startswith(after) and len(after) > len(before):
        return len(before), len(after)
    return None


def _last_turn_alone(messages: tuple[Message, ...], template: Template) -> Sequence:
    text = rendered(messages, template)
    span = _span(messages, len(messages) - 1, text, template)
    if span is None:
        raise InvalidRow("can't be masked: the chat template hides where the answer begins; use lossOn: all")
    return _tokenized(text, [span], template)


def _tokenized(text: str, spans: list[tuple[int, int]], template: Template) -> Sequence:
    encoded = template.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]
    labels = [IGNORED] * len(ids)
    for start, end in spans:
        for position in _answer_positions(ids, offsets, (start, end), template):
            labels[position] = ids[position]
    if spans[-1][1] == len(text) and not _ends_with_special(labels, template):
        ids.append(template.tokenizer.eos_token_id)
        labels.append(template.tokenizer.eos_token_id)
    return Sequence(tuple(ids), tuple(labels))


def _answer_positions(ids: list[int], offsets: Any, span: tuple[int, int], template: Template) -> list[int]:
    """Tokens that begin inside the span, up to its last special one: what the template writes after that, say a line
    break, is not the model's to say."""
    inside = [place for place, (start, end) in enumerate(offsets) if span[0] <= start < span[1] and end > start]
    special = template.special
    ends = [place for place in inside if ids[place] in special]
    return [place for place in inside if not ends or place <= ends[-1]]


def _ends_with_special(labels: list[int], template: Template) -> bool:
    return labels[_last_learned(labels)] in template.special


def _last_learned(labels: Any) -> int:
    return max((place for place, label in enumerate(labels) if label != IGNORED), default=-1)
