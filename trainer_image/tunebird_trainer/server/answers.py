"""What a client reads: bodies and stream chunks as vLLM 0.32 writes them, field for field. Pure."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Served:
    """The model as `/v1/models` shows it. `created` is Unix seconds."""

    name: str
    root: str
    context: int
    created: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Head:
    """What every body and chunk of one answer repeats."""

    id: str
    created: int
    served: Served


@dataclass(frozen=True, slots=True)
class Usage:
    prompt: int
    completion: int

    def body(self) -> dict[str, Any]:
        total = self.prompt + self.completion
        return {"prompt_tokens": self.prompt, "total_tokens": total, "completion_tokens": self.completion}


@dataclass(frozen=True, slots=True)
class Ending:
    """Why an answer ended, and at which stop string if at one."""

    reason: str
    stop: str | None = None


def models(served: Served) -> dict[str, Any]:
    entry = {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "tunebird",
        "root": served.root,
        "parent": None,
        "max_model_len": served.context,
        "permission": [_permission(served)],
    }
    return {"object": "list", "data": [entry]}


def completion(head: Head, text: str, ending: Ending, usage: Usage) -> dict[str, Any]:
    return {
        **_head(head, "chat.completion"),
        "choices": [_choice(text, ending)],
        "service_tier": None,
        "system_fingerprint": head.served.fingerprint,
        "usage": {**usage.body(), "prompt_tokens_details": None, "completion_tokens_details": None},
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def first_chunk(head: Head) -> dict[str, Any]:
    delta = {"role": "assistant", "content": ""}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return {**_head(head, "chat.completion.chunk"), "choices": [choice], "prompt_token_ids": None, "prompt_text": None}


def chunk(head: Head, text: str, ending: Ending | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": {"content": text}, "logprobs": None}
    choice["finish_reason"] = ending.reason if ending else None
    if ending:
        choice["stop_reason"] = ending.stop
    choice["token_ids"] = None
    return {**_head(head, "chat.completion.chunk"), "choices": [choice]}


def usage_chunk(head: Head, usage: Usage) -> dict[str, Any]:
    rest = {"usage": usage.body(), "system_fingerprint": head.served.fingerprint}
    return {**_head(head, "chat.completion.chunk"), "choices": [], **rest}


def event(body: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def _head(head: Head, kind: str) -> dict[str, Any]:
    return {"id": head.id, "object": kind, "created": head.created, "model": head.served.name}


def _choice(text: str, ending: Ending) -> dict[str, Any]:
    absent = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text, **absent},
        "logprobs": None,
        "finish_reason": ending.reason,
        "stop_reason": ending.stop,
        "token_ids": None,
        "routed_experts": None,
    }


def _permission(served: Served) -> dict[str, Any]:
    return {
        "id": f"modelperm-{served.fingerprint}",
        "object": "model_permission",
        "created": served.created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": False,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
