"""Role-based access control over the stored roles and bindings, with the roles that every cluster has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from devplane.access.tokens import User
from devplane.storage.selectors import selects
from devplane.storage.store import Store

Obj = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
_BINDINGS, _CLUSTER_BINDINGS = f"rolebindings.{GROUP}", f"clusterrolebindings.{GROUP}"
ROLES, CLUSTER_ROLES = f"roles.{GROUP}", f"clusterroles.{GROUP}"
ACCESS = (_BINDINGS, _CLUSTER_BINDINGS, ROLES, CLUSTER_ROLES)
"""Every resource that says who may do what."""

MASTERS = "system:masters"
CLUSTER_ADMIN: list[Obj] = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]
# What anybody who is known may do without a binding of the user's making (system:basic-user, system:discovery, …).
_REVIEWS: list[Obj] = [
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
]
_PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
              "/version", "/version/"]  # fmt: skip
_BASIC: list[Obj] = [
    *_REVIEWS,
    {"verbs": ["get"], "nonResourceURLs": _DISCOVERY},
    {"verbs": ["get"], "nonResourceURLs": _PUBLIC},
]


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody wants to do: a verb on a resource (``pods/log``), or on a `path` where it is given."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` names the binding that allows it; empty where nothing does."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides from what is stored at the moment."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, user: User, action: Action) -> Verdict:
        if MASTERS in user.groups:
            return Verdict(allowed=True)
        if "system:authenticated" in user.groups and any(_covers(rule, action) for rule in _BASIC):
            return Verdict(allowed=True, reason="RBAC: allowed to every authenticated user")
        for reason, rules in self._granted(user, action.namespace):
            if any(_covers(rule, action) for rule in rules):
                return Verdict(allowed=True, reason=reason)
        return Verdict(allowed=False)

    def rules(self, user: User, namespace: str) -> list[Obj]:
        """Every rule that holds for a user in a namespace."""
        if MASTERS in user.groups:
            return CLUSTER_ADMIN
        basic = _BASIC if "system:authenticated" in user.groups else []
        return [*basic, *(rule for _, rules in self._granted(user, namespace) for rule in rules)]

    def _granted(self, user: User, namespace: str) -> Iterator[tuple[str, Sequence[Obj]]]:
        bindings = self._store.items(_CLUSTER_BINDINGS)
        if namespace:
            bindings = [*bindings, *self._store.items(_BINDINGS, namespace)]
        for binding in bindings:
            subject = next((one for one in binding.get("subjects") or () if _is(binding, one, user)), None)
            if subject is not None:
                yield _reason(binding, subject), self.rules_of(binding) or ()

    def rules_of(self, binding: Obj) -> Sequence[Obj] | None:
        """What a binding grants, or None where its role doesn't exist."""
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._store.get(CLUSTER_ROLES, "", reference["name"])
        else:
            role = self._store.get(ROLES, binding["metadata"].get("namespace", ""), reference["name"])
        if role is None:
            return None
        return [rule for one in self._collected(role, {}).values() for rule in one.get("rules") or ()]

    def _collected(self, role: Obj, found: dict[str, Obj]) -> dict[str, Obj]:
        """The role with those that it collects by their labels, and those that they collect."""
        found[role["metadata"]["name"]] = role
        for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
            for other in self._store.items(CLUSTER_ROLES):
                is_new = other["metadata"]["name"] not in found
                if is_new and selects(selector, other["metadata"].get("labels") or {}):
                    self._collected(other, found)
        return found


def _is(binding: Obj, subject: Obj, user: User) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            return user.name == f"system:serviceaccount:{_namespace(binding, subject)}:{subject['name']}"
        case _:
            return False


def _namespace(binding: Obj, subject: Obj) -> str:
    """A service account's own, or else the binding's."""
    return str(subject.get("namespace") or binding["metadata"].get("namespace", ""))


def _reason(binding: Obj, subject: Obj) -> str:
    def located(name: str, namespace: str) -> str:
        return f'"{name}/{namespace}"' if namespace else f'"{name}"'

    role = binding["roleRef"]
    bound = located(binding["metadata"]["name"], binding["metadata"].get("namespace", ""))
    home = _namespace(binding, subject) if subject["kind"] == "ServiceAccount" else ""
    who = f"{subject['kind']} {located(subject['name'], home)}"
    return f'RBAC: allowed by {binding["kind"]} {bound} of {role["kind"]} "{role["name"]}" to {who}'


def _covers(rule: Obj, action: Action) -> bool:
    if not _has(rule.get("verbs"), action.verb):
        return False
    if action.path:
        return any(_path_matches(one, action.path) for one in rule.get("nonResourceURLs") or ())
    if not _has(rule.get("apiGroups"), action.group) or not _names_resource(rule, action.resource):
        return False
    names = rule.get("resourceNames")
    return not names or action.name in names


def _has(values: Sequence[str] | None, wanted: str) -> bool:
    return values is not None and ("*" in values or wanted in values)


def _names_resource(rule: Obj, resource: str) -> bool:
    resources = rule.get("resources") or ()
    subresource = resource.partition("/")[2]
    return "*" in resources or resource in resources or (bool(subresource) and f"*/{subresource}" in resources)


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))
