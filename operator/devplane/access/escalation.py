"""Nobody grants what they don't hold: the checks on writes of roles and bindings.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devplane.access.coverage import described, go_list, missing
from devplane.access.rbac import CLUSTER_ADMIN, GROUP, MASTERS, Action, Authorizer
from devplane.access.tokens import User
from devplane.errors import ApiError
from devplane.resources.registry import Resource

Obj = dict[str, Any]

_AGGREGATES = "must have cluster-admin privileges to use the aggregationRule"
# What a change may touch without being asked who makes it: the garbage collector needs that.
_COLLECTED = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")


class Escalation:
    """Asked of every write of a role or a binding, with the object as it would be stored."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def check(self, resource: Resource, new: Obj, old: Obj | None, user: User) -> None:
        """Raises 403 where the write would give rights that the user doesn't have."""
        if MASTERS in user.groups or (old is not None and _is_collection(old, new)):
            return
        if resource.plural in ("roles", "clusterroles"):
            self._check_role(resource, new, old, user)
        else:
            self._check_binding(resource, new, user)

    def _check_role(self, resource: Resource, new: Obj, old: Obj | None, user: User) -> None:
        namespace, name = new["metadata"].get("namespace", ""), new["metadata"]["name"]
        asked = Action("escalate", GROUP, resource.plural, namespace, "" if old is None else name)
        if self._authorizer.decide(user, asked).allowed:
            return
        self._confirm(resource, new, new.get("rules") or (), user)
        aggregates = new.get("aggregationRule") or (old or {}).get("aggregationRule")
        if aggregates and missing(self._authorizer.rules(user, namespace), CLUSTER_ADMIN):
            raise ApiError.forbidden(resource.name, name, _AGGREGATES)

    def _check_binding(self, resource: Resource, new: Obj, user: User) -> None:
        namespace, role = new["metadata"].get("namespace", ""), new["roleRef"]
        plural = "clusterroles" if role.get("kind") == "ClusterRole" else "roles"
        asked = Action("bind", role.get("apiGroup", GROUP), plural, namespace, role.get("name", ""))
        if self._authorizer.decide(user, asked).allowed:
            return
        rules = self._authorizer.rules_of(new)
        if rules is None:
            raise ApiError.not_found(resource.name, role.get("name", ""))
        self._confirm(resource, new, rules, user)

    def _confirm(self, resource: Resource, new: Obj, rules: Sequence[Obj], user: User) -> None:
        held = self._authorizer.rules(user, new["metadata"].get("namespace", ""))
        if lacking := missing(held, rules):
            who = f'user "{user.name}" (groups={go_list(user.groups)})'
            why = "is attempting to grant RBAC permissions not currently held:"
            listed = "\n".join(described(lacking))
            raise ApiError.forbidden(resource.name, new["metadata"]["name"], f"{who} {why}\n{listed}")


def _is_collection(old: Obj, new: Obj) -> bool:
    """Nothing changes but what lets the garbage collector remove the object."""
    return _rest(old) == _rest(new)


def _rest(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _COLLECTED}
    return {**obj, "metadata": metadata}
