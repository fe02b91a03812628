"""Examples become token ids and labels. Works for any chat template: it renders prefixes and compares them, and
needs no generation markers. Every answer's end token is part of the loss, or the model would never learn to stop; gaps
and redacted words are not, or it would learn to write them."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, assert_never

from tunebird_trainer.config import LossOn, Objective
from tunebird_trainer.data.examples import Conversation, Document, InvalidRow, Message, Preference, Unpaired
from tunebird_trainer.data.formats import GAP
from tunebird_trainer.data.redaction import PLACEHOLDERS
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from tunebird_trainer.config import Config
    from tunebird_trainer.data.examples import Example

IGNORED = -100
# What redaction writes in place of what it found, and gaps that nobody filled.
_NOT_LEARNED = re.compile("|".join([*map(re.escape, PLACEHOLDERS.values()), GAP.pattern]))


@dataclass(frozen=True, slots=True)
class Sequence:
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def learns(self) -> bool:
        return any(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt and two answers; each answer ends with its end token, and all of it is in the loss."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]


Encoded = Sequence | Pair


@dataclass(frozen=True, slots=True)
class Template:
    """A tokenizer with its chat template, and its special tokens (dear to ask for on every row)."""

    tokenizer: Any
    special: frozenset[int]
    controls: re.Pattern[str]  # the special tokens as text

    @classmethod
    def of(cls, tokenizer: Any) -> Template:
        added = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
        special = frozenset(added | set(tokenizer.all_special_ids))
        words = sorted(filter(None, tokenizer.convert_ids_to_tokens(sorted(special))), key=len, reverse=True)
        return cls(tokenizer, special, re.compile("|".join(map(re.escape, words)) or "(?!)"))


def encoded(example: Example, template: Template, config: Config) -> tuple[Encoded, ...]:
    """The example as the model will see it, however long that is; `lengths.fitted` makes it fit.

    Raises:
        InvalidRow: when the template refuses the row or hides where an answer begins.
        Failure: InvalidDataset when the objective has no use for such rows.
    """
    match example, config.method.objective:
        case Conversation(), Objective.SFT:
            return sequences(example.messages, template, config.training.loss_on, example.tools)
        case Preference(), Objective.DPO:
            return (pair(example, template),)
        case Document(), Objective.CONTINUE:
            return (document(example.text, template),)
    raise Failure(Reason.INVALID_DATASET, unsuitable(example, config.method.objective))


def unsuitable(example: Example, objective: Objective) -> str:
    """Why the objective doesn't train on such rows, and which does."""
    match example:
        case Conversation():
            return f"method.objective: {objective} doesn't train on conversations; use sft"
        case Preference():
            return f"method.objective: {objective} doesn't train on preferences; use dpo"
        case Document():
            return f"method.objective: {objective} doesn't train on plain text; use continue"
        case Unpaired():
            return f"method.objective: {objective} doesn't train on labelled answers, nor does any other yet"
        case _ as unreachable:
            assert_never(unreachable)


def sequences(
    messages: tuple[Message, ...], template: Template, loss_on: LossOn, tools: tuple[str, ...] = ()
) -> tuple[Sequence, ...]:
    """One sequence for the conversation; several when the template rewrites earlier turns as the conversation grows,
    or writes no end token after them.

    Raises:
        InvalidRow: when the template refuses the conversation or hides where an answer begins.
    """
    text = _checked(messages, template, tools)
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    learned = [index for index in answers if messages[index].learned]
    if loss_on is LossOn.ALL:
        held_back = [_answer(messages, index, text, template, tools) for index in answers if index not in learned]
        return (_tokenized(text, [(0, _end(text, (0, len(text)), template))], held_back, template),)
    spans = [_span(messages, index, text, template, tools) for index in learned]
    if all(span and (span[1] == len(text) or _ends(text, span, template)) for span in spans):
        ended = [(span[0], _end(text, span, template)) for span in spans if span]
        return (_tokenized(text, ended, [], template),)
    return tuple(_last_turn_alone(messages[: index + 1], template, tools) for index in learned)


def pair(example: Preference, template: Template) -> Pair:
    """Both answers after the prompt's own tokens, as the model meets them when it is asked."""
    wholes = [example.prompt + answer for answer in (example.chosen, example.rejected)]
    chosen, rejected = (_last_turn_alone(whole, template, example.tools) for whole in wholes)
    first, second = (_split_at_answer(each) for each in (chosen, rejected))
    if first[0] != second[0]:
        raise InvalidRow("can't be compared: the chat template writes the prompt differently for each answer")
    return Pair(first[0], first[1], second[1])


