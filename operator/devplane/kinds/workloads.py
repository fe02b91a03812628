"""Deployments, replica sets, stateful sets, daemon sets, disruption budgets, autoscalers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause, go_quote
from devplane.kinds import podspec, rules
from devplane.kinds.metadata import label
from devplane.kinds.pods import default_spec
from devplane.kinds.storage import claim_spec, default_claim_template
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
        default_claim_template(claim)
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


def validate_deployment(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*rules.not_negative(spec.get("replicas"), "spec.replicas"), *_selected(spec, "deployment")]
    found += _strategy(spec["strategy"])
    found += rules.not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    found += rules.not_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")
    deadline = spec.get("progressDeadlineSeconds")
    found += rules.not_negative(deadline, "spec.progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        found.append(Cause.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return [*found, *_same_selector(spec, old)]


def _selected(spec: Obj, kind: str) -> Iterator[Cause]:
    """The selector and the template of a workload whose pods run for ever."""
    selector, template = spec.get("selector"), spec["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    wrong = [*rules.selector(selector, "spec.selector")]
    yield from wrong
    if selector is None:
        if kind != "daemonset":
            yield Cause.required("spec.selector")
        yield rules.invalid_go("spec.template.metadata.labels", rules.go_strings(labels), rules.MISMATCH)
    elif wrong:
        yield rules.invalid_go("spec.selector", rules.go_selector(selector), "invalid label selector")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        shown, words = rules.go_selector(selector), f"empty selector is invalid for {kind}"
        yield rules.invalid_go("spec.selector", shown, words)
    elif not selects(selector, labels):
        yield rules.invalid_go("spec.template.metadata.labels", rules.go_strings(labels), rules.MISMATCH)
    yield from podspec.template(template, "spec.template")
    path = "spec.template.spec"
    policy = template["spec"].get("restartPolicy")
    yield from rules.one_of(policy, ("Always",), f"{path}.restartPolicy")
    if "activeDeadlineSeconds" in template["spec"]:
        yield Cause.forbidden(f"{path}.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")


def _strategy(strategy: Obj) -> Iterator[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.strategy"
    if kind not in ("Recreate", "RollingUpdate"):
        shown = f"apps.DeploymentStrategy{{Type:{go_quote(kind or '')}}}"
        yield rules.unsupported_go(path, shown, ("Recreate", "RollingUpdate"))
    if kind == "Recreate" and rolling:
        yield Cause.forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    if kind != "RollingUpdate" or not rolling:
        return
    for field in ("maxUnavailable", "maxSurge"):
        yield from rules.int_or_percent(rolling.get(field), f"{path}.rollingUpdate.{field}")
    yield from rules.not_above_all(rolling.get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable")
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
    spec = new["spec"]
    found = [*_selected(spec, "daemonset"), *_same_selector(spec, old)]
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        found += rules.not_negative(spec.get(field), f"spec.{field}")
    return [*found, *_daemon_strategy(spec["updateStrategy"])]


def _daemon_strategy(strategy: Obj) -> Iterator[Cause]:
    path, kind, rolling = "spec.updateStrategy", strategy.get("type"), strategy.get("rollingUpdate") or {}
    if kind not in ("RollingUpdate", "OnDelete"):
        shown = f"apps.DaemonSetUpdateStrategy{{Type:{go_quote(kind or '')}}}"
        yield rules.unsupported_go(path, shown, ("RollingUpdate", "OnDelete"))
    for field in ("maxUnavailable", "maxSurge"):
        yield from rules.int_or_percent(rolling.get(field), f"{path}.rollingUpdate.{field}")
        yield from rules.not_above_all(rolling.get(field), f"{path}.rollingUpdate.{field}")
    unavailable, surge = (rolling.get(field, 0) in (0, "0%") for field in ("maxUnavailable", "maxSurge"))
    if kind == "RollingUpdate" and unavailable and surge:
        yield Cause.required(f"{path}.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0")
    elif kind == "RollingUpdate" and not unavailable and not surge:
        shown, words = rules.go_int_or_string(rolling["maxSurge"]), "may not be set when maxUnavailable is non-zero"
        yield rules.invalid_go(f"{path}.rollingUpdate.maxSurge", shown, words)


def validate_stateful_set(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*rules.not_negative(spec.get("replicas"), "spec.replicas"), *_selected(spec, "statefulset")]
    found += _stateful(spec)
    for at, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        found += claim_spec(claim["spec"], f"spec.volumeClaimTemplates[{at}].spec")
    name = new["metadata"].get("name") or ""
    if old is None and "." in name:
        found += rules.named(name, label, "metadata.name")
    if old is not None and _fixed(spec) != _fixed(old["spec"]):
        found.append(Cause.forbidden("spec", STATEFUL_WORDS))
    return found


def _stateful(spec: Obj) -> Iterator[Cause]:
    management, strategy = spec.get("podManagementPolicy") or "", spec["updateStrategy"]
    if management not in ("OrderedReady", "Parallel"):
        yield Cause.invalid("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'")
    path, kind, rolling = "spec.updateStrategy", strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("RollingUpdate", "OnDelete"):
        shown = f"apps.StatefulSetUpdateStrategy{{Type:{go_quote(kind or '')}}}"
        yield rules.invalid_go(path, shown, "must be 'RollingUpdate' or 'OnDelete'")
    elif kind == "OnDelete" and rolling is not None:
        shown, words = "apps.RollingUpdateStatefulSetStrategy{}", "only allowed for updateStrategy 'RollingUpdate'"
        yield rules.invalid_go(f"{path}.rollingUpdate", shown, words)
    yield from rules.not_negative((rolling or {}).get("partition"), f"{path}.rollingUpdate.partition")
    yield from rules.not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    yield from rules.not_negative((spec.get("ordinals") or {}).get("start"), "spec.ordinals.start")
    if spec.get("serviceName"):
        yield from rules.named(spec["serviceName"], label, "spec.serviceName")
    for field in ("whenDeleted", "whenScaled"):
        policy = (spec.get("persistentVolumeClaimRetentionPolicy") or {}).get(field)
        yield from rules.one_of(policy, ("Retain", "Delete"), f"spec.persistentVolumeClaimRetentionPolicy.{field}")


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
        found += rules.not_above_all(spec.get(field), f"spec.{field}")
    choices, field = ("AlwaysAllow", "IfHealthyBudget"), "unhealthyPodEvictionPolicy"
    return [*found, *rules.one_of(spec.get(field), choices, f"spec.{field}")]
