"""Reads the config of a run. All errors at once, each with its path and what would fix it."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_trainer import config as configs
from tunebird_trainer import config_errors, config_rules
from tunebird_trainer.config import Config, camel
from tunebird_trainer.config_errors import UNREADABLE, InvalidConfig
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA_NAME = "trainer-config.schema.json"


@dataclass(frozen=True, slots=True)
class Limit:
    """A value that this version can't carry out: refused by name, never ignored. `asked` gives it, None is fine."""

    path: str
    asked: Callable[[Config], object | None]
    remedy: str


def _other(value: object, *supported: object) -> object | None:
    return None if value in supported else value


LIMITS = (
    Limit(
        "datasets.format",
        lambda c: next((d.format for d in c.datasets if d.format == "unpaired"), None),
        "use preference with objective dpo, or one of the formats of conversations with sft",
    ),
)


def load(path: Path) -> Config:
    """Read, check against the schema, then across fields.

    Raises:
        Failure: InvalidConfig with every error found.
    """
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise Failure(
            Reason.INVALID_CONFIG, f"config {path.absolute()} can't be read: {error.strerror}; check the path"
        ) from error
    except ValueError as error:
        raise Failure(Reason.INVALID_CONFIG, f"config {path} is not JSON: {error}{_comment(error)}") from error
    return parse(raw)


def _comment(error: ValueError) -> str:
    """What is to be said where JSON ends because a comment begins."""
    rest = error.doc[error.pos :].lstrip() if isinstance(error, json.JSONDecodeError) else ""
    return "; JSON knows no comments: remove this one" if rest.startswith(("//", "/*", "#")) else ""


def parse(raw: Any) -> Config:
    """Raises:
    InvalidConfig: with the schema's errors, and those of every rule whose fields can be read all the same.
    """
    wrongs = config_errors.found(schema(), raw)
    if not isinstance(raw, dict):
        raise InvalidConfig([wrong.sentence for wrong in wrongs])
    config: Config = _built(Config, config_errors.readable(raw, wrongs))
    errors = [wrong.sentence for wrong in wrongs] + _cross_field_errors(config)
    if errors:
        raise InvalidConfig(config_errors.ordered(errors, raw))
    return config


def schema() -> dict[str, Any]:
    here = Path(__file__).parent
    places = (here / "contract" / SCHEMA_NAME, here.parent / "contract" / SCHEMA_NAME)  # installed, or in the tree
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise Failure(Reason.INTERNAL, f"{SCHEMA_NAME} is missing from the installation; reinstall tunebird-trainer")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _built(kind: Any, raw: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    names = {camel(each.name): each.name for each in dataclasses.fields(kind)}
    given = {names[key]: _value(hints[names[key]], value) for key, value in raw.items() if key in names}
    return kind(**{name: UNREADABLE for name in _asked_for(kind) if name not in given}, **given)


def _asked_for(kind: Any) -> list[str]:
    """Fields without a default; the schema has refused a config that lacks one."""
    none = dataclasses.MISSING
    return [each.name for each in dataclasses.fields(kind) if each.default is none and each.default_factory is none]


def _value(hint: Any, raw: Any) -> Any:
    if raw is None or raw is UNREADABLE:
        return raw
    if isinstance(hint, types.UnionType):
        hint = next(arg for arg in typing.get_args(hint) if arg is not types.NoneType)
    if dataclasses.is_dataclass(hint):
        return _built(hint, raw)
    if isinstance(raw, list):
        return tuple(_value(typing.get_args(hint)[0], each) for each in raw)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(raw)
    return raw


def _cross_field_errors(config: Config) -> list[str]:
    checks = (
        _limit_errors,
        _evaluation_errors,
        *config_rules.METHOD,
        *config_rules.PLACES,
        *config_rules.DATA,
        config_rules.distributed_errors,
        *config_rules.TRAINING,
    )
    return [error for check in checks for error in config_errors.answered(check, config)]


def _evaluation_errors(config: Config) -> Iterator[str]:
    if not config.evaluation.suites and not config.evaluation.gates:
        return  # the wrapper reads configs too, and needs no checks loaded
    from tunebird_trainer.evaluation import rules

    for check in rules.checks(config):
        yield from config_errors.answered(check, config)


def _limit_errors(config: Config) -> list[str]:
    asked = [(limit, limit.asked(config)) for limit in LIMITS]
    return [
        f"{limit.path}: {configs.as_json(value)} is not supported by this version; {limit.remedy}"
        for limit, value in asked
        if value is not None
    ]