def document(text: str, template: Template) -> Sequence:
    """All of the text and the end token; no chat template."""
    whole = _tokenized(text, [(0, len(text))], [], template)
    begin = template.tokenizer.bos_token_id
    if begin is None or begin == template.tokenizer.eos_token_id or not _adds_bos(template):
        return whole
    return Sequence((begin, *whole.input_ids), (IGNORED, *whole.labels))


def rendered(
    messages: tuple[Message, ...], template: Template, tools: tuple[str, ...] = (), *, ask: bool = False
) -> str:
    """The conversation as the template writes it; `ask` adds the opening of the assistant's next turn."""
    import jinja2

    turns = [as_json(message) for message in messages]
    listed = [json.loads(tool) for tool in tools] or None
    try:
        text: str = template.tokenizer.apply_chat_template(
            turns, tools=listed, tokenize=False, add_generation_prompt=ask
        )
    except (jinja2.TemplateError, TypeError) as error:
        raise InvalidRow(f"is refused by the chat template: {error}") from error
    return text


def as_json(message: Message) -> dict[str, Any]:
    """A message as chat templates and model servers take it; arguments are objects."""
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        written["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
            | ({"id": call.id} if call.id else {})
            for call in message.tool_calls
        ]
    for key in ("tool_call_id", "name"):
        if value := getattr(message, key):
            written[key] = value
    return written


def truncated(sequence: Sequence, length: int, special: frozenset[int] = frozenset()) -> Sequence:
    """Cut to `length` tokens, keeping the end token where the cut falls into an answer. `special` tells such a cut also
    where it falls on a word of the answer that is not learned."""
    if len(sequence.input_ids) <= length:
        return sequence
    ids, labels = list(sequence.input_ids[:length]), list(sequence.labels[:length])
    end = sequence.labels[_last_learned(sequence.labels)]
    before = labels[_last_learned(labels)]
    unfinished = bool(special) and before != IGNORED and before not in special
    if end != IGNORED and (labels[-1] != IGNORED or unfinished):
        ids[-1] = labels[-1] = end
    return Sequence(tuple(ids), tuple(labels))


def end_tokens(template: Template, generation_ends: tuple[int, ...] = ()) -> frozenset[int]:
    """Every token that ends an answer: the tokenizer's, the model's, and what its template writes after one."""
    ends = {template.tokenizer.eos_token_id, *generation_ends} - {None}
    if template.tokenizer.chat_template:
        ends |= _template_ends(template)
    return frozenset(ends)


def _template_ends(template: Template) -> set[int]:
    turns = (Message("user", "Hello"), Message("assistant", "Good day"))
    try:
        (sequence,) = sequences(turns, template, LossOn.COMPLETIONS)
    except InvalidRow:
        return set()
    last = sequence.labels[_last_learned(sequence.labels)]
    return {last} if last in template.special else set()


def _checked(messages: tuple[Message, ...], template: Template, tools: tuple[str, ...]) -> str:
    """The rendered text, after what a template would do silently: obey a control token, or leave out a tool."""
    for index, message in enumerate(messages):
        said = (message.content, *(call.arguments for call in message.tool_calls))
        if found := next((hit.group() for part in said if (hit := template.controls.search(part))), None):
            raise InvalidRow(f"has the control token {found} in the text of message {index}; remove or reword it")
    text = rendered(messages, template, tools)
    names = [call.name for message in messages for call in message.tool_calls]
    names += [json.loads(tool)["function"]["name"] for tool in tools]
    if missing := next((name for name in names if name not in text), None):
        raise InvalidRow(f"uses the tool {missing}, which the chat template leaves out; use qwen, llama3 or mistral")
    return text


def _span(
    messages: tuple[Message, ...], index: int, text: str, template: Template, tools: tuple[str, ...]
) -> tuple[int, int] | None:
    """Characters of answer `index` in the whole text, or None when the template does not grow by appending."""
    before = rendered(messages[:index], template, tools, ask=True)
    after = rendered(messages[: index + 1], template, tools) if index + 1 < len(messages) else text
    if text.startswith(before) and text.startswith(after) and len(after) > len(before):
        return len(before), len(after)
    return None


def _answer(
    messages: tuple[Message, ...], index: int, text: str, template: Template, tools: tuple[str, ...]
) -> tuple[int, int]:
    span = _span(messages, index, text, template, tools)
    if span is None:
        raise InvalidRow("can't be masked: the chat template hides where the answer begins; use lossOn: all")
    return span[0], _end(text, span, template)


