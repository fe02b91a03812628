"""What a client may ask: the body of a chat request, checked and turned into values. No model, no I/O."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tunebird_trainer.server import errors
from tunebird_trainer.server.errors import Refusal

# Fields that would change the answer if they were ignored, with the values at which they change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "structured_outputs": (None,),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "logit_bias": (None, {}),
    "top_k": (None, 0, -1),
    "min_p": (None, 0),
    "min_tokens": (None, 0),
    "stop_token_ids": (None, []),
    "ignore_eos": (None, False),
    "include_stop_str_in_output": (None, False),
    "chat_template": (None,),
}


class StreamOptions(BaseModel):
    include_usage: bool | None = False


class ChatBody(BaseModel):
    """The part of OpenAI's request that this server reads. Unknown fields are kept so that they can be refused."""

    model_config = ConfigDict(extra="allow")

    messages: list[dict[str, Any]]
    model: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 takes the likeliest; without a seed the draw differs each time."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the model's own generation config says where a request is silent."""

    temperature: float = 1.0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose shape is right. Whether it fits the context is known only with the prompt's length."""

    body: ChatBody
    messages: tuple[dict[str, Any], ...]
    stop: tuple[str, ...]

    @property
    def streams(self) -> bool:
        return bool(self.body.stream)

    @property
    def wants_usage(self) -> bool:
        return bool(self.body.stream_options and self.body.stream_options.include_usage)


def asked(text: str, served: str) -> Asked:
    """Raises Refusal: 400 for a body that doesn't parse or asks for too much, 404 for another model."""
    try:
        body = ChatBody.model_validate_json(text)
    except ValidationError as error:
        raise _misshapen(error) from error
    if body.model is not None and body.model != served:
        raise errors.unknown_model(body.model, served)
    _refuse_unsupported(body)
    _check_ranges(body)
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Asked(body, tuple(_flat(message) for message in body.messages), tuple(text for text in stop if text))


def sampling(request: Asked, prompt_tokens: int, context: int, defaults: Defaults) -> Sampling:
    """Raises Refusal if prompt and answer don't fit into `context` tokens."""
    body = request.body
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    _check_context(limit, prompt_tokens, context)
    return Sampling(
        temperature=defaults.temperature if body.temperature is None else body.temperature,
        top_p=defaults.top_p if body.top_p is None else body.top_p,
        max_tokens=context - prompt_tokens if limit is None else limit,
        stop=request.stop,
        seed=body.seed,
    )


def _check_context(limit: int | None, prompt: int, context: int) -> None:
    if limit is not None and limit > context:
        text = f"max_tokens={limit} cannot be greater than max_model_len={context}. Please request fewer output tokens."
        raise errors.invalid(text, "max_tokens", limit)
    if prompt >= context:
        least = min(prompt, context + 1)
        text = (
            f"This model's maximum context length is {context} tokens. However, your prompt contains at least {least} "
            "input tokens, which exceeds this limit even without any output tokens. "
            "Please reduce the length of the input prompt."
        )
        raise errors.invalid(text, "input_tokens", least)
    if limit is not None and prompt + limit > context:
        text = (
            f"This model's maximum context length is {context} tokens, but {prompt} input tokens and {limit} output "
            "tokens were requested. Please shorten the prompt or request fewer output tokens."
        )
        raise errors.invalid(text, "max_tokens", limit)


def _check_ranges(body: ChatBody) -> None:
    if body.temperature is not None and not 0 <= body.temperature <= 2:
        text = f"temperature must be in [0, 2], got {body.temperature}."
        raise errors.invalid(text, "temperature", body.temperature)
    if body.top_p is not None and not 0 < body.top_p <= 1:
        raise errors.invalid(f"top_p must be in (0, 1], got {body.top_p}.", "top_p", body.top_p)
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(body, name)
        if value is not None and value < 1:
            raise errors.invalid(f"{name} must be at least 1, got {value}.", name, value)
    if body.seed is not None and not -(2**63) <= body.seed < 2**63:
        raise errors.invalid("seed must fit in 64 bits.", "seed", body.seed)
    if not body.messages:
        raise errors.invalid("messages must hold at least one message.", "messages", [])


def _refuse_unsupported(body: ChatBody) -> None:
    given = body.model_extra or {}
    for name, neutral in _NEUTRAL.items():
        if given.get(name) not in neutral:
            raise errors.unsupported(name, given[name], "leave it out")


def _flat(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose content is one string, as chat templates of text models expect."""
    content = message.get("content")
    if not isinstance(content, list):
        return {**message, "content": "" if content is None else str(content)}
    parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
    if len(parts) != len(content):
        raise errors.unsupported("messages.content", "a part that is not text", "send text parts only")
    return {**message, "content": "\n".join(str(part.get("text", "")) for part in parts)}


def _misshapen(error: ValidationError) -> Refusal:
    found = error.errors(include_url=False, include_context=False)
    lines = [f"  {_location(one['loc'])}: {_described(one)}" for one in found]
    plural = "" if len(found) == 1 else "s"
    message = "\n".join([f"{len(found)} validation error{plural}:", *lines])
    return Refusal(400, "Bad Request", message, _location(found[0]["loc"]))


def _described(one: Any) -> str:
    """In words: vLLM prints a Python dict here, which says no more to a client."""
    return str(one["msg"]) if one["type"] == "missing" else f"{one['msg']}, not {_shown(one['input'])}"


def _location(path: tuple[int | str, ...]) -> str:
    return ".".join(["body", *map(str, path)])


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        kind = "a list" if isinstance(value, list) else "an object"
        return f"{kind} of {len(value)} items"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
