"""Writes the CRDs and the trainer's contract from the models: ``python -m tunebird.api.crds --write | --check``.

Kubernetes wants structural schemas: no references, no unions, no titles, every object's properties spelled out.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunebird.api.base import MEANT, Model
from tunebird.api.finetunejob import FineTuneJob
from tunebird.api.modelrollout import ModelRollout
from tunebird.api.trainer import json_schema

Schema = dict[str, Any]

GROUP, VERSION = "tunebird.dev", "v1alpha1"
REPOSITORY = Path(__file__).parents[3]
_KEPT = (
    "type",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
)
_INT_OR_STRING = "x-kubernetes-int-or-string"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of kubectl get."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def manifest(self) -> Schema:
        wide = {"priority": self.priority} if self.priority else {}
        return {"name": self.name, "type": self.type, **wide, "jsonPath": self.path}


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind with what its CRD needs besides the schema."""

    kind: str
    model: type[Model]
    singular: str
    plural: str
    short: str
    columns: tuple[Column, ...]
    subresources: Mapping[str, Mapping[str, str]]


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
RESOURCES = (
    Resource(
        "FineTuneJob",
        FineTuneJob,
        "finetunejob",
        "finetunejobs",
        "ftj",
        (
            Column("Phase", ".status.phase"),
            Column("Reason", ".status.reason"),
            Column("Step", ".status.progress.summary"),
            Column("Loss", ".status.progress.loss"),
            Column("ETA", ".status.progress.eta"),
            Column("Message", ".status.summary"),
            _AGE,
            Column("Plan", ".status.plan.summary", priority=1),
            Column("Details", ".status.message", priority=1),
        ),
        {"status": {}},
    ),
    Resource(
        "ModelRollout",
        ModelRollout,
        "modelrollout",
        "modelrollouts",
        "mro",
        (
            Column("Phase", ".status.phase"),
            Column("Stable", ".status.stable.revision"),
            Column("Canary", ".status.canary.revision"),
            Column("Weight", ".status.canary.weight", "integer"),
            Column("Step", ".status.step.summary"),
            Column("Message", ".status.summary"),
            _AGE,
            Column("Details", ".status.message", priority=1),
        ),
        {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.server.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
    ),
)


def crd(resource: Resource) -> Schema:
    """The CustomResourceDefinition of a kind."""
    kind, plural = resource.kind, resource.plural
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": dict(resource.subresources),
        "additionalPrinterColumns": [column.manifest() for column in resource.columns],
        "schema": {"openAPIV3Schema": openapi(resource.model)},
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": resource.singular}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {**names, "shortNames": [resource.short], "categories": ["tunebird"]},
            "versions": [version],
        },
    }


def openapi(model: type[Model]) -> Schema:
    """The whole object: of metadata only the name may be restricted."""
    raw = model.model_json_schema(by_alias=True)
    schema = _structural(raw, raw.get("$defs", {}))
    name = schema["properties"]["metadata"]["properties"]["name"]
    schema["properties"]["metadata"] = {"type": "object", "properties": {"name": name}}
    for field in ("apiVersion", "kind"):
        schema["properties"][field] = {"type": "string", "description": raw["properties"][field]["description"]}
    schema["required"] = ["spec"]
    spec = model.model_fields["spec"].annotation
    mutable = getattr(spec, "MUTABLE", None)
    if mutable is not None:
        schema["properties"]["spec"].setdefault("x-kubernetes-validations", []).extend(
            _immutable(schema["properties"]["spec"], mutable)
        )
    return schema


def _immutable(spec: Schema, mutable: frozenset[str]) -> Iterator[Schema]:
    for name in sorted(set(spec["properties"]) - mutable):
        same = f"self.{name} == oldSelf.{name}"
        optional = f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {same})"
        yield {
            "rule": same if name in spec["required"] else optional,
            "message": f"{name} can't be changed: delete this FineTuneJob and apply it again, or use another name",
            "fieldPath": f".{name}",
        }


