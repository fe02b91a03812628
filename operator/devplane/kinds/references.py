"""References to a pod's own fields and resources, in variables and in files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devplane.errors import Cause
from devplane.kinds import metadata, rules
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_FIELDS = frozenset({*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase",
                     "spec.hostNetwork", "status.nominatedNodeName"})  # fmt: skip
RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_BYTES = ("1", "1E", "1Ei", "1G", "1Gi", "1K", "1Ki", "1M", "1Mi", "1P", "1Pi", "1T", "1Ti")
_KEY = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]", re.DOTALL)


def field(reference: Obj, path: str, allowed: tuple[str, ...]) -> Iterator[Cause]:
    """A field of the pod itself, for a variable or a file."""
    name, version = reference.get("fieldPath"), reference.get("apiVersion")
    if not version or not name:
        yield Cause.required(f"{path}.{'fieldPath' if version else 'apiVersion'}")
        return
    problem = f"unsupported pod version: {version}" if version != "v1" else ""
    keyed = _KEY.fullmatch(name)
    if not problem and not keyed and name not in _FIELDS:
        problem = f"field label not supported: {name}"
    if problem:
        yield Cause.invalid(f"{path}.fieldPath", name, f"error converting fieldPath: {problem}")
    elif keyed:
        key = keyed[2].lower() if "annotations" in keyed[1] else keyed[2]
        yield from (Cause.invalid(path, keyed[2], one) for one in metadata.qualified_name(key))
    else:
        yield from rules.one_of(name, allowed, f"{path}.fieldPath")


def resource(reference: Obj, path: str) -> Iterator[Cause]:
    """A request or limit of a container, for a variable or a file."""
    name, divisor = reference.get("resource"), str(reference.get("divisor", "0"))
    if not name:
        yield Cause.required(f"{path}.resource")
    elif name not in RESOURCES and ".hugepages-" not in name:
        yield Cause.unsupported(f"{path}.resource", name, RESOURCES)
    elif amount(divisor):
        is_cpu = name.endswith(".cpu")
        known = ("1m", "1") if is_cpu else _BYTES
        if amount(divisor) not in [amount(one) for one in known]:
            shown = "1m and 1 are" if is_cpu else f"{', '.join(_BYTES)} are"
            detail = f"only divisor's values {shown} supported with the {name.partition('.')[2]} resource"
            yield Cause.invalid(f"{path}.divisor", name, detail)
