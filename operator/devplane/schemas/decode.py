"""How a typed decoder reads a built-in object: what it refuses, what it drops, and how the object comes back. Pure."""

from __future__ import annotations

import copy
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from devplane.schemas.quantities import QUANTITY, canonical, is_quantity
from devplane.schemas.types import Obj, TypeNode

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}([.,]\d+)?(Z|[+-]\d{2}:\d{2})")
_GO_INTEGERS = {"int32": "int32", "int64": "int64", None: "int64"}
_MOST = {"int32": 2**31, None: 2**63}
_STRINGS = {
    "restartPolicy": "v1.RestartPolicy",
    "dnsPolicy": "v1.DNSPolicy",
    "imagePullPolicy": "v1.PullPolicy",
    "protocol": "v1.Protocol",
}


def errors(obj: Obj, types: TypeNode, kind: str) -> list[str]:
    """The first value that doesn't fit, as Go's decoder reports it."""
    first = next(_errors(obj, types, kind, ()), None)
    return [] if first is None else [first]


def _errors(obj: Obj, types: TypeNode, struct: str, path: tuple[str, ...]) -> Iterator[str]:
    for name, value in obj.items():
        child = types.child(name)
        if child is not None and not _is_quickly_fine(value, child):
            yield from _value_errors(value, child, (struct, (*path, name), name))


def _is_quickly_fine(value: Any, types: TypeNode) -> bool:
    """Most values are strings where strings belong."""
    return value is None or (types.is_text and isinstance(value, str))


def _value_errors(value: Any, types: TypeNode, where: tuple[str, tuple[str, ...], str]) -> Iterator[str]:
    struct, path, _ = where
    if types.shape == "scalar":
        yield from _scalar_errors(value, types, where)
    elif types.shape == "any":
        yield from _union_errors(value, types)
    elif types.shape == "list" and isinstance(value, list):
        for item in value:
            if not _is_quickly_fine(item, types.element):
                yield from _value_errors(item, types.element, where)
    elif types.shape == "list" or not isinstance(value, dict):
        yield _mismatch(value, go_type(types), where)
    elif "properties" in types.schema:
        yield from _errors(value, types, _struct(types) or struct, path)
    else:
        for key, one in value.items():
            element = types.child(key)
            if element is not None and not _is_quickly_fine(one, element):
                yield from _value_errors(one, element, where)


def _union_errors(value: Any, types: TypeNode) -> Iterator[str]:
    """Go reads such a value with a decoder of its own, whose paths begin anew."""
    if types.union is not None and isinstance(value, dict):
        yield from _errors(value, types.union, "JSONSchemaProps", ())


def _scalar_errors(value: Any, types: TypeNode, where: tuple[str, tuple[str, ...], str]) -> Iterator[str]:
    schema = types.schema
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool | list | dict | float):
            yield f"json: cannot unmarshal {_json_kind(value)} into Go value of type int32"
        return
    kind, layout = schema.get("type"), schema.get("format")
    if layout == "quantity":
        yield from _quantity_errors(value)
    elif not _fits(value, kind, layout):
        yield _mismatch(value, _scalar_type(kind, layout, where[2]), where)
    elif isinstance(value, str):
        yield from _format_errors(value, layout)


def _fits(value: Any, kind: str | None, layout: str | None) -> bool:
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    if kind == "integer":
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return is_whole and -_MOST.get(layout, _MOST[None]) <= value < _MOST.get(layout, _MOST[None])
    return isinstance(value, str if kind == "string" else int | float)


def _quantity_errors(value: Any) -> Iterator[str]:
    if isinstance(value, bool | list | dict):
        yield f"json: cannot unmarshal {_json_kind(value)} into Go value of type string"
    elif not is_quantity(str(value)):
        yield f"quantities must match the regular expression '^{QUANTITY.pattern}$'"


def _format_errors(value: str, layout: str | None) -> Iterator[str]:
    if layout in ("date-time", "date-time-micro") and not _TIME.fullmatch(value):
        shape = "2006-01-02T15:04:05Z07:00" if layout == "date-time" else "2006-01-02T15:04:05.000000Z07:00"
        yield f'parsing time "{value}" as "{shape}": cannot parse "{value}" as "2006"'
    if layout == "byte":
        try:
            b64decode(value, validate=True)
        except ValueError:
            stray = re.search(r"[^A-Za-z0-9+/=\r\n]", value)
            yield f"illegal base64 data at input byte {stray.start() if stray else len(value) // 4 * 4}"


def _mismatch(value: Any, wanted: str, where: tuple[str, tuple[str, ...], str]) -> str:
    struct, path, _ = where
    kind = _json_kind(value)
    if kind == "number" and wanted.startswith("int"):
        kind = f"number {value}"
    return f"json: cannot unmarshal {kind} into Go struct field {struct}.{'.'.join(path)} of type {wanted}"


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "number"


