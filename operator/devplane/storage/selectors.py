"""Label and field selectors: parsed once, matched against objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devplane.errors import ApiError

Obj = dict[str, Any]

_TOKEN = re.compile(r"\s*(?:(==|!=|=|!|\(|\)|,|>|<)|([^\s=!(),<>]+))")
_OPERATORS = {"in", "notin"}
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_NAME_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term: `operator` is one of ``in notin = != exists !exists > <``."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!exists":
                return value is None
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        (bound,) = self.values
        if not _is_integer(value) or not _is_integer(bound):
            return False
        return int(value) > int(bound) if self.operator == ">" else int(value) < int(bound)


def _is_integer(text: str) -> bool:
    return re.fullmatch("-?[0-9]{1,19}", text) is not None


class _Parser:
    """Recursive descent over the tokens of a label selector, with the server's own complaints."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ApiError.bad_request(f"unable to parse requirement: {text!r}")
            self._tokens.append(found[1] or found[2])
            at = found.end()
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def parse(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        if self._peek():
            found.append(self._term("!, identifier, or 'end of string'"))
        while self._peek():
            if (separator := self._take()) != ",":
                raise ApiError.bad_request(f"found '{separator}', expected: ',' or 'end of string'")
            found.append(self._term("identifier after ','"))
        return tuple(found)

    def _term(self, expected: str) -> Requirement:
        first = self._peek()
        if first != "!" and (not first or _is_symbol(first)):
            raise ApiError.bad_request(f"found '{first}', expected: {expected}")
        try:
            term = self._requirement()
            check_requirement(term)
        except ValueError as error:
            raise ApiError.bad_request(f"unable to parse requirement: {error}") from None
        return term

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._identifier("identifier"), "!exists")
        key = self._identifier("identifier")
        operator = self._peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self._take()
        if operator in _OPERATORS:
            return Requirement(key, operator, self._set())
        if operator in ("=", "==", "!=", ">", "<"):
            return Requirement(key, "=" if operator == "==" else operator, frozenset({self._value()}))
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _identifier(self, expected: str) -> str:
        token = self._take()
        if not token or _is_symbol(token):
            raise ValueError(f"found '{token}', expected: {expected}")
        return token

    def _value(self) -> str:
        return "" if self._peek() in ("", ",") else self._identifier("identifier")

    def _set(self) -> frozenset[str]:
        if (opened := self._take()) != "(":
            raise ValueError(f"found '{opened}', expected: '('")
        values = {self._set_value()}
        while (closed := self._take()) == ",":
            values.add(self._set_value())
        if closed != ")":
            raise ValueError(f"found '{closed}', expected: ',' or ')'")
        return frozenset(values)

    def _set_value(self) -> str:
        return "" if self._peek() in (",", ")") else self._identifier("',', ')' or identifier")


def check_requirement(term: Requirement) -> None:
    """A ValueError for a key that no label can have, and for what can't be compared."""
    prefix, _, name = term.key.rpartition("/")
    if not re.fullmatch(_NAME, name) or len(name) > 63 or (prefix and not re.fullmatch(_PREFIX, prefix)):
        words = _NAME_WORDS if not re.fullmatch(_NAME, name) else "name part must be no more than 63 characters"
        words = words if len(name) > 63 or not re.fullmatch(_NAME, name) else "prefix part is not a DNS subdomain"
        raise ValueError(f'<nil>: Invalid value: "{term.key}": {words}')
    if term.operator in "><" and (bad := [one for one in term.values if not _is_integer(one)]):
        why = "for 'Gt', 'Lt' operators, the value must be an integer"
        raise ValueError(f'values[0]: Invalid value: "{bad[0]}": {why}')


def _is_symbol(token: str) -> bool:
    return token in ("==", "!=", "=", "!", "(", ")", ",", ">", "<")


def parse_labels(text: str) -> tuple[Requirement, ...]:
    return _Parser(text).parse()


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """``metadata.name=x`` or ``status.phase!=Running``."""

    path: str
    value: str
    negated: bool


