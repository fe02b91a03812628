"""The variable `authorizer` of CEL: may the user of the request do something else as well.

``authorizer.group('apps').resource('deployments').check('create').allowed()``; the names are those of Kubernetes' CEL
library. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devplane.access.rbac import Action, Authorizer
from devplane.access.tokens import User
from devplane.admission.attributes import Attributes

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Authority:
    """Variables and functions to evaluate with; a check that is being built up is a map."""

    variables: Obj
    functions: dict[str, Callable[..., Any]]


def authority(authorizer: Authorizer, attributes: Attributes) -> Authority:
    user = attributes.user

    def check(asked: Obj, verb: str) -> Obj:
        who = _account(asked["account"]) if asked.get("account") else user
        sub = f"/{asked['subresource']}" if asked.get("subresource") else ""
        action = Action(verb, path=asked["path"]) if asked.get("path") else Action(
            verb, asked.get("group", ""), f"{asked.get('resource', '')}{sub}", asked.get("namespace", ""),
            asked.get("name", ""))  # fmt: skip
        verdict = authorizer.decide(who, action)
        return {"decision": verdict.allowed, "why": verdict.reason}

    own = attributes.resource
    request = {"group": own.group, "resource": own.plural, "subresource": attributes.subresource,
               "namespace": attributes.namespace, "name": attributes.name}  # fmt: skip
    functions: dict[str, Callable[..., Any]] = {
        "check": check,
        "serviceAccount": lambda asked, namespace, name: {**asked, "account": [namespace, name]},
        "allowed": lambda decision: decision["decision"],
        "reason": lambda decision: decision["why"],
        "errored": lambda _: False,
        "error": lambda _: "",
    }
    functions |= {part: _set(part) for part in ("group", "resource", "subresource", "namespace", "name", "path")}
    return Authority({"authorizer": {"requestResource": request}}, functions)


def _set(part: str) -> Callable[[Obj, str], Obj]:
    return lambda asked, value: {**asked, part: value}


def _account(named: list[str]) -> User:
    namespace, name = named
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups=groups)