def _structural(raw: Schema, defs: Mapping[str, Schema]) -> Schema:
    """One node, with its references put in place; what stands beside a reference wins."""
    node = _resolved(raw, defs)
    result: Schema = {"description": _described(node)} if "description" in node else {}
    result |= {key: node[key] for key in _KEPT if key in node}
    result |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    if "exclusiveMinimum" in node:
        result |= {"minimum": node["exclusiveMinimum"], "exclusiveMinimum": True}
    if "properties" in node:
        result["properties"] = {name: _structural(child, defs) for name, child in node["properties"].items()}
    elif isinstance(node.get("additionalProperties"), dict) and _PRESERVE not in node:
        result["additionalProperties"] = _structural(node["additionalProperties"], defs)
    if "items" in node:
        result["items"] = _without_defaults(_structural(node["items"], defs))
    if (pattern := str(node.get("pattern"))) in MEANT:
        result["x-kubernetes-validations"] = [_in_words(result.pop("pattern"), MEANT[pattern])]
    if node.get(_INT_OR_STRING):
        result.pop("type", None)
    return result | _default(raw)


def _in_words(pattern: str, words: str) -> Schema:
    """A pattern as a rule: a refusal says what is meant, and what was given, which Kubernetes shows of no rule itself.

    The pattern can not stay beside it: where one doesn't match, no rule is looked at.
    """
    quoted = pattern.replace("\\", "\\\\")
    return {"rule": f"self.matches('{quoted}')", "message": words, "messageExpression": f"'{words}, not ' + self"}


def _resolved(raw: Schema, defs: Mapping[str, Schema]) -> Schema:
    node = dict(raw)
    choices = [choice for choice in node.pop("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        node = {**choices[0], **node}
    elif choices and not node.get(_INT_OR_STRING):
        raise TypeError(f"a structural schema has no unions: {raw}")
    if "const" in node:
        node["enum"] = [node.pop("const")]
    while "$ref" in node:
        target = defs[node.pop("$ref").rsplit("/", 1)[1]]
        node = {**target, **node}
    return node


def _described(node: Schema) -> str:
    """The description, with the default that the operator takes for an absent field."""
    default = node.get("default")
    if isinstance(default, bool):
        default = str(default).lower()
    shown = isinstance(default, str | int) and default != ""
    return f"{node['description']} Default: {default}." if shown else str(node["description"])


def _default(raw: Schema) -> Schema:
    return {"default": raw["x-default"]} if "x-default" in raw else {}


def _without_defaults(item: Schema) -> Schema:
    if '"default":' in json.dumps(item):
        raise TypeError(f"a default inside a list item shows as a difference in GitOps tools: {item}")
    return item


def outputs(repository: Path = REPOSITORY) -> dict[Path, str]:
    """Every generated file with its text. The chart's copy is there where the chart is."""
    chart = repository / "helm" / "tunebird" / "templates" / "crds"
    files: dict[Path, str] = {}
    for resource in RESOURCES:
        name = f"{GROUP}_{resource.plural}.yaml"
        files[repository / "crds" / name] = _HEADER + _yaml(crd(resource))
        if chart.is_dir():
            files[chart / name] = _chart_copy(crd(resource))
    contract = repository / "trainer_image" / "contract" / "trainer-config.schema.json"
    files[contract] = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    return files


_HEADER = "# Generated by python -m tunebird.api.crds --write: edit operator/tunebird/api instead.\n"


def _chart_copy(definition: Schema) -> str:
    """The CRD as a template: left out on request, and kept when the release is uninstalled."""
    metadata = {**definition["metadata"], "annotations": {"helm.sh/resource-policy": "keep"}}
    body = _yaml({**definition, "metadata": metadata}).replace("{{", '{{ "{{" }}')
    return "{{- if .Values.crds.enabled }}\n" + _HEADER + body + "{{- end }}\n"


def _yaml(body: Schema) -> str:
    return yaml.safe_dump(body, sort_keys=False, width=120, allow_unicode=True)


def stale(repository: Path = REPOSITORY) -> list[Path]:
    """Generated files whose text is not what the models say."""
    files = outputs(repository).items()
    return [path for path, text in files if not path.is_file() or path.read_text(encoding="utf-8") != text]


def main(argv: list[str] | None = None) -> int:
    """Write all files, or say which are stale (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m tunebird.api.crds", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail if a file is not up to date")
    arguments = parser.parse_args(argv)
    behind = stale()
    for path in behind:
        if arguments.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(outputs()[path], encoding="utf-8")
        sys.stdout.write(f"{'wrote' if arguments.write else 'stale'} {path.relative_to(REPOSITORY)}\n")
    return 1 if behind and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