def parse_fields(text: str) -> tuple[FieldTerm, ...]:
    found: list[FieldTerm] = []
    for part in filter(None, re.split(r"(?<!\\),", text)):
        split = re.match(r"([^!=]+?)(!=|==|=)(.*)", part)
        if split is None:
            raise ApiError.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if re.search(r"(?<!\\)=", split[3]):
            raise ApiError.bad_request("invalid field selector: unescaped character in value: 61")
        value = re.sub(r"\\([\\,=])", r"\1", split[3])
        found.append(FieldTerm(split[1], value, split[2] == "!="))
    return tuple(found)


def field_value(obj: Obj, path: str) -> str:
    """The value at a dotted path as a selector compares it; absent is empty."""
    value: Any = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@dataclass(frozen=True, slots=True)
class Selector:
    """Both selectors of a request; `everything` says that there is nothing to check."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()
    read: Callable[[Obj, str], str] = field_value

    @property
    def everything(self) -> bool:
        return not self.labels and not self.fields

    def matches(self, obj: Obj) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(term.matches(labels) for term in self.labels) and all(
            (self.read(obj, term.path) == term.value) != term.negated for term in self.fields
        )

    @property
    def name(self) -> str | None:
        """The one name that can match, where ``metadata.name=x`` is asked."""
        return next((term.value for term in self.fields if term.path == "metadata.name" and not term.negated), None)


_COMMON = ("metadata.name", "metadata.namespace")
_EVENT_FIELDS = (
    "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
    "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
    "reportingComponent", "source", "type",
)  # fmt: skip
SELECTABLE: Mapping[str, tuple[str, ...]] = {
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
             "status.phase", "status.podIP", "status.nominatedNodeName"),
    "events": _EVENT_FIELDS,
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "nodes": ("spec.unschedulable",),
    "services": ("spec.clusterIP", "spec.type"),
    "jobs.batch": ("status.successful",),
    "replicasets.apps": ("status.replicas",),
    "replicationcontrollers": ("status.replicas",),
}  # fmt: skip


def _read_event(obj: Obj, path: str) -> str:
    if path == "source":
        return field_value(obj, "source.component") or field_value(obj, "reportingComponent")
    return field_value(obj, path)


def _read_pod(obj: Obj, path: str) -> str:
    value = field_value(obj, path)
    return value or ("false" if path == "spec.hostNetwork" else "")


def _read_status_count(obj: Obj, path: str) -> str:
    if path == "status.successful":
        return field_value(obj, "status.succeeded") or "0"
    return field_value(obj, path) or ("0" if path.startswith("status.") else "")


_READERS: Mapping[str, Callable[[Obj, str], str]] = {
    "events": _read_event,
    "pods": _read_pod,
    "jobs.batch": _read_status_count,
    "replicasets.apps": _read_status_count,
}


def selector(key: str, labels: str, fields: str, selectable: tuple[str, ...] | None = None) -> Selector:
    """Both selectors for the resource stored under `key`; `selectable` is given for custom resources."""
    terms = parse_fields(fields)
    custom = selectable is not None
    known = _COMMON + (selectable if selectable is not None else SELECTABLE.get(key, ()))
    for term in terms:
        if term.path not in known:
            raise ApiError.bad_request(_unknown_field(key, term.path, custom))
    return Selector(parse_labels(labels), terms, _READERS.get(key, field_value))


def _unknown_field(key: str, path: str, custom: bool) -> str:
    if custom or key in SELECTABLE:
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def selects(selector: Obj, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector object matches; the empty one selects everything. It need not be valid: what is no
    operator selects nothing."""
    wanted = (selector.get("matchLabels") or {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        _holds(one, labels) for one in selector.get("matchExpressions") or ()
    )


def _holds(expression: Obj, labels: Mapping[str, str]) -> bool:
    key, values = expression.get("key", ""), expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
