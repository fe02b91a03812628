"""What is wrong with a config, in the order of the file: the schema's errors as sentences, and a stand-in for values
that can't be read, so that the rules on all the others are still asked."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import re
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from tunebird_trainer.config import Config, camel
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Steps = list[str | int]
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that the schema doesn't allow. `unreadable` says that the value itself is of no use."""

    steps: Steps
    sentence: str
    unreadable: bool = True


class UnreadableValue(Exception):  # noqa: N818  no error, but the end of a question
    """A rule has looked at a value that is wrong in itself."""


class _Unreadable:
    """Stands where a value is wrong or absent: whatever is asked of it has no answer."""

    __slots__ = ()

    def _refuse(self, *_: object) -> NoReturn:
        raise UnreadableValue

    __getattr__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __len__ = __iter__ = _refuse
    __mul__ = __rmul__ = __add__ = __radd__ = __contains__ = __getitem__ = __hash__ = __str__ = _refuse

    def __deepcopy__(self, _: object) -> _Unreadable:
        return self


UNREADABLE = _Unreadable()


class InvalidConfig(Failure):
    """All errors of a config; as lines for a person, as one sentence for a status."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(Reason.INVALID_CONFIG, "; ".join(errors))
        self.lines = errors


def found(schema: dict[str, Any], raw: Any) -> list[Wrong]:
    """What the schema says of a config."""
    import jsonschema_rs

    return [wrong for error in jsonschema_rs.validator_for(schema).iter_errors(raw) for wrong in _told(error)]


def readable(raw: dict[str, Any], wrongs: list[Wrong]) -> dict[str, Any]:
    """The config with the wrong values replaced by the stand-in."""
    held = {"": copy.deepcopy(raw)}
    for wrong in wrongs:
        if wrong.unreadable:
            _put_aside(held, ["", *wrong.steps])
    return held[""]


def answered(rule: Callable[[Config], Iterable[str]], config: Config) -> Iterator[str]:
    """The errors that a rule finds before it comes upon an unreadable value."""
    try:
        yield from rule(config)
    except UnreadableValue:
        return


def ordered(sentences: Iterable[str], raw: Any) -> list[str]:
    """As their fields stand in the file; each sentence begins with its path."""
    return sorted(dict.fromkeys(sentences), key=lambda said: _position(raw, said.partition(": ")[0]))


def _told(error: Any) -> Iterator[Wrong]:
    steps, kind = list(error.instance_path), error.kind.name
    where = _path(steps) or "config"
    if kind in ("anyOf", "oneOf"):
        yield from _closest_branch(error, where)
    elif kind == "additionalProperties":
        for said in _unknown_keys(error.kind.unexpected):
            yield Wrong(steps, f"{where}: {said}", unreadable=False)
    else:
        yield Wrong(steps, f"{where}: {error.message}", unreadable=kind != "required")


def _closest_branch(error: Any, where: str) -> Iterator[Wrong]:
    """For `type or null` the branch that is not null says more than "not valid under any"."""
    branches = [each for branch in error.kind.context for each in branch]
    real = [each for each in branches if 'type "null"' not in each.message]
    if isinstance(error.instance, dict) and real:
        for each in real:
            yield from _told(each)
        return
    said = " or ".join(dict.fromkeys(each.message for each in real)) or error.message
    yield Wrong(list(error.instance_path), f"{where}: {said}")


def _unknown_keys(unexpected: list[str]) -> Iterator[str]:
    known = [camel(each.name) for kind in _kinds(Config) for each in dataclasses.fields(kind)]
    for key in unexpected:
        near = difflib.get_close_matches(key, known, n=1)
        yield f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else ", remove it")


def _put_aside(held: Any, steps: Steps) -> None:
    *parents, last = steps
    for step in parents:
        held = held[step]
        if held is UNREADABLE:
            return
    held[last] = UNREADABLE


def _path(steps: Steps) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _position(raw: Any, path: str) -> list[float]:
    """The place of each step among its siblings; what is absent comes last among them."""
    places: list[float] = []
    for name, index in _STEP.findall(path):
        if isinstance(raw, dict) and name in raw:
            places.append(list(raw).index(name))
            raw = raw[name]
        elif isinstance(raw, list) and index and int(index) < len(raw):
            places.append(int(index))
            raw = raw[int(index)]
        else:
            return [*places, float("inf")]
    return places


def _kinds(kind: type) -> list[type]:
    """The dataclass and every one below it."""
    hints = typing.get_type_hints(kind).values()
    parts = [part for hint in hints for part in (hint, *typing.get_args(hint)) if isinstance(part, type)]
    parts = [part for part in parts if dataclasses.is_dataclass(part)]
    return [kind, *(each for part in parts for each in _kinds(part))]
