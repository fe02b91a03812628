"""What Kubernetes' Pod Security level `restricted` asks of a pod, as far as our pods could break it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
HOST = ("hostNetwork", "hostPID", "hostIPC")


def violations(spec: Mapping[str, Any]) -> list[str]:
    """Why the level refuses a pod of this specification; empty where it is admitted."""
    pod = spec.get("securityContext", {})
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
    return [
        *(f"{name} is set" for name in HOST if spec.get(name)),
        *(f"volume of kind {kind}" for kind in sorted(kinds - VOLUMES)),
        *(f"container {one['name']}: {what}" for one in containers for what in _of(one, pod)),
    ]


def _of(container: Mapping[str, Any], pod: Mapping[str, Any]) -> list[str]:
    own = container.get("securityContext", {})
    either = {**pod, **own}
    kept = own.get("capabilities", {})
    asked = {
        "allowPrivilegeEscalation is not false": own.get("allowPrivilegeEscalation") is not False,
        "capabilities are not dropped": "ALL" not in kept.get("drop", []),
        "capabilities are added": bool(set(kept.get("add", [])) - {"NET_BIND_SERVICE"}),
        "it is privileged": bool(own.get("privileged")),
        "it may run as root": either.get("runAsNonRoot") is not True or either.get("runAsUser") == 0,
        "no seccomp profile": either.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
        "it has a port of the host": any(port.get("hostPort") for port in container.get("ports", [])),
    }
    return [what for what, holds in asked.items() if holds]
