"""Deployments, replica sets, stateful sets, daemon sets, disruption budgets, autoscalers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import podspec, rules
from devplane.kinds.pods import default_spec
from devplane.kinds.storage import default_claim
from devplane.schemas.types import Obj
from devplane.storage.selectors import selects

STATEFUL_MUTABLE = frozenset({
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
})  # fmt: skip
STATEFUL_WORDS = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def default_deployment(deployment: Obj) -> None:
    spec = deployment["spec"]
    spec.setdefault("replicas", 1)
    strategy = spec["strategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_spec(spec["template"]["spec"])


def default_replica_set(replica_set: Obj) -> None:
    replica_set["spec"].setdefault("replicas", 1)
    default_spec(replica_set["spec"]["template"]["spec"])


def default_stateful_set(stateful_set: Obj) -> None:
    spec = stateful_set["spec"]
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec["updateStrategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        default_claim(claim)
    default_spec(spec["template"]["spec"])


def default_daemon_set(daemon_set: Obj) -> None:
    spec = daemon_set["spec"]
    strategy = spec["updateStrategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    default_spec(spec["template"]["spec"])


def default_autoscaler(autoscaler: Obj) -> None:
    spec = autoscaler["spec"]
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def validate_deployment(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*rules.not_negative(spec.get("replicas"), "spec.replicas"), *_selected(spec, "deployment")]
    found += _strategy(spec["strategy"])
    found += rules.not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    found += rules.not_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        found.append(Cause.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return [*found, *_same_selector(spec, old)]


def _selected(spec: Obj, kind: str) -> Iterator[Cause]:
    """The selector and the template of a workload whose pods run for ever."""
    selector, template = spec.get("selector"), spec["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None:
        yield Cause.required("spec.selector")
    else:
        yield from rules.selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            shown, words = rules.go_selector(selector), f"empty selector is invalid for {kind}"
            yield rules.invalid_go("spec.selector", shown, words)
        elif not selects(selector or {}, labels):
            yield rules.invalid_go("spec.template.metadata.labels", rules.go_strings(labels), rules.MISMATCH)
    yield from podspec.template(template, "spec.template")
    path = "spec.template.spec"
    policy = template["spec"].get("restartPolicy")
    if policy in podspec.RESTART:
        yield from rules.one_of(policy, ("Always",), f"{path}.restartPolicy")
    if "activeDeadlineSeconds" in template["spec"]:
        yield Cause.forbidden(f"{path}.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")


def _strategy(strategy: Obj) -> Iterator[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.strategy"
    yield from rules.one_of(kind, ("Recreate", "RollingUpdate"), f"{path}.type")
    if kind == "Recreate" and rolling:
        yield Cause.forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    if kind != "RollingUpdate" or not rolling:
        return
    for field in ("maxUnavailable", "maxSurge"):
        yield from rules.int_or_percent(rolling.get(field), f"{path}.rollingUpdate.{field}")
    if all(rolling.get(field) in (0, "0%", None) for field in ("maxUnavailable", "maxSurge")):
        shown = rules.go_int_or_string(rolling.get("maxUnavailable"))
        where = f"{path}.rollingUpdate.maxUnavailable"
        yield rules.invalid_go(where, shown, "may not be 0 when `maxSurge` is 0")


def _same_selector(spec: Obj, old: Obj | None) -> Iterator[Cause]:
    if old is not None and spec.get("selector") != old["spec"].get("selector"):
        yield rules.invalid_go("spec.selector", rules.go_selector(spec.get("selector")), rules.IMMUTABLE)


def validate_replica_set(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*rules.not_negative(spec.get("replicas"), "spec.replicas"), *_selected(spec, "replicaset")]
    found += rules.not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    return [*found, *_same_selector(spec, old)]


def validate_daemon_set(new: Obj, old: Obj | None) -> list[Cause]:
    return [*_selected(new["spec"], "daemonset"), *_same_selector(new["spec"], old)]


def validate_stateful_set(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*rules.not_negative(spec.get("replicas"), "spec.replicas"), *_selected(spec, "statefulset")]
    policies = ("OrderedReady", "Parallel")
    found += rules.one_of(spec.get("podManagementPolicy"), policies, "spec.podManagementPolicy")
    if old is not None and _fixed(spec) != _fixed(old["spec"]):
        found.append(Cause.forbidden("spec", STATEFUL_WORDS))
    return found


def _fixed(spec: Obj) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in STATEFUL_MUTABLE}


def validate_budget(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*rules.selector(spec.get("selector"), "spec.selector")]
    if "minAvailable" in spec and "maxUnavailable" in spec:
        detail = "minAvailable and maxUnavailable cannot be both set"
        found.append(rules.invalid_go("spec", "policy.PodDisruptionBudgetSpec{}", detail))
    for field in ("minAvailable", "maxUnavailable"):
        found += rules.int_or_percent(spec.get(field), f"spec.{field}")
    return found
