"""What is wrong with one case of a suite, in words, and beyond what pydantic says at once: an unknown key hides neither
the key that it was meant to be nor what the case lacks as a whole."""

from __future__ import annotations

import copy
import difflib
import json
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from tunebird_checks.kinds import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {tag: kind for kind in get_args(get_args(Check)[0]) for tag in get_args(kind.model_fields["type"].annotation)}
_SHOWN = 60  # characters of a wrong value


def found(raw: Any, case: type[BaseModel]) -> list[str]:
    """One sentence a fault; none where `raw` is a case."""
    errors = _errors(raw, case)
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    if unknown:
        errors = [*unknown, *_errors(_without(raw, unknown), case)]
    return [_said(error, case) for error in errors if not _follows(error)]


def _errors(raw: Any, case: type[BaseModel]) -> list[Any]:
    try:
        case.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        return list(error.errors(include_url=False))
    return []


def _without(raw: Any, errors: list[Any]) -> Any:
    left = copy.deepcopy(raw)
    for error in errors:
        place, (*above, last) = left, _steps(error)
        for step in above:
            place = place[step]
        del place[last]
    return left


def _follows(error: Any) -> bool:
    """A list counts as empty where its entries are faulty, which was said of them."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _steps(error: Any) -> list[str | int]:
    """Without the kind of a check, which pydantic puts after its index."""
    return [step for place, step in enumerate(error["loc"]) if not (place == 2 and step in _KINDS)]


def _said(error: Any, case: type[BaseModel]) -> str:
    steps, message = _steps(error), _message(error, case)
    if error["type"].startswith("union_tag_"):
        steps.append("type")
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
    return f"{path}: {message}" if path else message


def _message(error: Any, case: type[BaseModel]) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "unknown key" + (_meant(error["loc"][-1], _known(error["loc"], case)) or ", remove it")
        case "union_tag_invalid":
            tag = error["ctx"]["tag"]
            return f"{tag!r} is none of {', '.join(_KINDS)}" + _meant(tag, _KINDS).replace(",", ";", 1)
        case "union_tag_not_found":
            return f"missing; give one of {', '.join(_KINDS)}"
        case "missing":
            return "missing"
        case "tuple_type" | "list_type":
            return f"should be a list, not {_shown(error)}"
        case "too_short" | "string_too_short":
            return "is empty"
    message: str = error["msg"].removeprefix("Value error, ")
    return f"{message.removeprefix('Input ')}, not {_shown(error)}" if message.startswith("Input ") else message


def _shown(error: Any) -> str:
    value = repr(error["input"])
    return value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"


def _meant(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _known(place: tuple[str | int, ...], case: type[BaseModel]) -> list[str]:
    """The keys that the object there may have."""
    if place[0] == "checks" and len(place) > 2:
        return list(_keys(_KINDS[str(place[2])]))
    if len(place) == 1:
        return list(_keys(case))
    return [key for part in _parts(case.model_fields[_field(case, place[0])].annotation) for key in _keys(part)]


def _field(case: type[BaseModel], key: str | int) -> str:
    return next(name for name, field in case.model_fields.items() if key in (name, field.alias))


def _keys(kind: type[BaseModel]) -> Iterator[str]:
    return (field.alias or name for name, field in kind.model_fields.items())


def _parts(hint: Any) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for each in get_args(hint):
        yield from _parts(each)
