"""What a request asks for: its path, its options, its body. No storage, no answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from devplane.access.tokens import User
from devplane.admission.attributes import Attributes
from devplane.errors import ApiError, Cause
from devplane.faults.rules import Request
from devplane.machinery.targets import Target, Write
from devplane.machinery.writes import options
from devplane.resources.registry import Registry, Resource
from devplane.storage.store import copied
from devplane.wire.negotiation import Form

if TYPE_CHECKING:
    from aiohttp import web

    from devplane.admission.session import Session

Obj = dict[str, Any]

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Place:
    """A path below a group version: the resource, the namespace (None: all or cluster scope), name, subresource."""

    resource: Resource
    namespace: str | None
    name: str
    subresource: str

    def verb(self, method: str, *, is_watch: bool) -> str:
        verb = _VERBS.get(method, "")
        if self.name:
            return verb
        if verb == "get":
            return "watch" if is_watch else "list"
        return "deletecollection" if verb == "delete" else verb


def group_version(path: str) -> tuple[str, str, list[str]] | None:
    """``/apis/batch/v1/jobs`` → (batch, v1, [jobs]); None for what is not below a group version."""
    match path.strip("/").split("/"):
        case ["api", version, *rest]:
            return "", version, rest
        case ["apis", group, version, *rest]:
            return group, version, rest
        case _:
            return None


def place(registry: Registry, group: str, version: str, rest: list[str]) -> Place | None:
    """Where `rest` of the path leads, or None where nothing is."""
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) > 2 and not _is_own_subresource(group, rest):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *more = [*rest, "", "", ""][: max(3, len(rest))]
    resource = registry.at(group, version, plural)
    if resource is None or more or resource.namespaced < (namespace is not None):
        return None
    if subresource and resource.subresource(subresource) is None:
        return None
    return Place(resource, namespace, name, subresource)


def _is_own_subresource(group: str, rest: list[str]) -> bool:
    return group == "" and len(rest) == 3 and rest[2] in ("status", "finalize")


def write_options(query: Mapping[str, str], user_agent: str, subresource: str) -> Write:
    """The options of a writing request."""
    dry_run = query.get("dryRun", "")
    if dry_run not in ("", "All"):
        cause = Cause.unsupported("dryRun", dry_run, ["All"])
        raise ApiError.invalid("CreateOptions.meta.k8s.io", "", [cause])
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        cause = Cause.unsupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"])
        raise ApiError.invalid("CreateOptions.meta.k8s.io", "", [cause])
    manager = query.get("fieldManager") or user_agent.partition("/")[0] or "unknown"
    return Write(manager, bool(dry_run), validation, subresource)


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower() or JSON


def decode(body: bytes, content_type: str, kind: str) -> Any:
    """The JSON value of a body in any of the accepted formats."""
    match media_type(content_type):
        case "application/json":
            return parse_json(body, kind)
        case "application/yaml":
            return parse_yaml(body)
        case "application/vnd.kubernetes.protobuf":
            from devplane.wire.protobuf import decode as decode_protobuf

            return decode_protobuf(body)
        case _:
            raise ApiError.unsupported_media_type(f"{JSON}, {YAML}, {PROTOBUF}")


def parse_json(body: bytes, kind: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode(errors="replace")
        why = f"couldn't get version/kind; json parse error: {_json_error(text)}"
        raise ApiError.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why}") from None


def _json_error(text: str) -> str:
    """A broken body as Go's decoder complains of it, with the beginning of the body."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text):
            return "unexpected end of JSON input"
        expected = "object key string" if "property name" in error.msg else "value"
        shown = text if len(text) <= 64 else f"{text[:64]} ..."
        return f"invalid character '{text[error.pos]}' looking for beginning of {expected} ({shown})"
    return "invalid UTF-8"


def parse_yaml(body: bytes) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return orjson.loads(orjson.dumps(yaml.load(body, Loader=loader), default=str))  # noqa: S506 (it is a safe loader)
    except (yaml.YAMLError, TypeError) as error:
        raise ApiError.bad_request(f"error decoding YAML: {error}") from None


def apply_body(body: bytes) -> Any:
    """An apply configuration: YAML, which clients send as JSON."""
    if body.lstrip()[:1] == b"{":
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return parse_yaml(body)


def is_true(text: str | None) -> bool:
    return text in ("true", "1", "True", "TRUE", "t", "T")


def revision_of(text: str) -> int:
    """A resourceVersion parameter."""
    if not text.isdigit():
        why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ApiError(500, "", f'resourceVersion: Invalid value: "{text}": {why}')
    return int(text)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, understood."""

    request: web.Request
    place: Place
    user: User
    verb: str
    form: Form
    admission: Session | None = None

    @property
    def warnings(self) -> Iterable[str]:
        return () if self.admission is None else self.admission.warnings

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query

    @property
    def target(self) -> Target:
        namespace = self.place.namespace or ""
        return Target(self.place.resource, namespace, self.place.name)

    def facts(self) -> Request:
        agent = self.request.headers.get("User-Agent", "")
        return Request(self.verb, self.place.resource.key, self.place.namespace or "", self.place.name, agent)

    def write(self) -> Write:
        """The options of the write; those of the Scale are of the object itself."""
        sub = "" if self.place.subresource == "scale" and self.verb == "update" else self.place.subresource
        write = write_options(self.query, self.request.headers.get("User-Agent", ""), sub)
        if self.admission is None:
            return replace(write, user=self.user)
        return replace(write, user=self.user, admission=self.admission, warnings=self.admission.warnings)

    def again(self, body: Any) -> Any:
        """`body` for one of the attempts of a write, which takes it over."""
        return body if self.admission is None else copied(body)

    def told(self, operation: str, obj: Obj) -> Attributes:
        """What is no write of a stored object (a binding, an eviction, a token, a stream), for admission."""
        target, write = self.target, self.write()
        shown = {} if operation == "CONNECT" else options("CreateOptions", write)
        return Attributes(operation, target.resource, target.namespace, target.name, obj, None, self.user,
                          self.place.subresource, write.dry_run, shown)  # fmt: skip

    def connection(self) -> Obj:
        """The options of a stream as an object: a PodExecOptions with its command, for example."""
        query = self.request.query
        flags = {key: is_true(query[key]) for key in ("stdin", "stdout", "stderr", "tty") if key in query}
        named = {"container": query["container"]} if "container" in query else {}
        command = {"command": query.getall("command")} if "command" in query else {}
        ports = {"ports": [int(one) for one in query.getall("ports")]} if "ports" in query else {}
        sub = self.place.resource.subresource(self.place.subresource)
        assert sub is not None
        return {"kind": sub.kind, "apiVersion": "v1", **flags, **named, **command, **ports}

    async def body(self) -> Any:
        content_type = self.request.headers.get("Content-Type", "")
        return decode(await self.request.read(), content_type, self.place.resource.kind)
