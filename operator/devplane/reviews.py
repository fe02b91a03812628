"""Questions that are asked by POST and stored nowhere: who is this token, who am I, may I."""

from __future__ import annotations

from typing import Any

from devplane.resources import Resource
from devplane.tokens import InvalidTokenError, Tokens, User

Obj = dict[str, Any]

_ALL_RESOURCES = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_ALL_PATHS = {"verbs": ["*"], "nonResourceURLs": ["*"]}


class Reviews:
    """Every authenticated user may do everything: there is no RBAC here (docs/devplane.md)."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def answer(self, resource: Resource, body: Obj, user: User, now: str) -> Obj:
        """The review with its status."""
        spec = body.get("spec") or {}
        metadata: Obj = {"creationTimestamp": None}
        match resource.kind:
            case "TokenReview":
                status = self._token(spec)
            case "SelfSubjectReview":
                metadata = {"creationTimestamp": now}
                status = {"userInfo": user.info()}
            case "SelfSubjectRulesReview":
                status = {"resourceRules": [_ALL_RESOURCES], "nonResourceRules": [_ALL_PATHS], "incomplete": False}
                spec = {}
            case "SubjectAccessReview" | "LocalSubjectAccessReview":
                status = _access(spec.get("user", ""), spec.get("groups") or ())
            case _:
                status = {"allowed": True, "reason": "devplane: every authenticated user may do everything"}
        answered = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if resource.kind != "SelfSubjectReview":
            answered["spec"] = spec
        return {**answered, "status": status}

    def _token(self, spec: Obj) -> Obj:
        try:
            found = self._tokens.verify(spec.get("token", ""), spec.get("audiences") or ())
        except InvalidTokenError as error:
            return {"user": {}, "error": str(error)}
        return {"authenticated": True, "user": found.user.info(), "audiences": list(found.audiences)}


def _access(user: str, groups: Any) -> Obj:
    if user == "system:anonymous" or "system:unauthenticated" in groups:
        return {"allowed": False}
    return {"allowed": True, "reason": "devplane: every authenticated user may do everything"}
