"""The Gateway API: one HTTPRoute, owned whole, because backendRefs is an atomic list. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunebird.kube.meta import HTTP_ROUTE, Manifest, Ref
from tunebird.traffic.router import Json, Routed, Share, Target

GATEWAY_GROUP = "gateway.networking.k8s.io"
EVERY_REQUEST: Json = {"path": {"type": "PathPrefix", "value": "/"}}
NEEDED = ("Accepted", "ResolvedRefs")


class GatewayAPI:
    """Weights of an HTTPRoute's backendRefs; accepted when every parent says so for the newest generation."""

    def reads(self, target: Target) -> tuple[Ref, ...]:
        return (Ref(HTTP_ROUTE, target.namespace, target.name),)

    def routed(self, live: Manifest, target: Target) -> Routed:
        trouble = _trouble(live, target)
        return Routed(_weights(live), not trouble, trouble)

    def manifests(self, target: Target, split: tuple[Share, ...]) -> tuple[Manifest, ...]:
        rule: dict[str, Any] = {
            "matches": [dict(match) for match in target.matches or (EVERY_REQUEST,)],
            "backendRefs": [_backend(share, target.port) for share in split],
        }
        if target.timeouts:
            rule["timeouts"] = dict(target.timeouts)
        spec: dict[str, Any] = {"parentRefs": [_parent(ref) for ref in target.parent_refs], "rules": [rule]}
        if target.hostnames:
            spec["hostnames"] = list(target.hostnames)
        kind = {"apiVersion": HTTP_ROUTE.api_version, "kind": HTTP_ROUTE.kind}
        return ({**kind, "metadata": dict(target.metadata), "spec": spec},)


def _backend(share: Share, port: int) -> dict[str, Any]:
    """Everything is written out: a default that the server fills in would look like drift to GitOps tools."""
    return {"group": "", "kind": "Service", "name": share.service, "port": port, "weight": share.weight}


def _parent(ref: Json) -> dict[str, Any]:
    return {"group": GATEWAY_GROUP, "kind": "Gateway", **ref}


def _weights(live: Manifest) -> Mapping[str, int] | None:
    """Shares in percent by Service, if all rules agree and add up to 100."""
    rules = [_rule_weights(rule) for rule in live.get("spec", {}).get("rules", ())]
    if not rules or any(rule != rules[0] for rule in rules) or sum(rules[0].values()) != 100:
        return None
    return rules[0]


def _rule_weights(rule: Json) -> dict[str, int]:
    return {backend["name"]: backend.get("weight", 1) for backend in rule.get("backendRefs", ())}


def _trouble(live: Manifest, target: Target) -> str:
    """Why the route is not in effect yet; empty when every parent has accepted its newest generation."""
    statuses = live.get("status", {}).get("parents", ())
    generation = live["metadata"].get("generation", 0)
    troubles = (_parent_trouble(ref, statuses, generation, target.namespace) for ref in target.parent_refs)
    return "; ".join(trouble for trouble in troubles if trouble)


def _parent_trouble(ref: Json, statuses: Iterable[Json], generation: int, namespace: str) -> str:
    name = ref["name"]
    mine = [status for status in statuses if _same_parent(status.get("parentRef", {}), ref, namespace)]
    if not mine:
        where = f"{ref.get('namespace') or namespace}/{name}"
        return f"no controller has answered for Gateway {where} yet; is it there, and does its controller run?"
    for status in mine:
        conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
        for kind in NEEDED:
            trouble = _condition_trouble(kind, conditions.get(kind), generation)
            if trouble:
                return f"parent {name}: {trouble}"
    return ""


def _condition_trouble(kind: str, condition: Json | None, generation: int) -> str:
    if condition is None:
        return f"{kind} is not reported yet"
    seen = condition.get("observedGeneration")
    if seen != generation:
        return f"{kind} is about generation {seen}, not {generation}"
    if condition["status"] != "True":
        return f"{kind} is {condition['status']}: {condition.get('reason', '')} {condition.get('message', '')}".rstrip()
    return ""


def _same_parent(one: Json, other: Json, namespace: str) -> bool:
    def identity(ref: Json) -> tuple[object, ...]:
        kind = (ref.get("group", GATEWAY_GROUP), ref.get("kind", "Gateway"))
        return (*kind, ref.get("namespace") or namespace, ref["name"], ref.get("sectionName"), ref.get("port"))

    return "name" in one and identity(one) == identity(other)
