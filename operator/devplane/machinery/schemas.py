"""The schema of a resource behind one face: built-in kinds, custom resources, and kinds without a schema."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from devplane.errors import Cause
from devplane.resources.registry import Resource

if TYPE_CHECKING:
    from devplane.custom.schema import Structural
    from devplane.kinds.builtins import BuiltinKind
    from devplane.schemas.types import TypeNode

Obj = dict[str, Any]


class Schema(Protocol):
    """What the verbs ask of a kind. `prune` removes unknown fields and names them."""

    types: TypeNode | None

    def decode_errors(self, obj: Obj) -> list[str]: ...
    def prune(self, obj: Obj) -> list[str]: ...
    def default(self, obj: Obj) -> None: ...
    def prepare(self, new: Obj, old: Obj | None) -> None: ...
    def validate(self, new: Obj, old: Obj | None) -> list[Cause]: ...
    def warnings(self, new: Obj, old: Obj | None) -> list[str]: ...


class NoSchema:
    """A kind that nothing is known of but its metadata: stored as it comes."""

    types: TypeNode | None = None

    def decode_errors(self, obj: Obj) -> list[str]:
        return _metadata_mismatch(obj)

    def prune(self, obj: Obj) -> list[str]:
        _drop_nulls(obj)
        return []

    def default(self, _: Obj) -> None:
        return None

    def prepare(self, _: Obj, __: Obj | None) -> None:
        return None

    def validate(self, new: Obj, old: Obj | None) -> list[Cause]:
        return _metadata_errors(new, old)

    def warnings(self, _: Obj, __: Obj | None) -> list[str]:
        return []


class BuiltinSchema:
    """A kind of the table of built-in kinds."""

    def __init__(self, kind: BuiltinKind) -> None:
        self._kind = kind
        self.types: TypeNode | None = kind.types

    def decode_errors(self, obj: Obj) -> list[str]:
        return self._kind.decode_errors(obj)

    def prune(self, obj: Obj) -> list[str]:
        return self._kind.unknown_fields(obj)

    def default(self, obj: Obj) -> None:
        self._kind.default(obj)

    def prepare(self, new: Obj, old: Obj | None) -> None:
        self._kind.prepare(new, old)

    def validate(self, new: Obj, old: Obj | None) -> list[Cause]:
        return self._kind.validate(new, old)

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        return self._kind.warnings(new, old)


class CustomSchema:
    """A version of a CustomResourceDefinition."""

    def __init__(self, structural: Structural) -> None:
        self._structural = structural
        self.types: TypeNode | None = structural.types

    def decode_errors(self, obj: Obj) -> list[str]:
        return _metadata_mismatch(obj)

    def prune(self, obj: Obj) -> list[str]:
        _drop_nulls(obj)
        return self._structural.prune(obj)

    def default(self, obj: Obj) -> None:
        self._structural.default(obj)

    def prepare(self, _: Obj, __: Obj | None) -> None:
        return None

    def validate(self, new: Obj, old: Obj | None) -> list[Cause]:
        return _metadata_errors(new, old) + self._structural.validate(new, old)

    def warnings(self, _: Obj, __: Obj | None) -> list[str]:
        return []


@cache
def _object() -> TypeNode:
    """The part of every object that is typed: its metadata."""
    from devplane.schemas.definitions import definition_types
    from devplane.schemas.types import TypeNode

    reference = {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    return TypeNode({"type": "object", "properties": {"metadata": reference}}, definition_types)


def _metadata_mismatch(obj: Obj) -> list[str]:
    from devplane.schemas import decode

    return decode.errors({"metadata": obj["metadata"]}, _object(), obj["kind"])


def _drop_nulls(obj: Obj) -> None:
    from devplane.schemas import decode

    decode.drop_nulls({"metadata": obj["metadata"]}, _object())


def _metadata_errors(new: Obj, old: Obj | None) -> list[Cause]:
    from devplane.kinds import metadata

    return metadata.validate(new, old, metadata.subdomain)


class Schemas:
    """Schemas by resource, built when first asked for. `crd` gives a CustomResourceDefinition by name."""

    def __init__(self, crd: Callable[[str], Obj | None]) -> None:
        self._crd = crd
        self._custom: dict[tuple[str, str], tuple[Any, Schema]] = {}
        self._builtin: dict[tuple[str, str], Schema] = {}

    def of(self, resource: Resource) -> Schema:
        return self._of_custom(resource) if resource.crd else self._of_builtin(resource.api_version, resource.kind)

    def _of_builtin(self, api_version: str, kind: str) -> Schema:
        if (api_version, kind) not in self._builtin:
            from devplane.kinds.builtins import builtin

            found = builtin(api_version, kind)
            self._builtin[api_version, kind] = BuiltinSchema(found) if found else NoSchema()
        return self._builtin[api_version, kind]

    def _of_custom(self, resource: Resource) -> Schema:
        definition = self._crd(resource.crd)
        if definition is None:
            return NoSchema()
        spec = definition["spec"]
        kept = self._custom.get((resource.crd, resource.version))
        if kept is not None and kept[0] is spec:
            return kept[1]
        version = next(one for one in spec["versions"] if one["name"] == resource.version)
        schema = custom_schema(version)
        self._custom[resource.crd, resource.version] = (spec, schema)
        return schema


def custom_schema(version: Obj) -> Schema:
    """The schema of one version of a CRD; a version without one keeps everything."""
    from devplane.custom.schema import Structural

    declared = version.get("schema", {}).get("openAPIV3Schema")
    return CustomSchema(Structural(declared)) if declared else NoSchema()
