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
_KNOWN, _UNKNOWN = "system:authenticated", "system:unauthenticated"
_PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
              "/version", "/version/"]  # fmt: skip
_ISSUER = ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks",
           "/openid/v1/jwks/"]  # fmt: skip
_BASIC: list[Obj] = [
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
]
# What holds without a binding of the user's making: (ClusterRole and its binding, groups, rules).
_FIRST: tuple[tuple[str, tuple[str, ...], list[Obj]], ...] = (
    ("system:basic-user", (_KNOWN,), _BASIC),
    ("system:discovery", (_KNOWN,), [{"verbs": ["get"], "nonResourceURLs": _DISCOVERY}]),
    ("system:public-info-viewer", (_KNOWN, _UNKNOWN), [{"verbs": ["get"], "nonResourceURLs": _PUBLIC}]),
    (
        "system:service-account-issuer-discovery",
        ("system:serviceaccounts",),
        [{"verbs": ["get"], "nonResourceURLs": _ISSUER}],
    ),
)


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
    """`reason` names the binding that allows it; where nothing does, the bindings' roles that are missing."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides from what is stored at the moment."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, user: User, action: Action) -> Verdict:
        if MASTERS in user.groups:
            return Verdict(allowed=True)
        missing: list[str] = []
        for reason, rules in self._granted(user, action.namespace):
            if rules is None:
                missing.append(reason)
            elif any(_covers(rule, action) for rule in rules):
                return Verdict(allowed=True, reason=reason)
        return Verdict(allowed=False, reason=f"RBAC: {_listed(missing)}" if missing else "")

    def rules(self, user: User, namespace: str) -> list[Obj]:
        """Every rule that holds for a user in a namespace."""
        if MASTERS in user.groups:
            return CLUSTER_ADMIN
        return [rule for _, rules in self._granted(user, namespace) for rule in rules or ()]

    def failures(self, user: User, namespace: str) -> str:
        """Which roles of the user's bindings there are none of."""
        return _listed([reason for reason, rules in self._granted(user, namespace) if rules is None])

    def _granted(self, user: User, namespace: str) -> Iterator[tuple[str, Sequence[Obj] | None]]:
        """(why, rules) of each binding of a user; or which role is missing, and None."""
        for name, groups, rules in _FIRST:
            group = next((one for one in groups if one in user.groups), "")
            if group:
                bound = f'ClusterRoleBinding "{name}" of ClusterRole "{name}" to Group "{group}"'
                yield f"RBAC: allowed by {bound}", rules
        bindings = self._store.items(_CLUSTER_BINDINGS)
        if namespace:
            bindings = [*bindings, *self._store.items(_BINDINGS, namespace)]
        for binding in bindings:
            subject = next((one for one in binding.get("subjects") or () if _is(binding, one, user)), None)
            if subject is not None:
                found = self.rules_of(binding)
                yield _absent(binding) if found is None else _reason(binding, subject), found

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


def _absent(binding: Obj) -> str:
    reference = binding["roleRef"]
    return f'{reference["kind"].lower()}.{GROUP} "{reference["name"]}" not found'


def _listed(missing: Sequence[str]) -> str:
    """Several errors as Go's aggregate prints them, each once."""
    texts = list(dict.fromkeys(missing))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""


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
