"""The messages of the built-in kinds, read by tables that are made when a message is first met.

`devplane/data/protobuf.txt` says which number a field has, the kind's schema what it holds; together they give a dict
from a field's key to what puts it into the object. Unknown fields are skipped, as Kubernetes skips them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from devplane.schemas.definitions import definition_types
from devplane.wire import protobuf_values as values
from devplane.wire.protobuf_fields import (
    BYTES,
    FIXED64,
    VARINT,
    MalformedError,
    fields,
    int32,
    int64,
    key,
    numbers,
    text,
)

Obj = dict[str, Any]
Read = Callable[[Any], Any]
Put = Callable[[Obj, Any], None]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SCHEMAS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"


@dataclass(frozen=True, slots=True)
class Field:
    """`path` is the field's number, after those of the messages that JSON does not show."""

    path: tuple[int, ...]
    name: str
    keeps_zero: bool


@dataclass(frozen=True, slots=True)
class Type:
    """The wire type of a value, its JSON, and whether that is something although it is a zero (no null, though)."""

    wire: int
    read: Read
    is_struct: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """What each key of a message does to the object, and the names of its numbers, for messages."""

    name: str
    puts: dict[int, Put]
    known: dict[int, str]


@cache
def _declared() -> dict[str, str]:
    """Definition → its line of the table, not read yet."""
    found: dict[str, str] = {}
    package = ""
    for line in (Path(__file__).parents[1] / "data" / "protobuf.txt").read_text().splitlines():
        name, colon, declared = line.partition(":")
        if line.startswith("#") or not line:
            continue
        if colon:
            found[f"{package}.{name}"] = declared
        else:
            package = line
    return found


def definitions() -> frozenset[str]:
    """The definitions that the table has."""
    return frozenset(_declared())


def fields_of(definition: str) -> tuple[Field, ...]:
    """The fields of a message of the table."""
    return tuple(_field(*one.split()) for one in _declared()[definition].split(",") if one)


def _field(path: str, name: str) -> Field:
    return Field(tuple(map(int, path.split("."))), name.rstrip("*"), name.endswith("*"))


def message(definition: str, raw: bytes) -> Obj:
    """The object that `raw` is, without its apiVersion and kind."""
    found: Obj = {}
    _read(found, raw, _table_of(definition))
    return found


def _read(found: Obj, raw: bytes, table: Table) -> None:
    for at, value in fields(raw):
        put = table.puts.get(at)
        if put is not None:
            put(found, value)
        elif at >> 3 in table.known:
            raise MalformedError(f"proto: wrong wireType = {at & 7} for field {table.known[at >> 3]}")
        elif at < _LEAST:
            raise MalformedError(f"proto: {table.name}: illegal tag 0 (wire type {at})")


_LEAST = key(1, 0)


@cache
def _table_of(definition: str) -> Table:
    properties = definition_types(definition).get("properties", {})
    declared = [(one.path, one, properties[one.name]) for one in fields_of(definition)]
    return _table(definition.rpartition(".")[2], declared)


def _table(name: str, declared: list[tuple[tuple[int, ...], Field, Obj]]) -> Table:
    """The fields of a message by key; those with a longer path are in messages that are read into the same object."""
    puts: dict[int, Put] = {}
    inner: dict[int, list[tuple[tuple[int, ...], Field, Obj]]] = {}
    for (number, *rest), field, schema in declared:
        if rest:
            inner.setdefault(number, []).append((tuple(rest), field, schema))
        else:
            puts |= {key(number, wire): put for wire, put in _put(field, schema)}
    puts |= {key(number, BYTES): _inline(_table(name, more)) for number, more in inner.items()}
    known = {number: _in_go(field.name) for (number, *_), field, _ in declared}
    return Table(name, puts, known)


def _in_go(name: str) -> str:
    """The name of the field in Go, but for its acronyms."""
    return "ObjectMeta" if name == "metadata" else name[:1].upper() + name[1:]


def _inline(table: Table) -> Put:
    return lambda found, raw: _read(found, raw, table)


def _put(field: Field, schema: Obj) -> Iterator[tuple[int, Put]]:
    """What a field does to the object, by wire type."""
    name = field.name
    if schema.get("type") == "array":
        items = _type(schema["items"])
        yield items.wire, lambda found, value: found.setdefault(name, []).append(items.read(value))
        if items.wire == VARINT:
            yield BYTES, lambda found, raw: found.setdefault(name, []).extend(map(items.read, numbers(raw)))
    elif "additionalProperties" in schema:
        entry = _entry(schema["additionalProperties"])
        yield BYTES, lambda found, raw: found.setdefault(name, {}).update((entry(raw),))
    elif (nested := schema.get("$ref", "")) in definitions():
        yield BYTES, lambda found, raw: _read(found.setdefault(name, {}), raw, _table_of(nested))
    else:
        yield _one(field, _type(schema))


