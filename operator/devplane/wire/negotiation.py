"""Which form of an object a client wants (Table, metadata only, JSON, YAML), and its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from devplane.errors import ApiError

Obj = dict[str, Any]

META = "meta.k8s.io/v1"
_ACCEPTED = ("application/json", "application/*", "*/*")


@dataclass(frozen=True, slots=True)
class Form:
    """`shape` is "", Table, PartialObjectMetadata or PartialObjectMetadataList; `include` is for tables."""

    shape: str = ""
    is_yaml: bool = False
    include: str = "Metadata"

    @property
    def content_type(self) -> str:
        return "application/yaml" if self.is_yaml else "application/json"


def form_of(accept: str, include: str = "") -> Form:
    """The first form of an Accept header that is served."""
    for option in (accept or "*/*").split(","):
        media, *parameters = [part.strip() for part in option.split(";")]
        values = dict(part.split("=", 1) for part in parameters if "=" in part)
        shape = values.get("as", "")
        if shape and (shape not in _SHAPES or values.get("v") != "v1" or values.get("g") != "meta.k8s.io"):
            continue
        if media in _ACCEPTED:
            return Form(shape, is_yaml=False, include=include or "Metadata")
        if media in ("application/yaml", "text/yaml"):
            return Form(shape, is_yaml=True, include=include or "Metadata")
    raise ApiError.not_acceptable("application/json, application/yaml")


_SHAPES = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


def encode(content: Obj, form: Form) -> bytes:
    if form.is_yaml:
        import yaml

        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()
    return orjson.dumps(content)


def partial(obj: Obj) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": obj["metadata"]}
