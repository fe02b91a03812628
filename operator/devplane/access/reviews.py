"""Questions that are asked by POST and stored nowhere: who is this token, who am I, may I."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

    def answer(self, resource: Resource, asked: Obj, user: User, now: str) -> Obj:
        """The decoded review with its status; of those about oneself, only that."""
        spec = asked.get("spec") or {}
        metadata: Obj = {"creationTimestamp": None, **asked["metadata"]}
        match resource.kind:
            case "TokenReview":
                status = self._token(spec)
            case "SelfSubjectReview":
                metadata = {"creationTimestamp": now}
                status = {"userInfo": user.info()}
            case "SelfSubjectRulesReview":
                metadata = {"creationTimestamp": None}
                status, spec = self._rules(user, spec), {}
            case _:
                check(resource, asked)
                is_own = resource.kind.startswith("Self")
                status = self._access(user if is_own else _subject(spec), spec)
        answered = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if resource.kind != "SelfSubjectReview":
            answered["spec"] = spec
        return {**answered, "status": status}

    def _token(self, spec: Obj) -> Obj:
        if not spec.get("token"):
            raise ApiError.bad_request("token is required for TokenReview in authentication")
        try:
            found = self._tokens.verify(spec["token"], spec.get("audiences") or ())
        except InvalidTokenError as error:
            return {"user": {}, "error": str(error)}
        return {"authenticated": True, "user": found.user.info(), "audiences": list(found.audiences)}

    def _rules(self, user: User, spec: Obj) -> Obj:
        if not spec.get("namespace"):
            raise ApiError.bad_request("no namespace on request")
        rules = self._authorizer.rules(user, spec["namespace"])
        failed = self._authorizer.failures(user, spec["namespace"])
        return {
            "resourceRules": [rule for rule in rules if "resources" in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
            **({"evaluationError": failed} if failed else {}),
        }

    def _access(self, user: User, spec: Obj) -> Obj:
        verdict = self._authorizer.decide(user, _action(spec))
        reason = {"reason": verdict.reason} if verdict.reason else {}
        return {"allowed": verdict.allowed, **reason}


def check(resource: Resource, review: Obj) -> None:
    """Raises 422 for a question about access that names nobody or nothing, or too much."""
    if causes := list(_errors(resource, review)):
        raise ApiError.invalid(f".{resource.group}", "", causes)


def _errors(resource: Resource, review: Obj) -> Iterator[Cause]:
    spec = review.get("spec") or {}
    plain, asked = spec.get("nonResourceAttributes"), spec.get("resourceAttributes")
    if asked is not None and plain is not None:
        yield Cause.invalid("spec.nonResourceAttributes", plain, _BOTH)
    if asked is None and plain is None:
        yield Cause.invalid("spec.resourceAttributes", None, _NEITHER)
    if not resource.kind.startswith("Self") and not spec.get("user") and not spec.get("groups"):
        yield Cause.invalid("spec.user", "", "at least one of user or group must be specified")
    for name in ("fieldSelector", "labelSelector"):
        yield from _selector(asked or {}, name)
    is_local = resource.kind.startswith("Local")
    if set(review["metadata"]) - {"managedFields", *(["namespace"] if is_local else [])}:
        yield Cause.invalid("metadata", review["metadata"], f"must be empty{' except for namespace' * is_local}")
    if is_local:
        yield from _elsewhere(review, asked, plain)


def _selector(asked: Mapping[str, Any], name: str) -> Iterator[Cause]:
    selector = asked.get(name)
    if selector is None:
        return
    path = f"spec.resourceAttributes.{name}"
    raw, requirements = selector.get("rawSelector"), selector.get("requirements")
    if raw and requirements:
        yield Cause.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        words = f"when {path} is specified, requirements or rawSelector is required"
        yield Cause.required(f"{path}.requirements", words)


def _elsewhere(review: Obj, asked: Obj | None, plain: Obj | None) -> Iterator[Cause]:
    """A LocalSubjectAccessReview asks about its own namespace and nothing else."""
    if asked is not None and asked.get("namespace", "") != review["metadata"].get("namespace", ""):
        where = "spec.resourceAttributes.namespace"
        yield Cause.invalid(where, asked.get("namespace", ""), "must match metadata.namespace")
    if plain is not None:
        yield Cause.invalid("spec.nonResourceAttributes", plain, "disallowed on this kind of request")


_BOTH = "cannot be specified in combination with resourceAttributes"
_NEITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def _subject(spec: Mapping[str, Any]) -> User:
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), spec.get("extra") or {})


def _action(spec: Mapping[str, Any]) -> Action:
    if (plain := spec.get("nonResourceAttributes")) is not None:
        return Action(plain.get("verb", ""), path=plain.get("path", ""))
    asked = spec["resourceAttributes"]
    sub = f"/{asked['subresource']}" if asked.get("subresource") else ""
    return Action(
        verb=asked.get("verb", ""),
        group=asked.get("group", ""),
        resource=f"{asked.get('resource', '')}{sub}",
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
    )