def go_type(types: TypeNode) -> str:
    """The Go type of a field, as reflection prints it: ``[]v1.Container``, ``map[string]string``."""
    if types.shape == "list":
        return f"[]{go_type(types.element)}"
    if types.shape == "scalar":
        return _scalar_type(types.schema.get("type"), types.schema.get("format"), "")
    named = _struct(types)
    if named or types.shape == "any":
        return f"v1.{named}" if named else "runtime.RawExtension"
    element = types.child("")
    return f"map[string]{go_type(element) if element is not None else 'string'}"


def _scalar_type(kind: str | None, layout: str | None, field: str) -> str:
    if kind == "integer":
        return _GO_INTEGERS.get(layout, "int64")
    if kind == "boolean":
        return "bool"
    if layout == "byte":
        return "[]uint8"
    return "float64" if kind == "number" else _STRINGS.get(field, "string")


def _struct(types: TypeNode) -> str:
    """The Go name of a struct."""
    return types.name.rpartition(".")[2]


def unknown_fields(obj: Obj, types: TypeNode) -> list[str]:
    """Paths of undeclared fields, in the order of the document, removed from `obj`."""
    found: list[str] = []
    _drop_unknown(obj, types, "", found)
    return found


def _drop_unknown(value: Any, types: TypeNode, path: str, found: list[str]) -> None:
    if isinstance(value, dict) and types.shape == "map":
        for name in list(value):
            child = types.child(name)
            where = f"{path}.{name}" if path else name
            if child is None:
                found.append(where)
                del value[name]
            elif child.shape in ("map", "list"):
                _drop_unknown(value[name], child, where, found)
    elif isinstance(value, list) and types.shape == "list":
        element = types.element
        if element.shape in ("map", "list"):
            for at, item in enumerate(value):
                _drop_unknown(item, element, f"{path}[{at}]", found)


def normalize(obj: Obj, types: TypeNode) -> None:
    """Nulls and empty optional lists and maps gone, value structs filled in, as Go writes the decoded object."""
    unset = types.schema.get("x-go-zero", {})
    for name in list(obj):
        child = types.child(name)
        if obj[name] is None:
            _unset(obj, name, types)
        elif child is None:
            continue
        elif child.shape in ("map", "list"):
            _normalize_child(obj, name, child, is_kept=name in unset)
        elif child.is_quantity:
            obj[name] = canonical(str(obj[name]))
    for name, zero in unset.items():
        if name not in obj and name != "metadata":
            obj[name] = _zero(types, name, zero)
    if "metadata" in unset and not types.declares("apiVersion"):
        obj.setdefault("metadata", {}).setdefault("creationTimestamp", None)


def _unset(obj: Obj, name: str, types: TypeNode) -> None:
    """A null: nothing in a struct, and in a map the zero of what it holds."""
    element = types.child(name)
    del obj[name]
    if "properties" not in types.schema and element is not None and element.shape == "scalar":
        obj[name] = "0" if element.is_quantity else _ZEROS.get(element.schema.get("type", ""), "")


def drop_nulls(obj: Obj, types: TypeNode) -> None:
    """Nulls gone, as a typed decoder leaves them out; in a list they are what is there when nothing is set."""
    for name in list(obj):
        child, value = types.child(name), obj[name]
        if value is None:
            del obj[name]
        elif child is not None and isinstance(value, dict):
            drop_nulls(value, child)
        elif child is not None and isinstance(value, list):
            _fill(value, child.element)
            for item in value:
                if isinstance(item, dict):
                    drop_nulls(item, child.element)


def _fill(items: list[Any], types: TypeNode) -> None:
    if None in items:
        zero: Any = _ZEROS.get(types.schema.get("type", ""), "") if types.shape == "scalar" else None
        empty: Any = [] if types.shape == "list" else {}
        items[:] = [(zero if zero is not None else copy.copy(empty)) if one is None else one for one in items]


_ZEROS: dict[str, Any] = {"boolean": False, "integer": 0, "number": 0}


def _normalize_child(owner: Obj, name: str, types: TypeNode, *, is_kept: bool) -> None:
    value = owner[name]
    if isinstance(value, dict):
        normalize(value, types)
    elif isinstance(value, list):
        _fill(value, types.element)
        for item in value:
            if isinstance(item, dict):
                normalize(item, types.element)
    if not value and not is_kept and "properties" not in types.schema:
        del owner[name]


def _zero(types: TypeNode, name: str, zero: Any) -> Any:
    child = types.child(name)
    return child.zero() if zero == {} and child is not None else copy.deepcopy(zero)
