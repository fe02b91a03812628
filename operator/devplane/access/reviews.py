"""Questions that are asked by POST and stored nowhere: who is this token, who am I, may I."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devplane.access.rbac import Action, Authorizer
from devplane.access.tokens import InvalidTokenError, Tokens, User
from devplane.errors import ApiError, Cause
from devplane.resources.registry import Resource

Obj = dict[str, Any]


class Reviews:
    """Answers from the tokens' signatures and the stored roles."""

    def __init__(self, tokens: Tokens, authorizer: Authorizer) -> None:
        self._tokens = tokens
        self._authorizer = authorizer

    def answer(self, resource: Resource, body: Obj, user: User, now: str, namespace: str = "") -> Obj:
        """The review with its status; `namespace` is that of the URL."""
        spec = body.get("spec") or {}
        metadata: Obj = {"creationTimestamp": None}
        match resource.kind:
            case "TokenReview":
                status = self._token(spec)
            case "SelfSubjectReview":
                metadata = {"creationTimestamp": now}
                status = {"userInfo": user.info()}
            case "SelfSubjectRulesReview":
                status, spec = self._rules(user, spec), {}
            case "SelfSubjectAccessReview":
                status = self._access(user, spec, resource)
            case "LocalSubjectAccessReview":
                _check_local(spec, namespace)
                status = self._access(_subject(spec, resource), spec, resource)
            case _:
                status = self._access(_subject(spec, resource), spec, resource)
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

    def _rules(self, user: User, spec: Obj) -> Obj:
        if not spec.get("namespace"):
            raise ApiError.bad_request("no namespace on request")
        rules = self._authorizer.rules(user, spec["namespace"])
        return {
            "resourceRules": [rule for rule in rules if "resources" in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        }

    def _access(self, user: User, spec: Obj, resource: Resource) -> Obj:
        verdict = self._authorizer.decide(user, _action(spec, resource))
        reason = {"reason": verdict.reason} if verdict.reason else {}
        return {"allowed": verdict.allowed, **reason}


def _subject(spec: Mapping[str, Any], resource: Resource) -> User:
    name, groups = spec.get("user", ""), tuple(spec.get("groups") or ())
    if not name and not groups:
        cause = Cause.invalid("spec.user", "", "at least one of user or group must be specified")
        raise ApiError.invalid(resource.kind_name, "", [cause])
    return User(name, spec.get("uid", ""), groups, spec.get("extra") or {})


def _check_local(spec: Mapping[str, Any], namespace: str) -> None:
    """A LocalSubjectAccessReview asks about its own namespace and nothing else."""
    asked = spec.get("resourceAttributes") or {}
    if spec.get("nonResourceAttributes"):
        found = Cause.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], _DISALLOWED)
    elif asked.get("namespace", "") != namespace:
        found = Cause.invalid("spec.resourceAttributes.namespace", asked.get("namespace", ""), _ELSEWHERE)
    else:
        return
    raise ApiError.invalid("LocalSubjectAccessReview.authorization.k8s.io", "", [found])


_DISALLOWED = "disallowed on this kind of request"
_ELSEWHERE = "must match metadata.namespace"
_BOTH = "cannot be specified in combination with resourceAttributes"


def _action(spec: Mapping[str, Any], resource: Resource) -> Action:
    if spec.get("nonResourceAttributes") and spec.get("resourceAttributes"):
        cause = Cause.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], _BOTH)
        raise ApiError.invalid(resource.kind_name, "", [cause])
    if plain := spec.get("nonResourceAttributes"):
        return Action(plain.get("verb", ""), path=plain.get("path", ""))
    asked = spec.get("resourceAttributes")
    if asked is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise ApiError.invalid(resource.kind_name, "", [Cause.invalid("spec.resourceAttributes", None, text)])
    sub = f"/{asked['subresource']}" if asked.get("subresource") else ""
    return Action(
        verb=asked.get("verb", ""),
        group=asked.get("group", ""),
        resource=f"{asked.get('resource', '')}{sub}",
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
    )
