"""Writes devplane/data/ from the JSON schemas of the kubernetes-validate package (a development dependency).

`python -m devplane.data.generate --write` writes, `--check` fails when the committed files are not what would be
written. Types (small, read at the first request) and descriptions (large, read by `kubectl explain`) are separate
files.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from devplane.data.zeros import KEY_DEFAULTS, zeros

Obj = dict[str, Any]

# The release that devplane says it is: fields of later ones are unknown, as they are to such a server.
RELEASE = "v1.33.0"
DATA = Path(__file__).parent
GROUPS = (
    "admissionregistration", "apps", "authentication", "authorization", "autoscaling", "batch", "certificates",
    "coordination", "core", "discovery", "events", "flowcontrol", "networking", "node", "policy", "rbac",
    "scheduling", "storage",
)  # fmt: skip
KEPT = (
    "type", "format", "required", "enum", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type", "x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy",
    "x-kubernetes-group-version-kind",
)  # fmt: skip
SPECIAL: dict[str, Obj] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"x-kubernetes-int-or-string": True},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string", "format": "quantity"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": {"type": "string", "format": "date-time-micro"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": {"x-kubernetes-preserve-unknown-fields": True},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {"x-kubernetes-preserve-unknown-fields": True},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": {"x-kubernetes-preserve-unknown-fields": True},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": {
        "x-kubernetes-preserve-unknown-fields": True
    },
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": {
        "x-kubernetes-preserve-unknown-fields": True
    },
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": {
        "x-kubernetes-preserve-unknown-fields": True
    },
}


def definitions() -> dict[str, Obj]:
    """Every definition of the release, as the package has it."""
    root = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"{RELEASE}-local"
    text = (root / "_definitions.json").read_text(encoding="utf-8")
    found: dict[str, Obj] = json.loads(text)["$defs"]
    return found


def wanted(name: str) -> bool:
    """The kinds of stable API versions that a control plane serves."""
    parts = name.split(".")
    if name.startswith("io.k8s.api."):
        return parts[3] in GROUPS and parts[4] in ("v1", "v2")
    return name.startswith(("io.k8s.apimachinery.", "io.k8s.apiextensions-apiserver.", "io.k8s.kube-aggregator."))


def reduced(name: str, definition: Obj) -> Obj:
    """A definition without descriptions, with what Go's zero values and key defaults add."""
    if name in SPECIAL:
        return SPECIAL[name]
    schema = _schema(definition)
    short = ".".join(name.split(".")[-3:])
    for field, key_default in KEY_DEFAULTS.get(short, {}).items():
        schema["properties"][field]["default"] = key_default
    if unset := zeros(name, schema):
        schema["x-go-zero"] = unset
    return schema


def _schema(node: Obj) -> Obj:
    if "$ref" in node:
        kept = {key: node[key] for key in KEPT if key.startswith("x-") and key in node}
        return {"$ref": node["$ref"].rpartition("/")[2], **kept}
    schema = {key: _unnullable(key, node[key]) for key in KEPT if key in node}
    if "properties" in node:
        schema["properties"] = {name: _schema(child) for name, child in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            schema[key] = _schema(node[key])
    return schema


def _unnullable(key: str, value: Any) -> Any:
    if key == "type" and isinstance(value, list):
        return next(one for one in value if one != "null")
    if key == "enum":
        return [one for one in value if one is not None]
    return value


def described(definition: Obj) -> Obj:
    """``{"": own description, field: description}``."""
    texts = {"": definition.get("description", "")}
    texts |= {name: child.get("description", "") for name, child in definition.get("properties", {}).items()}
    return {name: text for name, text in texts.items() if text}


def files() -> dict[str, bytes]:
    """What data/ must hold. Compressed without a time, so the same input gives the same bytes."""
    known = definitions()
    names = [name for name in sorted(known) if wanted(name)]
    for name in names:
        names += [one for one in _referred(known[name]) if one not in names]
    kept = {name: known[name] for name in sorted(names)}
    types = {name: reduced(name, one) for name, one in kept.items()}
    texts = {name: described(one) for name, one in kept.items()}
    return {"types.json.gz": _packed(types), "descriptions.json.gz": _packed(texts)}


def _referred(node: Any) -> list[str]:
    """Definitions that a definition refers to; a stable kind may use one of an unstable version."""
    if isinstance(node, dict):
        own = [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
        return own + [name for one in node.values() for name in _referred(one)]
    return [name for one in node for name in _referred(one)] if isinstance(node, list) else []


def _packed(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def _same(path: Path, content: bytes) -> bool:
    return path.exists() and gzip.decompress(path.read_bytes()) == gzip.decompress(content)


def main() -> int:
    parser = argparse.ArgumentParser(prog="devplane.data.generate", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="exit 1 when a committed file is stale")
    arguments = parser.parse_args()
    stale = {name: content for name, content in files().items() if not _same(DATA / name, content)}
    if arguments.write:
        DATA.mkdir(exist_ok=True)
        for name, content in stale.items():
            (DATA / name).write_bytes(content)
        return 0
    for name in stale:
        sys.stderr.write(f"{DATA / name} is stale: run python -m devplane.data.generate --write\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