def _one(field: Field, kind: Type) -> tuple[int, Put]:
    """A single value."""
    name, read, keeps_zero = field.name, kind.read, kind.is_struct

    def put(found: Obj, value: Any) -> None:
        found[name] = read(value)

    def put_something(found: Obj, value: Any) -> None:
        meant = read(value)
        if meant or (keeps_zero and meant is not None):
            found[name] = meant
        else:
            found.pop(name, None)

    return kind.wire, put if field.keeps_zero else put_something


def _entry(schema: Obj) -> Callable[[bytes], tuple[str, Any]]:
    """An entry of a map: a message of key and value, either of which is its zero when absent."""
    kind = _list_in_a_message(schema["items"]) if schema.get("type") == "array" else _type(schema)
    at = key(2, kind.wire)
    unset: Any = 0 if kind.wire == VARINT else b""

    def read(raw: bytes) -> tuple[str, Any]:
        name, value = b"", unset
        for one, part in fields(raw):
            if one == _NAME:
                name = part
            elif one == at:
                value = part
        return text(name), kind.read(value)

    return read


_NAME = key(1, BYTES)


def _list_in_a_message(schema: Obj) -> Type:
    """The values of `extra` of a user: protobuf has no map of lists."""
    items = _type(schema)
    at = key(1, items.wire)
    return Type(BYTES, lambda raw: [items.read(value) for one, value in fields(raw) if one == at])


def _type(schema: Obj) -> Type:
    reference = schema.get("$ref", "")
    if reference in definitions():
        return Type(BYTES, lambda raw: message(reference, raw))
    if reference in _WRAPPED:
        return Type(BYTES, values.raw_json, is_struct=True)
    if reference in _UNIONS:
        return Type(BYTES, _UNIONS[reference], is_struct=True)
    return _scalar(definition_types(reference) if reference else schema)


def _scalar(schema: Obj) -> Type:
    if schema.get("x-kubernetes-int-or-string"):
        return Type(BYTES, values.int_or_string, is_struct=True)
    match schema.get("type"):
        case "string":
            return Type(BYTES, _TEXTS.get(schema.get("format", ""), text))
        case "integer":
            return Type(VARINT, int32 if schema.get("format") == "int32" else int64)
        case "boolean":
            return Type(VARINT, bool)
        case "number":
            return Type(FIXED64, values.number)
        case other:
            raise ValueError(f"{other}: no such type in protobuf")


_TEXTS: dict[str, Read] = {
    "byte": values.base64,
    "date-time": values.time,
    "date-time-micro": values.micro_time,
    "quantity": values.quantity,
}
_WRAPPED = (f"{_META}.FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension", f"{_SCHEMAS}.JSON")


def _schema_or_list(raw: bytes) -> Any:
    schema, others = _alternatives(raw, schema_at=1)
    return [_schema(one) for one in others] or schema


def _schema_or_bool(raw: bytes) -> Any:
    schema, others = _alternatives(raw, schema_at=2)
    return bool(others and others[-1]) if schema is None else schema


def _schema_or_strings(raw: bytes) -> Any:
    schema, others = _alternatives(raw, schema_at=1)
    return [text(one) for one in others] or schema


def _alternatives(raw: bytes, *, schema_at: int) -> tuple[Obj | None, list[Any]]:
    """A schema, or the values of the other field."""
    schema: Obj | None = None
    others: list[Any] = []
    for at, value in fields(raw):
        if at == key(schema_at, BYTES):
            schema = _schema(value)
        elif at >> 3 == 3 - schema_at:
            others.append(value)
    return schema, others


def _schema(raw: bytes) -> Obj:
    return message(f"{_SCHEMAS}.JSONSchemaProps", raw)


_UNIONS: dict[str, Read] = {
    f"{_SCHEMAS}.JSONSchemaPropsOrArray": _schema_or_list,
    f"{_SCHEMAS}.JSONSchemaPropsOrBool": _schema_or_bool,
    f"{_SCHEMAS}.JSONSchemaPropsOrStringArray": _schema_or_strings,
}
