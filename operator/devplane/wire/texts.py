"""Bodies that are text, JSON or YAML: what they say, or why they can't be read. None costs more than it is.

JSON is bounded by its size; YAML, whose aliases repeat what they name, by what it says when they are followed. Neither
may be nested deeper than an object can be stored and shown: a parser that recurses would end the process.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from devplane.errors import ApiError

DEEPEST = 200
MOST_NODES = 100_000
"""Of a YAML body: far more than any object has, and read within a second."""


def parse_json(body: bytes, kind: str) -> Any:
    """The value of a JSON body that should hold an object of `kind`; 400 for what is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = body.decode(errors="replace")
        why = f"couldn't get version/kind; json parse error: {_json_error(text, error.msg)}"
        raise ApiError.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why}") from None
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        check_depth(value)
    return value


def _json_error(text: str, said: str) -> str:
    """A broken body as Go's decoder complains of it, with the beginning of the body."""
    if "depth limit" in said:
        return "exceeded max depth"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text):
            return "unexpected end of JSON input"
        expected = "object key string" if "property name" in error.msg else "value"
        shown = text if len(text) <= 64 else f"{text[:64]} ..."
        return f"invalid character '{text[error.pos]}' looking for beginning of {expected} ({shown})"
    except RecursionError:
        return "exceeded max depth"
    return "invalid UTF-8"


def check_depth(value: Any) -> None:
    """400 for a value that is nested too deeply."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ApiError.bad_request(f"the object is nested more than {DEEPEST} levels deep; make it flatter")
        inner = [one for value in level for one in (value.values() if isinstance(value, dict) else value)]
        level = [one for one in inner if isinstance(one, dict | list)]


def parse_yaml(body: bytes) -> Any:
    """The value of a YAML body; 400 for what is none, or holds what JSON has no word for."""
    import yaml

    try:
        _check_yaml(body)
        value = yaml.load(body, Loader=_loader())  # noqa: S506 (it is a safe loader)
        return orjson.loads(orjson.dumps(value, default=str))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ApiError.bad_request(f"error decoding YAML: {error}") from None


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_yaml(body: bytes) -> None:
    """Refuse what is too deep, or too much when its aliases are followed, before anything recurses into it."""
    import yaml

    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str, int]] = []
    total = 0
    for event in yaml.parse(body, Loader=_loader()):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor] = total - before
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        total += sizes.get(event.anchor or "", 1) if isinstance(event, yaml.AliasEvent) else 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor or "", total))
        if len(open_nodes) > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep; make it flatter")
        if total > MOST_NODES:
            raise ValueError(f"it holds more than {MOST_NODES} values; send JSON, or several objects")


def apply_body(body: bytes) -> Any:
    """An apply configuration: YAML, which clients send as JSON."""
    if body.lstrip()[:1] == b"{":
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return parse_yaml(body)
        check_depth(value)
        return value
    return parse_yaml(body)
