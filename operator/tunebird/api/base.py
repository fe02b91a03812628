"""What all API models share: camelCase, frozen, CEL rules beside their Python mirror, and the scalar types of the API.

There are no floats in the API: durations, rates and decimals are strings with a parser here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails


@dataclass(frozen=True, slots=True)
class Rule:
    """A cross-field rule: the CEL that the API server runs, and `holds`, the same for a parsed model."""

    cel: str
    message: str
    holds: Callable[[Any], bool]
    field: str = ""

    @property
    def schema(self) -> dict[str, str]:
        """As an entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message}
        return {**entry, "fieldPath": f".{self.field}"} if self.field else entry


class Model(BaseModel):
    """A frozen object of the API. Unknown fields are ignored, so that an older operator reads a newer resource."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore", protected_namespaces=()
    )
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken = [rule.message for rule in self.RULES if not rule.holds(self)]
        if broken:
            raise ValueError("; ".join(broken))
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The model's schema with its CEL rules."""
        schema = handler(core)
        if cls.RULES:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [rule.schema for rule in cls.RULES]
        return schema

    def manifest(self) -> dict[str, Any]:
        """As Kubernetes JSON: camelCase, without absent fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Closed(Model):
    """A model where an unknown field is an error: skipping it would skip a check that the user asked for."""

    model_config = ConfigDict(extra="forbid")


def one_of(*fields: str) -> Rule:
    """Exactly one of `fields` (API names) is given."""
    terms = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in fields)
    names = f"{', '.join(fields[:-1])} and {fields[-1]}"

    def holds(model: Model) -> bool:
        return len(given(model) & set(fields)) == 1

    return Rule(f"{terms} == 1", f"exactly one of {names} is needed", holds)


def escaped(field: str) -> str:
    """A field's name in CEL: its reserved words are escaped."""
    return f"__{field}__" if field in ("continue", "for", "namespace", "package", "import", "if", "in") else field


def only_with(field: str, chooser: str, *values: str, default: str = "") -> Rule:
    """The block `field` is only allowed where `chooser` has one of `values`; `default` is what an absent one means."""
    listed = ", ".join(f"'{value}'" for value in values)
    absent = f"!has(self.{chooser}) ||" if default in values else f"has(self.{chooser}) &&"

    def holds(model: Model) -> bool:
        return field not in given(model) or str(model.manifest().get(chooser)) in values

    message = f"{field} goes with {chooser} {' or '.join(values)} only"
    cel = f"!has(self.{escaped(field)}) || ({absent} self.{chooser} in [{listed}])"
    return Rule(cel, message, holds, field)


def needs(field: str, chooser: str, value: str) -> Rule:
    """Where `chooser` is `value`, the block `field` must be given."""

    def holds(model: Model) -> bool:
        return str(model.manifest().get(chooser)) != value or field in given(model)

    return Rule(f"self.{chooser} != '{value}' || has(self.{field})", f"{chooser} {value} needs {field}", holds, chooser)


def given(model: Model) -> frozenset[str]:
    """API names of the optional fields that carry a value."""
    fields = type(model).model_fields
    present = ((field.alias or name) for name, field in fields.items() if getattr(model, name) is not None)
    return frozenset(present)


def as_text(value: object) -> object:
    """Integers as text, for fields that Kubernetes reads as a number or a string."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


PRESERVE = {"x-kubernetes-preserve-unknown-fields": True}

_DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
_PERCENT = r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%$"
_NUMBER = r"^[0-9]{1,9}(\.[0-9]{1,9})?([eE][-+]?[0-9]{1,2})?$"
_RATE = r"^((100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%|0(\.[0-9]{1,9})?|1(\.0{1,9})?)$"
_DIGEST = r"^sha256:[0-9a-f]{64}$"
_URI = r"^(hf|s3|gs|oci|pvc|https)://[^\s/]+(/[^\s]*)?$|^file:///[^\s]*$"
MEANT: Mapping[str, str] = {
    _DURATION: "must be a duration in h, m, s and ms, such as 90s, 15m or 1h30m",
    _PERCENT: "must be a percentage from 0% to 100%, such as 5% or 0.5%",
    _NUMBER: "must be a number that is not negative, as text, such as 0.0002 or 2e-4",
    _RATE: "must be a share from 0 to 1 or from 0% to 100%, such as 0.01 or 1%",
    _DIGEST: "must be sha256: and 64 hexadecimal digits in lower case",
    _URI: "must be hf://organisation/name, s3://bucket/key, gs://bucket/key, oci://registry/name, pvc://claim/path, "
    "https://host/path or file:///path",
}
"""What is told instead of a pattern that people should not have to read; without quotes, since CEL quotes it."""
Duration = Annotated[str, Field(pattern=_DURATION, max_length=24)]
Percent = Annotated[str, Field(pattern=_PERCENT, max_length=9)]
Number = Annotated[str, Field(pattern=_NUMBER, max_length=24)]
Rate = Annotated[str, Field(pattern=_RATE, max_length=12)]
Quantity = Annotated[
    str,
    BeforeValidator(as_text),
    Field(
        pattern=r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[mkMGTPE]|[eE][-+]?[0-9]+)?$",
        max_length=32,
        json_schema_extra={"x-kubernetes-int-or-string": True},
    ),
]
Digest = Annotated[str, Field(pattern=_DIGEST, max_length=71)]
Name = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
Text = Annotated[str, Field(max_length=4096)]
Word = Annotated[str, Field(max_length=128)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, max_length=40)]
Template = Annotated[dict[str, Any], Field(json_schema_extra=PRESERVE)]

_UNIT_SECONDS = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
_BINARY = {unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), start=1)}
_SUFFIX: Mapping[str, Decimal] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(size) for unit, size in {**_BINARY, **_DECIMAL}.items()},
}


def duration_seconds(duration: str) -> float:
    """Seconds of a duration: ``1h30m`` is 5400.0, ``500ms`` is 0.5."""
    parts = re.findall(r"([0-9]+)(ms|h|m|s)", duration)
    return float(sum(Decimal(count) * _UNIT_SECONDS[unit] for count, unit in parts))


def fraction(rate: str) -> float:
    """A rate as a number in 0…1: ``1%`` is 0.01, ``0.05`` is 0.05."""
    return float(Decimal(rate.removesuffix("%")) / 100) if rate.endswith("%") else float(Decimal(rate))


def quantity(text: str) -> float:
    """The amount of a Kubernetes quantity in its base unit: ``79Gi`` in bytes, ``500m`` as 0.5."""
    number, suffix = re.fullmatch(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)([A-Za-z]*)", text).groups()  # type: ignore[union-attr]
    return float(Decimal(number) * _SUFFIX[suffix])


class SecretRef(Model):
    """A Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret.")


