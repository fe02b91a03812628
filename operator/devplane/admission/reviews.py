"""AdmissionReview: the question as webhooks are asked it, and what of their answers is accepted. Pure."""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

import orjson

from devplane.admission.attributes import Attributes
from devplane.errors import ApiError, go_quote
from devplane.resources.registry import Resource

Obj = dict[str, Any]

API_VERSION = "admission.k8s.io/v1"
KIND = f"{API_VERSION}, Kind=AdmissionReview"


class InvalidAnswerError(Exception):
    """A webhook answered something that is no answer; the message is the server's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook said; `refusal` is also set where it could not be asked and must be."""

    refusal: ApiError | None = None
    patch: tuple[Obj, ...] = ()
    warnings: tuple[str, ...] = ()


def group_version_kind(resource: Resource, subresource: str) -> Obj:
    """The kind of what is sent: that of the subresource where it has one of its own."""
    sub = resource.subresource(subresource) if subresource else None
    if sub is None:
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}
    group, version = (sub.group, sub.version) if sub.version else (resource.group, resource.version)
    return {"group": group, "version": version, "kind": sub.kind}


def group_version_resource(resource: Resource) -> Obj:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def question(uid: str, attributes: Attributes, resource: Resource) -> Obj:
    """`resource` is the version that the webhook wants; `attributes` has the objects in that version."""
    request: Obj = {
        "uid": uid,
        "kind": group_version_kind(resource, attributes.subresource),
        "resource": group_version_resource(resource),
        "subResource": attributes.subresource,
        "requestKind": group_version_kind(attributes.resource, attributes.subresource),
        "requestResource": group_version_resource(attributes.resource),
        "requestSubResource": attributes.subresource,
        "name": attributes.name,
        "namespace": attributes.namespace,
        "operation": attributes.operation,
        "userInfo": attributes.user.info(),
        "object": attributes.object,
        "oldObject": attributes.old,
        "dryRun": attributes.dry_run,
        "options": attributes.options or None,
    }
    left_out = ("subResource", "requestSubResource", "name", "namespace")
    shown = {key: value for key, value in request.items() if value or key not in left_out}
    return {"kind": "AdmissionReview", "apiVersion": API_VERSION, "request": shown}


def answer(name: str, uid: str, review: Any, *, is_mutating: bool) -> Answer:
    """Raises InvalidAnswerError for what is no answer to the question."""
    if not isinstance(review, dict):
        raise InvalidAnswerError("webhook response is not an object")
    response = review.get("response")
    if not isinstance(response, dict):
        raise InvalidAnswerError("webhook response was absent")
    if response.get("uid") != uid:
        raise InvalidAnswerError(f"expected response.uid={go_quote(uid)}, got {go_quote(response.get('uid') or '')}")
    got = f"{review.get('apiVersion', '')}, Kind={review.get('kind', '')}"
    if got != KIND:
        raise InvalidAnswerError(f"expected webhook response of {KIND}, got {got}")
    _check_types(response)
    patch = _patch(response) if is_mutating else ()
    warnings = tuple(str(one) for one in response.get("warnings") or ())
    refusal = None if response.get("allowed") else refused(name, response.get("status") or {})
    return Answer(refusal, patch, warnings)


def _check_types(response: Obj) -> None:
    status = response.get("status") or {}
    held = [(response, one) for one in _TYPES] + [(status, one) for one in _STATUS if isinstance(status, dict)]
    for part, (key, kind) in held:
        if part.get(key) is not None and not isinstance(part[key], kind):
            raise InvalidAnswerError(f"cannot unmarshal {type(part[key]).__name__} into field {key}")


_TYPES: tuple[tuple[str, type], ...] = (
    ("allowed", bool), ("patch", str), ("patchType", str), ("warnings", list), ("status", dict),
)  # fmt: skip
_STATUS: tuple[tuple[str, type], ...] = (("message", str), ("reason", str), ("code", int), ("details", dict))


def _patch(response: Obj) -> tuple[Obj, ...]:
    patch, kind = response.get("patch"), response.get("patchType")
    if patch and not kind:
        raise InvalidAnswerError("webhook returned response.patch but not response.patchType")
    if kind and not patch:
        raise InvalidAnswerError("webhook returned response.patchType but not response.patch")
    if not patch:
        return ()
    if kind != "JSONPatch":
        raise InvalidAnswerError(f"webhook returned invalid response.patchType of {go_quote(str(kind))}")
    try:
        decoded = orjson.loads(b64decode(patch, validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidAnswerError(f"response.patch is no base64 of JSON: {error}") from error
    if not isinstance(decoded, list) or not all(isinstance(one, dict) for one in decoded):
        raise InvalidAnswerError("response.patch is not a list of operations")
    return tuple(decoded)


def refused(name: str, status: Obj) -> ApiError:
    """A webhook's no, with its code, reason and details."""
    denied = f"admission webhook {go_quote(name)} denied the request"
    why = status.get("message") or status.get("reason")
    message = f"{denied}: {why}" if why else f"{denied} without explanation"
    code = status.get("code") or 0
    return ApiError(code if 400 <= code < 600 else 400, status.get("reason") or "", message, status.get("details"))
