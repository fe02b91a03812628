"""The chat template of a run: the model's own, a named one of `chat_templates/`, or a Jinja file. Training, evaluation
and serving use the very same one, because it is set on the tokenizer and saved with it."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Objective
from tunebird_trainer.data import masks
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import sources

if TYPE_CHECKING:
    from tunebird_trainer.config import Config

_FOLDER = Path(__file__).parent / "chat_templates"
NAMES = ("alpaca", "chatml", "gemma", "llama2", "llama3", "mistral", "qwen", "vicuna")
_END = re.compile(r'{%- set end_token = "([^"]+)" %}')  # the line in a named template that says how answers end


def apply(tokenizer: Any, config: Config) -> None:
    """Set the tokenizer's chat template. The vocabulary never grows: a named template whose end token the tokenizer
    lacks ends answers by the tokenizer's own, and says so.

    Raises:
        Failure: InvalidConfig when there is no such template or it can't be compiled.
    """
    asked = config.model.chat_template
    if asked == "model":
        if not tokenizer.chat_template and config.method.objective is not Objective.CONTINUE:
            remedy = f"choose an instruction-tuned model, or name a template: {', '.join(NAMES)}"
            raise Failure(Reason.INVALID_CONFIG, f"model.chatTemplate: {config.model.uri} has none; {remedy}")
        return
    text = _file(asked) if "://" in asked else named(asked)
    tokenizer.chat_template = _with_known_end(text, tokenizer, asked)
    _check_compiles(tokenizer, asked)
    print(f"template: {asked}, answers end with {_told(tokenizer)}", flush=True)


def named(asked: str) -> str:
    """The text of a named template; `Llama 3` and `llama-3` are `llama3`."""
    name = re.sub(r"[\s_.-]", "", asked.lower())
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = (
            f"did you mean {near[0]}?" if near else f"use model, one of {', '.join(NAMES)}, or a file:// or pvc:// URI"
        )
        raise Failure(Reason.INVALID_CONFIG, f"model.chatTemplate: {asked!r} is unknown; {hint}")
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def stop_token_ids(tokenizer: Any, generation_ends: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Every token that ends an answer: the tokenizer's, those that the model came with, and the template's."""
    return tuple(sorted(masks.end_tokens(masks.Template.of(tokenizer), generation_ends)))


def _file(uri: str) -> str:
    path = sources.place(uri)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise Failure(Reason.INVALID_CONFIG, f"model.chatTemplate: {uri} can't be read: {said}; correct it") from error


def _with_known_end(text: str, tokenizer: Any, asked: str) -> str:
    found = _END.search(text)
    if found is None:
        return text
    end = found.group(1)
    if end in tokenizer.get_vocab():
        _make_special(tokenizer, end)
        return text
    if tokenizer.eos_token is None:
        raise Failure(
            Reason.INVALID_CONFIG,
            f"model.chatTemplate: {asked} ends answers with {end}, which the tokenizer lacks, and it has no end token "
            "of its own; choose another template",
        )
    print(f"template: {end} is not in the vocabulary: answers end with {tokenizer.eos_token} instead", flush=True)
    return text.replace(found.group(), f"{{%- set end_token = {json.dumps(tokenizer.eos_token)} %}}")


def _make_special(tokenizer: Any, end: str) -> None:
    """An end token is never part of a text, even where the tokenizer had it as an ordinary word."""
    if tokenizer.convert_tokens_to_ids(end) not in masks.Template.of(tokenizer).special:
        tokenizer.add_special_tokens({"extra_special_tokens": [end]}, replace_extra_special_tokens=False)


def _check_compiles(tokenizer: Any, asked: str) -> None:
    import jinja2

    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    except jinja2.TemplateSyntaxError as error:
        where = f"{asked}:{error.lineno}"
        raise Failure(Reason.INVALID_CONFIG, f"model.chatTemplate: {where}: {error.message}; correct it") from error
    except jinja2.TemplateError:
        return  # it refuses this conversation; the rows will tell which it takes


def _told(tokenizer: Any) -> str:
    return ", ".join(tokenizer.convert_ids_to_tokens(stop_token_ids(tokenizer)))
