"""Subresources of built-in kinds that are no halves of their object: binding, eviction, finalize."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from devplane.errors import ApiError, Cause
from devplane.machinery import deletion
from devplane.machinery.targets import Target, Write
from devplane.machinery.verbs import Api
from devplane.storage.selectors import field_value, selects
from devplane.storage.store import copied

Obj = dict[str, Any]

BUDGETS = "poddisruptionbudgets.policy"
EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
MANY_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


def bind(api: Api, target: Target, body: Obj, write: Write) -> Obj:
    """Assign a pod to a node."""
    pod = api.get(target)
    node = (body.get("target") or {}).get("name", "")
    assigned = pod["spec"].get("nodeName")
    if assigned:
        why = f'pod {target.name} is already assigned to node "{assigned}"'
        raise ApiError(409, "Conflict", f'Operation cannot be fulfilled on pods/binding "{target.name}": {why}',
                       {"name": target.name, "kind": "pods/binding"})  # fmt: skip
    new = copied(pod)
    new["spec"]["nodeName"] = node
    conditions = new.setdefault("status", {}).setdefault("conditions", [])
    conditions[:] = [one for one in conditions if one["type"] != "PodScheduled"]
    conditions.append(
        {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": api.now()}
    )
    if not write.dry_run:
        api.commit(target.resource, new)
    return success(201)


def evict(api: Api, target: Target, body: Obj, write: Write) -> Obj:
    """Delete a pod unless a disruption budget forbids it. A dry run may be asked for in the query as well."""
    pod = api.get(target)
    if (body.get("metadata") or {}).get("name", "") != target.name:
        raise ApiError.bad_request("name in URL does not match name in Eviction object")
    held = [one for one in api.store.items(BUDGETS, target.namespace) if _guards(one, pod)]
    if len(held) > 1:
        raise ApiError(500, "InternalError", MANY_BUDGETS)
    for budget in held:
        _check_budget(budget)
    asked = deletion.options_of(body.get("deleteOptions") or {})
    options = replace(asked, dry_run=asked.dry_run or write.dry_run)
    if not options.dry_run:
        for budget in held:
            _spend(api, budget, target.name)
        _mark_disrupted(api, target)
    deletion.delete(api, target, options)
    return success(201)


def _mark_disrupted(api: Api, target: Target) -> None:
    """What a Job's podFailurePolicy may look at."""
    new = copied(api.get(target))
    conditions = new.setdefault("status", {}).setdefault("conditions", [])
    conditions[:] = [one for one in conditions if one["type"] != EVICTED["type"]]
    conditions.append({**EVICTED, "lastProbeTime": None, "lastTransitionTime": api.now()})
    api.commit(target.resource, new)


def _check_budget(budget: Obj) -> None:
    """Raises 429 where the budget allows no disruption, or is not counted yet."""
    status, name = budget.get("status") or {}, budget["metadata"]["name"]
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        text = f"The disruption budget {name} is still being processed by the server."
        raise ApiError.too_many_requests(VIOLATES, [Cause("DisruptionBudget", text, "")], seconds=10)
    if status.get("disruptionsAllowed", 0) > 0:
        return
    needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    text = f"The disruption budget {name} does not allow evicting pods currently"
    if has <= needs:
        text = f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"
    raise ApiError.too_many_requests(VIOLATES, [Cause("DisruptionBudget", text, "")])


def _spend(api: Api, budget: Obj, pod: str) -> None:
    """One disruption less, and the pod is not counted any more, before the controller has seen that it goes."""
    new = copied(budget)
    status = new["status"]
    status["disruptionsAllowed"] -= 1
    status.setdefault("disruptedPods", {})[pod] = api.now()
    status["conditions"] = [allowed_condition(status, api.now())]
    resource = api.registry.named(BUDGETS)
    assert resource is not None
    api.commit(resource, new)


def allowed_condition(status: Obj, now: str) -> Obj:
    """What a budget's status says in words; since when, where it said so already."""
    value, reason = ("True", "SufficientPods") if status["disruptionsAllowed"] > 0 else ("False", "InsufficientPods")
    held: Obj = next((one for one in status.get("conditions") or () if one["type"] == "DisruptionAllowed"), {})
    return {
        "type": "DisruptionAllowed",
        "status": value,
        "reason": reason,
        "message": "",
        "observedGeneration": status["observedGeneration"],
        "lastTransitionTime": held["lastTransitionTime"] if held.get("status") == value else now,
    }


def _guards(budget: Obj, pod: Obj) -> bool:
    """Whether the budget has a say: not for pods that never ran, nor for unready ones where enough others are."""
    status = budget.get("status", {})
    if not covers(budget, pod) or pod["metadata"].get("deletionTimestamp"):
        return False
    if pod.get("status", {}).get("phase") == "Pending":
        return False
    conditions = pod.get("status", {}).get("conditions") or ()
    if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
        return True
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    return not 0 < status.get("desiredHealthy", 0) <= status.get("currentHealthy", 0)


def covers(budget: Obj, pod: Obj) -> bool:
    """Whether the budget's selector matches a pod that has not ended."""
    selector = budget["spec"].get("selector")
    if selector is None or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return False
    return selects(selector, pod["metadata"].get("labels") or {})


def finalize(api: Api, target: Target, body: Obj) -> Obj:
    """PUT namespaces/finalize: spec.finalizers alone; the last one gone lets the namespace go."""
    old = api.get(target)
    new = copied(old)
    new["spec"] = {"finalizers": list((body.get("spec") or {}).get("finalizers") or ())}
    if not new["spec"]["finalizers"]:
        new["spec"] = {}
    asked = field_value(body, "metadata.resourceVersion")
    if asked and asked != old["metadata"]["resourceVersion"]:
        raise ApiError.conflict("namespaces", target.name)
    return api.commit_change(target, new)


def success(code: int) -> Obj:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}
