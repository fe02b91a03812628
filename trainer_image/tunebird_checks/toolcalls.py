"""Tool calls as a server hands them over, or as models write them into their text."""

from __future__ import annotations

import json
import re
from typing import Any

from tunebird_checks.answers import Answer, ToolCall

# Hermes, Qwen; Llama 3 with <|python_tag|>; Mistral's [TOOL_CALLS].
_TAGGED = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_LEADS = ("<|python_tag|>", "[TOOL_CALLS]", "<functioncall>")


def calls(answer: Answer) -> tuple[ToolCall, ...]:
    """The calls the server parsed; without them those in the text."""
    return answer.tool_calls or _written(answer.text)


def holds(found: Any, wanted: Any) -> bool:
    """Everything that is wanted is there; objects may hold more."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and holds(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        pairs = zip(found, wanted, strict=False) if isinstance(found, list) else ()
        return isinstance(found, list) and len(found) == len(wanted) and all(holds(a, b) for a, b in pairs)
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    return bool(found == wanted)


def parsed(value: Any) -> ToolCall | None:
    """A call out of `{"name", "arguments"}`, arguments as an object or as JSON text."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return None
    return ToolCall(value["name"], arguments) if isinstance(arguments, dict) else None


def _written(text: str) -> tuple[ToolCall, ...]:
    tagged = [_json(part) for part in _TAGGED.findall(text)]
    if not tagged:
        bare = text.strip()
        for lead in _LEADS:
            bare = bare.removeprefix(lead).strip()
        whole = _json(bare)
        tagged = whole if isinstance(whole, list) else [whole]
    found = [parsed(value) for value in tagged]
    return tuple(call for call in found if call is not None)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
