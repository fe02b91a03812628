"""Request bodies in protobuf, which newer kubectl and Helm, and clients in Go, send of the built-in kinds."""

from __future__ import annotations

from typing import Any

from devplane.errors import ApiError, not_registered, wrong_kind
from devplane.resources.registry import Resource
from devplane.schemas.definitions import definition_types, names
from devplane.wire.protobuf_fields import BYTES, MalformedError, fields, key, text
from devplane.wire.protobuf_messages import definitions, message
from devplane.wire.texts import DEEPEST, check_depth

Obj = dict[str, Any]
Kind = tuple[str, str]

MAGIC = b"k8s\x00"
_SHOWN = 30
_KINDS = "x-kubernetes-group-version-kind"


def is_read(api_version: str, kind: str) -> bool:
    """Whether bodies of a kind can be protobuf: those of the built-in kinds can."""
    return names().get((api_version, kind), "") in definitions()


def decode(body: bytes, api_version: str, kind: str) -> Obj:
    """The JSON object of a body that should hold a `kind`, a kind that `is_read`; 400 for what is none."""
    try:
        sent, raw = _envelope(body)
    except MalformedError as error:
        why = f"the object provided is unrecognized (must be of type {kind}): {error} ({_shown(body)})"
        raise ApiError.bad_request(why) from None
    named = (sent[0] or api_version, sent[1] or kind)
    definition = _definition(named, (api_version, kind))
    try:
        found = {"apiVersion": named[0], "kind": named[1], **message(definition, raw)}
        check_depth(found)
    except MalformedError as error:
        raise ApiError.bad_request(_cannot_handle(named, kind, str(error))) from None
    except RecursionError:
        why = f"the object is nested more than {DEEPEST} levels deep; make it flatter"
        raise ApiError.bad_request(why) from None
    return found


def _envelope(body: bytes) -> tuple[Kind, bytes]:
    """apiVersion and kind, empty where the sender leaves them to the path, and the message."""
    if not body.startswith(MAGIC):
        prefix = " ".join(str(byte) for byte in MAGIC)
        wanted = f"provided data does not appear to be a protobuf message, expected prefix [{prefix}]"
        raise MalformedError(wanted if body else "empty data")
    if len(body) == len(MAGIC):
        raise MalformedError("empty body")
    envelope = dict(fields(body[len(MAGIC) :]))
    meta = dict(fields(envelope.get(key(1, BYTES), b"")))
    named = text(meta.get(key(1, BYTES), b"")), text(meta.get(key(2, BYTES), b""))
    return named, envelope.get(key(2, BYTES), b"")


def _shown(body: bytes) -> str:
    """The beginning of a body: as text where it could be JSON."""
    start = body[:_SHOWN]
    shown = text(start) if start[:1] == b"{" else start.hex()
    return f"{shown} ..." if len(body) > _SHOWN else shown or "<empty>"


def _definition(named: Kind, wanted: Kind) -> str:
    """What the body is read as: a kind of another group may be the same one, as DeleteOptions is."""
    expected = names()[wanted]
    group, _, version = named[0].rpartition("/")
    if {"group": group, "version": version, "kind": named[1]} in definition_types(expected)[_KINDS]:
        return expected
    if named not in names():
        raise ApiError.bad_request(_cannot_handle(named, wanted[1], not_registered(*named)))
    group, _, version = wanted[0].rpartition("/")
    resource = Resource(group, version, "", "", wanted[1], namespaced=False)
    raise ApiError.bad_request(wrong_kind(resource, *named))


def _cannot_handle(named: Kind, wanted: str, why: str) -> str:
    version = named[0].rpartition("/")[2]
    return f'{named[1]} in version "{version}" cannot be handled as a {wanted}: {why}'