def _ends(text: str, span: tuple[int, int], template: Template) -> bool:
    return _after_control(text, span, template) is not None


def _end(text: str, span: tuple[int, int], template: Template) -> int:
    """Where the answer ends: what the template writes after the end token, say a line break, is not the model's."""
    after = _after_control(text, span, template)
    return span[1] if after is None else after


def _after_control(text: str, span: tuple[int, int], template: Template) -> int | None:
    """The place after the special token that ends the span, if one does."""
    last = None
    for last in template.controls.finditer(text, *span):  # noqa: B007
        pass
    return last.end() if last and not text[last.end() : span[1]].strip() else None


def _last_turn_alone(messages: tuple[Message, ...], template: Template, tools: tuple[str, ...]) -> Sequence:
    text = _checked(messages, template, tools)
    return _tokenized(text, [_answer(messages, len(messages) - 1, text, template, tools)], [], template)


def _split_at_answer(sequence: Sequence) -> tuple[tuple[int, ...], tuple[int, ...]]:
    start = next(place for place, label in enumerate(sequence.labels) if label != IGNORED)
    return sequence.input_ids[:start], sequence.input_ids[start : _last_learned(sequence.labels) + 1]


def _tokenized(
    text: str, spans: list[tuple[int, int]], held_back: list[tuple[int, int]], template: Template
) -> Sequence:
    """Learns the tokens that begin inside the spans, but none that overlaps what is held back or a placeholder."""
    ids, offsets = _ids(text, [start for start, _ in spans], template)
    starts = [start for start, _ in offsets]
    labels = [IGNORED] * len(ids)
    for start, end in spans:
        for place in range(bisect_left(starts, start), bisect_left(starts, end)):
            labels[place] = ids[place] if offsets[place][1] > offsets[place][0] else IGNORED
    if spans[-1][1] == _end(text, (spans[-1][0], len(text)), template) and labels:
        _append_end(ids, labels, template)
    for start, end in [*held_back, *(hit.span() for hit in _NOT_LEARNED.finditer(text))]:
        for place in range(max(0, bisect_left(starts, start) - 1), bisect_left(starts, end)):
            if offsets[place][1] > start:
                labels[place] = IGNORED
    return Sequence(tuple(ids), tuple(labels))


def _append_end(ids: list[int], labels: list[int], template: Template) -> None:
    if labels[_last_learned(labels)] not in template.special:
        ids.append(template.tokenizer.eos_token_id)
        labels.append(template.tokenizer.eos_token_id)


def _ids(text: str, cuts: list[int], template: Template) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids and their characters. What comes before a cut gives the tokens that it gives alone, as when the model
    is asked; where it wouldn't, the parts are tokenized apart."""
    ids, offsets = _raw(text, template)
    controls = [found.start() for found in template.controls.finditer(text)] if cuts else []
    if not any(_differs(text, cut, (ids, offsets), controls, template) for cut in cuts):
        return ids, offsets
    ids, offsets = [], []
    for start, end in pairwise([0, *cuts, len(text)]):
        more, places = _raw(text[start:end], template)
        ids += more
        offsets += [(first + start, last + start) for first, last in places]
    return ids, offsets


def _raw(text: str, template: Template) -> tuple[list[int], list[tuple[int, int]]]:
    encoding = template.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(encoding["input_ids"]), list(encoding["offset_mapping"])


def _differs(
    text: str, cut: int, tokens: tuple[list[int], list[tuple[int, int]]], controls: list[int], template: Template
) -> bool:
    """Whether the tokens before the cut depend on what follows: one lies across it, or white space was divided with a
    look ahead. Nothing reaches over a control token, so only the text after the last one is tried."""
    ids, offsets = tokens
    place = _first_at(offsets, cut)
    if place and offsets[place - 1][1] > cut:
        return True
    if not text[:cut][-1:].isspace():
        return False
    last = bisect_left(controls, cut)
    begin = controls[last - 1] if last else 0
    return _raw(text[begin:cut], template)[0] != ids[_first_at(offsets, begin) : place]


def _first_at(offsets: list[tuple[int, int]], cut: int) -> int:
    return bisect_left(offsets, cut, key=lambda each: each[0])


def _adds_bos(template: Template) -> bool:
    return template.tokenizer("a")["input_ids"][:1] == [template.tokenizer.bos_token_id]


def _last_learned(labels: Any) -> int:
    return max((place for place, label in enumerate(labels) if label != IGNORED), default=-1)
