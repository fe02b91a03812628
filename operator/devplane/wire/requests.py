"""What a request asks for: its path, its options, its body. No storage, no answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from devplane.access.tokens import User
from devplane.admission.attributes import Attributes
from devplane.errors import ApiError, Cause, go_quote
from devplane.faults.rules import Request
from devplane.machinery.bodies import typed
from devplane.machinery.targets import Target, Write
from devplane.machinery.writes import options
from devplane.resources.registry import Registry, Resource
from devplane.storage.store import copied
from devplane.wire.negotiation import Form
from devplane.wire.texts import parse_json, parse_yaml

if TYPE_CHECKING:
    from aiohttp import web
    from multidict import MultiMapping

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
    """A path below a group version: the resource, the namespace (None: all or cluster scope), name, subresource.

    Paths that begin with ``watch`` are how watches were asked for before there was a parameter."""

    resource: Resource
    namespace: str | None
    name: str
    subresource: str
    is_watch: bool = False

    def verb(self, method: str, *, is_watch: bool) -> str:
        return "watch" if self.is_watch else verb_of(method, is_named=bool(self.name), is_watch=is_watch)


def verb_of(method: str, *, is_named: bool, is_watch: bool) -> str:
    """What a method asks for, of an object or of all."""
    verb = _VERBS.get(method, "")
    if is_named:
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
    if rest[0] == "watch" and len(rest) > 1:
        watched = place(registry, group, version, rest[1:])
        return None if watched is None or watched.subresource else replace(watched, is_watch=True)
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
        raise ApiError.invalid("CreateOptions.meta.k8s.io", "", [unknown_dry_run([dry_run])])
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        cause = Cause.unsupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"])
        raise ApiError.invalid("CreateOptions.meta.k8s.io", "", [cause])
    return Write(_manager(query.get("fieldManager", ""), user_agent), bool(dry_run), validation, subresource)


def unknown_dry_run(asked: Iterable[str]) -> Cause:
    shown = f"[]string{{{', '.join(go_quote(str(one or '')) for one in asked)}}}"
    return Cause("FieldValueNotSupported", f'Unsupported value: {shown}: supported values: "All"', "dryRun")


def _manager(named: str, user_agent: str) -> str:
    """The name of the field manager; without one, what the User-Agent begins with, as far as that can be printed."""
    if not named:
        return "".join(one for one in user_agent.partition("/")[0] if one.isprintable())[:_LONGEST_MANAGER] or "unknown"
    causes = []
    if len(named.encode()) > _LONGEST_MANAGER:
        text = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
        causes.append(Cause("FieldValueTooLong", text, "fieldManager"))
    if not named.isprintable():
        causes.append(Cause.invalid("fieldManager", named, "should only contain printable characters"))
    if causes:
        raise ApiError.invalid("CreateOptions.meta.k8s.io", "", causes)
    return named


_LONGEST_MANAGER = 128


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower() or JSON


def decode(body: bytes, content_type: str, api_version: str, kind: str) -> Any:
    """The JSON value of a body in any of the formats that are accepted for its kind."""
    match media_type(content_type):
        case "application/json":
            return parse_json(body, kind)
        case "application/yaml":
            return parse_yaml(body)
        case asked:
            from devplane.wire import protobuf

            if not protobuf.is_read(api_version, kind):
                raise ApiError.unsupported_media_type(f"{JSON}, {YAML}")
            if asked != PROTOBUF:
                raise ApiError.unsupported_media_type(f"{JSON}, {YAML}, {PROTOBUF}")
            return protobuf.decode(body, api_version, kind)


def is_true(text: str | None) -> bool:
    return text in ("true", "1", "True", "TRUE", "t", "T")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A parameter that is a whole number; None where it is absent or empty."""
    text = query.get(name)
    if not text:
        return None
    if re.fullmatch("[+-]?[0-9]+", text) is None:
        raise ApiError.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(text) > len(str(_LARGEST)) + 1 or not -_LARGEST <= (value := int(text)) <= _LARGEST:
        raise ApiError.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


_LARGEST = 2**63 - 1


def revision_of(text: str) -> int:
    """A resourceVersion parameter."""
    if re.fullmatch("[0-9]{1,19}", text) is None:
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
    def query(self) -> MultiMapping[str]:
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
        given = [number({"ports": one}, "ports") for one in query.getall("ports", ())]
        ports = {"ports": given} if given else {}
        sub = self.place.resource.subresource(self.place.subresource)
        assert sub is not None
        return {"kind": sub.kind, "apiVersion": "v1", **flags, **named, **command, **ports}

    async def body(self) -> Any:
        """The value of the body; what is not stored is of the types of its kind, and an object in any case."""
        api_version, kind = self._kind
        value = decode(await self.request.read(), self.request.headers.get("Content-Type", ""), api_version, kind)
        return value if self._is_of_object else typed(value, api_version, kind)

    @property
    def _is_of_object(self) -> bool:
        """Whether the body is of the stored object itself, which is decoded where its schema is known."""
        return self.verb in ("create", "update") and self.place.subresource in ("", "status") and (
            "get" in self.place.resource.verbs)  # fmt: skip

    @property
    def _kind(self) -> tuple[str, str]:
        if self.verb in ("delete", "deletecollection"):
            return "v1", "DeleteOptions"
        resource = self.place.resource
        sub = resource.subresource(self.place.subresource)
        if sub is None or not sub.version:
            return resource.api_version, sub.kind if sub else resource.kind
        return f"{sub.group}/{sub.version}", sub.kind