class JobRef(Model):
    """A FineTuneJob in the same namespace."""

    name: Annotated[Name, Field(max_length=40)] = Field(description="Name of the FineTuneJob.")


class StorageRef(Model):
    """Where data or a model lies."""

    uri: str = Field(
        description="hf://organisation/name, s3://bucket/key, gs://bucket/key, oci://registry/name, pvc://claim/path, "
        "https://host/path. file:///path is accepted on the embedded control plane only.",
        pattern=_URI,
        max_length=512,
    )
    revision: Word | None = Field(
        None, description="Commit, tag or branch of a hf:// source; a commit is reproducible."
    )
    digest: Digest | None = Field(
        None,
        description="Expected sha256 of the content; another content is refused. "
        "Of a job's result it is status.artifact.digest; of any directory it is the sha256 of the lines that sha256sum "
        "prints for its files, sorted by path (docs/trainer/artifacts.md has the command).",
    )
    secret_ref: SecretRef | None = Field(
        None,
        description="Secret with the credentials. Keys: HF_TOKEN for hf://; AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY for s3:// (AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL if wanted); "
        "GOOGLE_APPLICATION_CREDENTIALS_JSON for gs://; REGISTRY_USERNAME and REGISTRY_PASSWORD for oci://; "
        "HTTPS_AUTHORIZATION, the header's value, for https://. Without it the pod's workload identity "
        "(serviceAccountName) is used.",
    )
    RULES = (
        Rule(
            "!has(self.revision) || self.uri.startsWith('hf://')",
            "revision goes with a hf:// uri only",
            lambda ref: ref.revision is None or ref.uri.startswith("hf://"),
            "revision",
        ),
    )


class LabelSelector(Model):
    """Selects objects by their labels; all requirements must hold."""

    match_labels: dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, description="Labels and the values they must have.", max_length=16
    )


class Condition(Model):
    """One aspect of an object's state, as Kubernetes has it."""

    type: str = Field(description="Name of the aspect in CamelCase.", max_length=316)
    status: str = Field(
        description="True, False or Unknown.", json_schema_extra={"enum": ["True", "False", "Unknown"]}, max_length=7
    )
    observed_generation: int | None = Field(None, description="metadata.generation that this was derived from.", ge=0)
    last_transition_time: Time = Field(description="When status last changed.")
    reason: str = Field(description="Stable CamelCase reason of the last change.", max_length=1024)
    message: str = Field(description="The details for people.", max_length=32768)


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        max_length=16,
        description="Aspects of the state: kubectl wait --for=condition=TYPE.",
    ),
]


class ConsumedVerb(Model):
    """A verb (annotation) that was acted on or refused; it is never acted on again."""

    verb: Word = Field(description="Name of the verb, e.g. retry or promote.")
    value: Word = Field(description="Value of the annotation when it was read.")
    time: Time = Field(description="When it was consumed.")
    refusal: Annotated[str, Field(max_length=1024)] = Field("", description="Why it was ignored; empty if obeyed.")


class ObjectMeta(Model):
    """The part of metadata that the operator reads."""

    name: str = Field(max_length=40, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


def problems(error: ValidationError) -> tuple[str, ...]:
    """All errors of a parse as sentences: ``spec.method.lora.rank: Input should be greater than … (is 0)``."""
    return tuple(_problem(detail) for detail in error.errors(include_url=False))


def _problem(detail: ErrorDetails) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]).lstrip(".")
    pattern = str(detail.get("ctx", {}).get("pattern"))
    message = MEANT.get(pattern) or detail["msg"].removeprefix("Value error, ")
    shown = f" (is {detail['input']!r})" if isinstance(detail["input"], str | int | float) else ""
    return f"{path}: {message}{shown}"


def keyed(name: str) -> tuple[AfterValidator, FieldInfo]:
    """Metadata of a list keyed by the field `name`: a duplicate is refused, server-side apply merges by it."""

    def unique(items: tuple[Model, ...]) -> tuple[Model, ...]:
        keys = [getattr(item, name) for item in items]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{name} {', '.join(twice)} is there more than once")
        return items

    extra: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [to_camel(name)]}
    return AfterValidator(unique), Field(json_schema_extra=extra)
