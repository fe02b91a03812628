"""Reads the config of a run. All errors at once, each with its path and what would fix it."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tunebird_trainer import config as configs
from tunebird_trainer import config_rules
from tunebird_trainer.config import Config, Form, Tuning, camel, target_modules
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import objects, outputs, registry_session

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
        raise Failure(Reason.INVALID_CONFIG, f"config {path} is not JSON: {error}") from error
    return parse(raw)


def parse(raw: Any) -> Config:
    errors = _schema_errors(raw)
    if errors:
        raise Failure(Reason.INVALID_CONFIG, "; ".join(errors))
    config: Config = _built(Config, raw)
    errors = _cross_field_errors(config)
    if errors:
        raise Failure(Reason.INVALID_CONFIG, "; ".join(errors))
    return config


def schema() -> dict[str, Any]:
    here = Path(__file__).parent
    places = (here / "contract" / SCHEMA_NAME, here.parent / "contract" / SCHEMA_NAME)  # installed, or in the tree
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise Failure(Reason.INTERNAL, f"{SCHEMA_NAME} is missing from the installation; reinstall tunebird-trainer")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _schema_errors(raw: Any) -> list[str]:
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(schema())
    return [_sentence(error) for error in validator.iter_errors(raw)]


def _sentence(error: Any) -> str:
    where = _path(error.instance_path) or "config"
    kind = error.kind.name
    if kind in ("anyOf", "oneOf"):
        return f"{where}: {_closest_branch(error)}"
    if kind == "additionalProperties":
        return f"{where}: {_unknown_keys(error.kind.unexpected, error.instance)}"
    return f"{where}: {error.message}"


def _closest_branch(error: Any) -> str:
    """For `type or null` the branch that is not null says more than "not valid under any"."""
    messages = [each.message for branch in error.kind.context for each in branch]
    real = [message for message in messages if 'type "null"' not in message]
    return " or ".join(dict.fromkeys(real)) or error.message


def _unknown_keys(unexpected: list[str], instance: dict[str, Any]) -> str:
    known = [camel(each.name) for kind in _kinds(Config) for each in dataclasses.fields(kind)]
    said = []
    for key in unexpected:
        near = difflib.get_close_matches(key, known, n=1)
        said.append(f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else ", remove it"))
    return "; ".join(said)


def _path(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _kinds(kind: type) -> list[type]:
    """The dataclass and every one below it."""
    hints = typing.get_type_hints(kind).values()
    parts = [part for hint in hints for part in (hint, *typing.get_args(hint)) if isinstance(part, type)]
    parts = [part for part in parts if dataclasses.is_dataclass(part)]
    return [kind, *(each for part in parts for each in _kinds(part))]


def _built(kind: Any, raw: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    names = {camel(each.name): each.name for each in dataclasses.fields(kind)}
    return kind(**{names[key]: _value(hints[names[key]], value) for key, value in raw.items() if key in names})


def _value(hint: Any, raw: Any) -> Any:
    if raw is None:
        return None
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
        _method_errors,
        _training_errors,
        config_rules.data_errors,
        _place_errors,
        config_rules.distributed_errors,
        config_rules.training_errors,
    )
    return [error for check in checks for error in check(config)]


def _evaluation_errors(config: Config) -> list[str]:
    if not config.evaluation.suites and not config.evaluation.gates:
        return []  # the wrapper reads configs too, and needs no checks loaded
    from tunebird_trainer.evaluation import rules

    return rules.errors(config)


def _limit_errors(config: Config) -> list[str]:
    asked = [(limit, limit.asked(config)) for limit in LIMITS]
    return [
        f"{limit.path}: {configs.as_json(value)} is not supported by this version; {limit.remedy}"
        for limit, value in asked
        if value is not None
    ]


def _method_errors(config: Config) -> list[str]:
    method, errors = config.method, []
    if method.tuning is Tuning.LORA and method.lora is None:
        errors.append(
            "method.lora: tuning is lora and this is null; give {} for its defaults, or rank, alpha and the rest"
        )
    if method.tuning is Tuning.FULL and Form.ADAPTER in config.output.forms:
        errors.append("output.forms: full tuning makes no adapter; leave only merged")
    if method.lora and "lm_head" in target_modules(method.lora):
        errors.append("method.lora.targetModules: lm_head can't carry an adapter; name other modules or use all-linear")
    return errors


def _training_errors(config: Config) -> list[str]:
    training, world, errors = config.training, config.distributed.world_size, []
    product = training.micro_batch_size * training.gradient_accumulation_steps * world
    if product != training.global_batch_size:
        errors.append(
            f"training.globalBatchSize: {training.global_batch_size} is not microBatchSize * gradientAccumulationSteps "
            f"* processes = {training.micro_batch_size} * {training.gradient_accumulation_steps} * {world} = {product}"
        )
    if training.schedule.warmup >= 1:
        errors.append(f"training.schedule.warmup: {training.schedule.warmup} is a share of the steps; use one below 1")
    if training.evaluate_every is not None and not config.validation.percent:
        errors.append("training.evaluateEvery: nothing is held out; set validation.percent above 0 or remove it")
    return errors


def _place_errors(config: Config) -> list[str]:
    errors = []
    if objects.scheme(config.checkpoint.uri) not in ("pvc", "file"):
        errors.append(
            f"checkpoint.uri: {config.checkpoint.uri!r} can't hold checkpoints, which are written often and renamed; "
            "use pvc://CLAIM/PATH or file:///PATH"
        )
    if objects.scheme(config.output.uri) not in outputs.SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in outputs.SCHEMES)
        errors.append(f"output.uri: {config.output.uri!r} is no place to write to; use one of {known}")
    addresses = (("model.uri", config.model.uri), ("output.uri", config.output.uri))
    return errors + [f"{path}: {problem}" for path, uri in addresses if (problem := registry_session.problem(uri))]
