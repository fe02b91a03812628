"""The kinds that Kubernetes brings along: their types, decoding, defaults, validation and documentation. Pure.

What happens to a request, in the server's order: `decode_errors`, `unknown_fields` (removed, as a typed decoder drops
them), `default`, then metadata is filled, `prepare` (what the kind's strategy sets: a Job's selector, first status),
`validate`. Ownership is tracked between `default` and `prepare`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property

from devplane.errors import Cause
from devplane.schemas import decode
from devplane.schemas.definitions import definition_types, definitions_of, names
from devplane.schemas.types import Obj, TypeNode

Default = Callable[[Obj], None]
Validate = Callable[[Obj, "Obj | None"], list[Cause]]
Prepare = Callable[[Obj, "Obj | None"], None]


class BuiltinKind:
    """One kind in one version; `definition` is its name in the OpenAPI documents."""

    def __init__(self, api_version: str, kind: str, definition: str) -> None:
        self.api_version = api_version
        self.kind = kind
        self.definition = definition

    @cached_property
    def types(self) -> TypeNode:
        return TypeNode({"$ref": self.definition}, definition_types)

    def decode_errors(self, obj: Obj) -> list[str]:
        """JSON of the wrong type, in Go's words; the decoder stops at the first, so at most one."""
        return decode.errors(obj, self.types, self.kind)

    def unknown_fields(self, obj: Obj) -> list[str]:
        """Paths of fields that the kind doesn't have, removed from `obj`."""
        return decode.unknown_fields(obj, self.types)

    def default(self, obj: Obj) -> None:
        """`obj` as the server would read it back: nulls and empty lists gone, structs there, defaults set."""
        from devplane.kinds import DEFAULTS

        decode.normalize(obj, self.types)
        if set_defaults := DEFAULTS.get((self.api_version, self.kind)):
            set_defaults(obj)

    def prepare(self, new: Obj, old: Obj | None) -> None:
        """What the server sets by itself before it validates. `new` has its uid; `old` is None on create."""
        from devplane.kinds import PREPARES

        if prepared := PREPARES.get((self.api_version, self.kind)):
            prepared(new, old)

    def validate(self, new: Obj, old: Obj | None) -> list[Cause]:
        from devplane.kinds import NAMES, VALIDATES, metadata

        found = metadata.validate(new, old, NAMES.get((self.api_version, self.kind), metadata.subdomain))
        found += metadata.standard_finalizers(new["metadata"])
        if validated := VALIDATES.get((self.api_version, self.kind)):
            found += validated(new, old)
        return found

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """What is taken, and yet worth a warning."""
        from devplane.kinds.warnings import WARNINGS, idle

        warned = WARNINGS.get((self.api_version, self.kind))
        of_kind = idle(self.api_version, self.kind) if old is None else []
        return of_kind if warned is None else [*warned(new), *of_kind]

    @property
    def openapi(self) -> Obj:
        """The definitions that this kind is made of, with descriptions, by name; the kind's own comes first.

        References are ``#/components/schemas/NAME``, as an OpenAPI v3 document has them.
        """
        return definitions_of(self.definition)


def builtin(api_version: str, kind: str) -> BuiltinKind | None:
    """The built-in kind, e.g. ``batch/v1``, ``Job``; None for what is not built in."""
    definition = names().get((api_version, kind))
    return None if definition is None else _builtin(api_version, kind, definition)


@cache
def _builtin(api_version: str, kind: str, definition: str) -> BuiltinKind:
    return BuiltinKind(api_version, kind, definition)
