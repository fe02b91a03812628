"""The door: who makes a request, for whom it counts, and whether that user may do it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devplane.access.authentication import Authentication, forbidden
from devplane.access.impersonation import impersonated, needed
from devplane.access.rbac import Action, Authorizer
from devplane.access.tokens import User
from devplane.wire.requests import Place, verb_of

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy


class Gate:
    """Authentication, impersonation and authorization of one request."""

    def __init__(self, authentication: Authentication, authorizer: Authorizer) -> None:
        self._authentication = authentication
        self._authorizer = authorizer

    def user(self, headers: CIMultiDictProxy[str]) -> User:
        """Whom the request counts as; raises 401, and 403 for who may not be taken for another."""
        user = self._authentication.user(headers)
        other = impersonated(headers)
        if other is None:
            return user
        for action in needed(headers, other):
            self.authorize(user, action)
        return other

    def authorize(self, user: User, action: Action) -> None:
        """Raises 403 where the user may not do it."""
        verdict = self._authorizer.decide(user, action)
        if not verdict.allowed:
            raise forbidden(user, action, verdict.reason)


def action_of(verb: str, where: Place, fields: str = "") -> Action:
    """`fields` is the field selector of a list: one that asks for a name asks for that object."""
    resource, sub = where.resource, f"/{where.subresource}" if where.subresource else ""
    namespace = where.namespace or ""
    if resource.key == "namespaces":  # a namespace is itself within its scope
        namespace = where.name
    name = where.name or (_named(fields) if fields else "")
    return Action(verb, resource.group, f"{resource.plural}{sub}", namespace, name)


def _named(fields: str) -> str:
    found = next((one for one in fields.split(",") if one.startswith("metadata.name=")), "")
    return found.partition("=")[2].removeprefix("=")


def unknown_action(method: str, group: str, rest: list[str]) -> Action:
    """A resource that is not served, as it would be asked for."""
    if rest[0] == "watch" and len(rest) > 1:
        return replace(unknown_action(method, group, rest[1:]), verb="watch")
    namespaced = rest[0] == "namespaces" and len(rest) > 2
    resource, *name = rest[2:] if namespaced else rest
    verb = verb_of(method, is_named=bool(name), is_watch=False)
    return Action(verb, group, resource, rest[1] if namespaced else "", name[0] if name else "")
