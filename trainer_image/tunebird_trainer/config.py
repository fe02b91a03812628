"""The mounted JSON as frozen values. All errors at once, each with its path and what would fix it."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
import types
import typing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tunebird_trainer.outcome import Failure, Reason

SCHEMA_NAME = "trainer-config.schema.json"


class Tuning(StrEnum):
    LORA = "lora"
    FULL = "full"


class Form(StrEnum):
    ADAPTER = "adapter"
    MERGED = "merged"


class OnInvalid(StrEnum):
    FAIL = "Fail"
    DROP = "Drop"


class OnTooLong(StrEnum):
    DROP = "Drop"
    TRUNCATE = "Truncate"
    FAIL = "Fail"


class Mixing(StrEnum):
    CONCATENATE = "concatenate"
    INTERLEAVE = "interleave"


class LossOn(StrEnum):
    COMPLETIONS = "completions"
    ALL = "all"


class Precision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


@dataclass(frozen=True, slots=True)
class Job:
    namespace: str
    name: str
    uid: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Model:
    uri: str
    revision: str
    digest: str
    chat_template: str


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    uri: str
    format: str
    weight: int
    limit: int | None
    license: str


@dataclass(frozen=True, slots=True)
class Validation:
    percent: int


@dataclass(frozen=True, slots=True)
class Preparation:
    on_invalid: OnInvalid
    on_too_long: OnTooLong


@dataclass(frozen=True, slots=True)
class Lora:
    rank: int
    alpha: int
    dropout: float
    target_modules: str  # all-linear, or names separated by commas
    use_dora: bool
    use_rslora: bool


@dataclass(frozen=True, slots=True)
class Method:
    objective: str
    tuning: Tuning
    lora: Lora | None
    quantization: str


@dataclass(frozen=True, slots=True)
class Schedule:
    type: str
    warmup: float  # share of the steps


@dataclass(frozen=True, slots=True)
class Training:
    epochs: float
    max_steps: int | None  # counts before epochs
    learning_rate: float
    schedule: Schedule
    optimizer: str
    precision: Precision
    micro_batch_size: int
    gradient_accumulation_steps: int
    global_batch_size: int
    max_sequence_length: int
    packing: bool
    loss_on: LossOn
    evaluate_every: int | None  # steps; None is once an epoch
    seed: int
    deterministic: bool
    activation_checkpointing: bool


@dataclass(frozen=True, slots=True)
class Distributed:
    num_nodes: int
    processes_per_node: int

    @property
    def world_size(self) -> int:
        return self.num_nodes * self.processes_per_node


@dataclass(frozen=True, slots=True)
class Checkpoint:
    uri: str
    every_seconds: int
    every_steps: int | None
    keep: int


@dataclass(frozen=True, slots=True)
class Card:
    intended_use: str
    limitations: str
    license: str
    contact: str


@dataclass(frozen=True, slots=True)
class Output:
    uri: str
    forms: tuple[Form, ...]
    card: Card


@dataclass(frozen=True, slots=True)
class Report:
    every_seconds: float


@dataclass(frozen=True, slots=True)
class Config:
    version: int
    job: Job
    model: Model
    datasets: tuple[Dataset, ...]
    mixing: Mixing
    validation: Validation
    preparation: Preparation
    method: Method
    training: Training
    distributed: Distributed
    checkpoint: Checkpoint
    output: Output
    report: Report


def load(path: Path) -> Config:
    """Read, check against the schema, then across fields.

    Raises:
        Failure: InvalidConfig with every error found.
    """
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise Failure(
            Reason.INVALID_CONFIG, f"config {path} can't be read: {error.strerror}; mount it there"
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


def as_json(value: Any) -> Any:
    """The config, or a part of it, as it is written in the file."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {camel(each.name): as_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [as_json(each) for each in value]
    return value


def digest(value: Any) -> str:
    canonical = json.dumps(as_json(value), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def run_digest(config: Config) -> str:
    """What makes two attempts the same run: everything but the attempt and where its results go."""
    shape = as_json(config)
    shape["job"].pop("attempt")
    for elsewhere in ("output", "checkpoint", "report"):
        shape.pop(elsewhere)
    return digest(shape)


def target_modules(lora: Lora) -> list[str]:
    return [name.strip() for name in lora.target_modules.split(",")]


def schema() -> dict[str, Any]:
    here = Path(__file__).parent
    places = (here / "contract" / SCHEMA_NAME, here.parent / "contract" / SCHEMA_NAME)  # installed, or in the tree
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise Failure(Reason.INTERNAL, f"{SCHEMA_NAME} is missing from the installation; reinstall tunebird-trainer")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


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
    checks = (_method_errors, _training_errors, _data_errors, _place_errors)
    return [error for check in checks for error in check(config)]


def _method_errors(config: Config) -> list[str]:
    method, errors = config.method, []
    if method.tuning is Tuning.LORA and method.lora is None:
        errors.append("method.lora: tuning is lora and this is null; give rank, alpha and the rest")
    if method.tuning is Tuning.FULL and Form.ADAPTER in config.output.forms:
        errors.append("output.forms: full tuning makes no adapter; leave only merged")
    if method.lora and "lm_head" in target_modules(method.lora):
        errors.append("method.lora.targetModules: lm_head can't carry an adapter; name other modules or use all-linear")
    return errors


def _training_errors(config: Config) -> list[str]:
    training, world, errors = config.training, config.distributed.world_size, []
    if config.distributed.num_nodes > 1:
        errors.append(f"distributed.numNodes: {config.distributed.num_nodes} is not supported by this version; use 1")
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


def _data_errors(config: Config) -> list[str]:
    names = [dataset.name for dataset in config.datasets]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"datasets: the name {name!r} is used twice; give each its own" for name in twice]


def _place_errors(config: Config) -> list[str]:
    errors = []
    for path, uri in (("checkpoint.uri", config.checkpoint.uri), ("output.uri", config.output.uri)):
        if not re.match(r"^(pvc|file)://", uri):
            errors.append(f"{path}: {uri!r} is not supported by this version; use pvc://CLAIM/PATH or file:///PATH")
    return errors
