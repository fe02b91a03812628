"""What the API server refuses, as `ApiError`: code, reason, message and details of a Kubernetes Status. Pure.

A resource is named as in messages: ``configmaps`` or ``jobs.batch``; a kind likewise: ``ConfigMap`` or ``Job.batch``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devplane.resources.registry import Resource

Obj = dict[str, Any]

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with an object, e.g. ``FieldValueRequired``, ``Required value: …``, ``metadata.name``."""

    reason: str
    message: str
    field: str

    @classmethod
    def required(cls, field: str, detail: str = "") -> Cause:
        return cls("FieldValueRequired", f"Required value: {detail}" if detail else "Required value", field)

    @classmethod
    def invalid(cls, field: str, value: object, detail: str) -> Cause:
        return cls("FieldValueInvalid", f"Invalid value: {go_value(value)}: {detail}", field)

    @classmethod
    def forbidden(cls, field: str, detail: str) -> Cause:
        return cls("FieldValueForbidden", f"Forbidden: {detail}", field)

    @classmethod
    def unsupported(cls, field: str, value: object, supported: Sequence[str]) -> Cause:
        known = ", ".join(f'"{one}"' for one in supported)
        detail = f"Unsupported value: {go_value(value)}: supported values: {known}"
        return cls("FieldValueNotSupported", detail, field)

    @classmethod
    def duplicate(cls, field: str, value: object) -> Cause:
        return cls("FieldValueDuplicate", f"Duplicate value: {go_value(value)}", field)

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def body(self) -> Obj:
        filled = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in filled.items() if value}


def go_value(value: object) -> str:
    """A value as a field error prints it: strings quoted, JSON for the rest."""
    import json

    if isinstance(value, str):
        return go_quote(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def go_quote(text: str) -> str:
    """Like Go's %q for the text that objects hold."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


class ApiError(Exception):
    """A refusal, with everything its Status says. `reason` may be empty (a plain 500)."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = None if details is None else dict(details)
        self.warnings: tuple[str, ...] = ()

    def status(self) -> Obj:
        """The Status object of the answer."""
        body: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body

    @classmethod
    def not_found(cls, resource: str, name: str) -> ApiError:
        return cls(404, "NotFound", f'{resource} "{name}" not found', _details(resource, name))

    @classmethod
    def no_such_path(cls) -> ApiError:
        """A path under a group that exists, but no such resource."""
        return cls(404, "NotFound", "the server could not find the requested resource", {})

    @classmethod
    def already_exists(cls, resource: str, name: str, *, ends: bool = False) -> ApiError:
        """`ends` says that what is there is being deleted."""
        why = "object is being deleted: " if ends else ""
        return cls(409, "AlreadyExists", f'{why}{resource} "{name}" already exists', _details(resource, name))

    @classmethod
    def conflict(cls, resource: str, name: str, why: str = MODIFIED) -> ApiError:
        message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
        return cls(409, "Conflict", message, _details(resource, name))

    @classmethod
    def apply_conflict(cls, message: str, causes: Iterable[Cause]) -> ApiError:
        """Another manager owns fields that a server-side apply would change."""
        return cls(409, "Conflict", message, {"causes": [cause.body() for cause in causes]})

    @classmethod
    def invalid(cls, kind: str, name: str, causes: Iterable[Cause]) -> ApiError:
        """422 with every cause; the message names each once."""
        found = list(causes)
        details = {**_details(kind, name), "causes": [cause.body() for cause in found]}
        return cls(422, "Invalid", f'{kind} "{name}" is invalid: {aggregate(found)}', details)

    @classmethod
    def unprocessable(cls, message: str = "the server rejected our request due to an error in our request") -> ApiError:
        """422 without causes: a JSON patch that does not apply."""
        return cls(422, "Invalid", message, {})

    @classmethod
    def bad_request(cls, message: str) -> ApiError:
        return cls(400, "BadRequest", message)

    @classmethod
    def unauthorized(cls) -> ApiError:
        return cls(401, "Unauthorized", "Unauthorized")

    @classmethod
    def forbidden(cls, resource: str, name: str, why: str, causes: Iterable[Cause] = ()) -> ApiError:
        named = f'{resource} "{name}"' if name else resource
        details = _details(resource, name)
        if bodies := [cause.body() for cause in causes]:
            details["causes"] = bodies
        return cls(403, "Forbidden", f"{named} is forbidden: {why}", details)

    @classmethod
    def method_not_allowed(cls, resource: str = "") -> ApiError:
        del resource
        return cls(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})

    @classmethod
    def not_acceptable(cls, accepted: str) -> ApiError:
        message = f"only the following media types are accepted: {accepted}"
        return cls(406, "NotAcceptable", message)

    @classmethod
    def unsupported_media_type(cls, accepted: str) -> ApiError:
        message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        return cls(415, "UnsupportedMediaType", message)

    @classmethod
    def expired(cls, message: str) -> ApiError:
        """410: a resourceVersion or a continue token that is too old; list again."""
        return cls(410, "Expired", message)

    @classmethod
    def too_many_requests(cls, message: str, causes: Iterable[Cause] = (), seconds: int = 0) -> ApiError:
        """`seconds` is how long to wait before another try; 0 says nothing of it."""
        when = {"retryAfterSeconds": seconds} if seconds else {}
        return cls(429, "TooManyRequests", message, {"causes": [cause.body() for cause in causes], **when})

    @classmethod
    def internal(cls, message: str) -> ApiError:
        details = {"causes": [{"message": message}]}
        return cls(500, "InternalError", f"Internal error occurred: {message}", details)

    @classmethod
    def no_space(cls) -> ApiError:
        """What Kubernetes passes on from an etcd whose disk or quota is full."""
        return cls(500, "", "etcdserver: mvcc: database space exceeded")


class AdmissionPendingError(ApiError):
    """A write of a controller waits for admission webhooks: nothing is wrong, and it is tried again soon."""

    def __init__(self, webhooks: str) -> None:
        super().__init__(503, "ServiceUnavailable", f"waiting for admission webhooks: {webhooks}")


def cannot_handle(resource: Resource, why: str) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}'


SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"


def wrong_kind(resource: Resource, api_version: str, kind: str) -> str:
    version = api_version.rpartition("/")[2]
    if resource.crd:
        wanted = f"expected {resource.api_version}, Kind={resource.kind}"
        got = f"{wanted}, got {api_version}, Kind={kind}"
        return f"the object provided is unrecognized (must be of type {resource.kind}): {got}"
    package = resource.group.partition(".")[0] or "core"
    why = f"converting ({version}.{kind}) to ({package}.{resource.kind}): unknown conversion"
    return f'{kind} in version "{version}" cannot be handled as a {resource.kind}: {why}'


def not_registered(api_version: str, kind: str, scheme: str = SCHEME) -> str:
    """`scheme` is where in Kubernetes' source the kinds that a reader knows are listed."""
    return f'no kind "{kind}" is registered for version "{api_version}" in scheme "{scheme}"'


def aggregate(causes: Sequence[Cause]) -> str:
    """Causes as one text, each once: ``a`` or ``[a, b]``."""
    texts = list(dict.fromkeys(str(cause) for cause in causes))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _details(qualified: str, name: str) -> Obj:
    kind, _, group = qualified.partition(".")
    details: Obj = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}
