"""What a Job's podFailurePolicy says of a failed pod. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devplane.objects import Obj, container_statuses, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class Ruling:
    """`counted`: the failure uses up the backoff limit. `action` is "" when no rule matched."""

    action: str = ""
    counted: bool = True
    message: str = ""


def ruling(policy: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> Ruling:
    """The first rule that matches decides."""
    for at, rule in enumerate((policy or {}).get("rules") or ()):
        why = _matched(rule, pod)
        if why:
            action = rule["action"]
            message = f"{why} matching {action} rule at index {at}"
            return Ruling(action, action != "Ignore", message)
    return Ruling()


def _matched(rule: Mapping[str, Any], pod: Mapping[str, Any]) -> str:
    if exit_codes := rule.get("onExitCodes"):
        return _by_exit_code(exit_codes, pod)
    return _by_condition(rule.get("onPodConditions") or (), pod)


def _by_exit_code(requirement: Mapping[str, Any], pod: Mapping[str, Any]) -> str:
    for status in container_statuses(pod):
        wanted = requirement.get("containerName")
        ended = status["state"].get("terminated")
        if ended is None or not ended["exitCode"] or (wanted and wanted != status["name"]):
            continue
        code = ended["exitCode"]
        if (code in requirement["values"]) == (requirement["operator"] == "In"):
            return f"Container {status['name']} for pod {namespace_of(pod)}/{name_of(pod)} failed with exit code {code}"
    return ""


def _by_condition(patterns: tuple[Obj, ...] | list[Obj], pod: Mapping[str, Any]) -> str:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    for pattern in patterns:
        for one in conditions:
            if (one["type"], one["status"]) == (pattern["type"], pattern.get("status") or "True"):
                return f"Pod {namespace_of(pod)}/{name_of(pod)} has condition {one['type']}"
    return ""
