"""Security contexts of pods and containers. Nothing of them is enforced; what is wrong with them is said. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import rules
from devplane.schemas.types import Obj

_MOST_ID = 2**31 - 1
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")


def of_pod(found: Obj, spec: Obj, path: str) -> Iterator[Cause]:
    """The context of a pod, and what of its host it may share."""
    yield from _ids(found, path, ("fsGroup", "runAsUser", "runAsGroup"))
    for at, group in enumerate(found.get("supplementalGroups") or ()):
        yield from rules.within(group, 0, _MOST_ID, f"{path}.supplementalGroups[{at}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield Cause.invalid(f"{path}.shareProcessNamespace", spec["shareProcessNamespace"], detail)
    yield from _sysctls(found.get("sysctls") or (), f"{path}.sysctls")
    policies = ("Always", "OnRootMismatch")
    yield from rules.one_of(found.get("fsGroupChangePolicy"), policies, f"{path}.fsGroupChangePolicy")
    yield from _profile(found.get("seccompProfile"), f"{path}.seccompProfile")


def of_container(found: Obj, path: str) -> Iterator[Cause]:
    yield from _ids(found, path, ("runAsUser", "runAsGroup"))
    yield from rules.one_of(found.get("procMount"), ("Default", "Unmasked"), f"{path}.procMount")
    yield from _profile(found.get("seccompProfile"), f"{path}.seccompProfile")
    if found.get("allowPrivilegeEscalation") is not False:
        return
    if found.get("privileged"):
        yield _escalates(found, path, "`privileged` to true")
    if "CAP_SYS_ADMIN" in ((found.get("capabilities") or {}).get("add") or ()):
        yield _escalates(found, path, "`capabilities.Add` CAP_SYS_ADMIN")


def _escalates(found: Obj, path: str, what: str) -> Cause:
    detail = f"cannot set `allowPrivilegeEscalation` to false and {what}"
    return rules.invalid_go(path, f"core.SecurityContext{{{', '.join(sorted(found))}}}", detail)


def _ids(found: Obj, path: str, fields: tuple[str, ...]) -> Iterator[Cause]:
    for field in fields:
        yield from rules.within(found.get(field), 0, _MOST_ID, f"{path}.{field}")


def _sysctls(found: Any, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for at, one in enumerate(found):
        where, name = f"{path}[{at}].name", one.get("name", "")
        if not name:
            yield Cause.required(where)
        elif len(name) > 253 or not re.fullmatch(_SYSCTL, name):
            yield Cause.invalid(where, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$")
        elif name in seen:
            yield Cause.duplicate(where, name)
        seen.add(name)


def _profile(found: Obj | None, path: str) -> Iterator[Cause]:
    if found is None:
        return
    kind, local = found.get("type"), found.get("localhostProfile")
    if not kind:
        yield Cause.required(f"{path}.type", "type is required when seccompProfile is set")
        return
    if kind == "Localhost" and not local:
        yield Cause.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif kind != "Localhost" and local is not None:
        shown = f'core.SeccompProfile{{Type:"{kind}"}}'
        detail = "can only be set when seccomp type is Localhost"
        yield rules.invalid_go(f"{path}.localhostProfile", shown, detail)
    yield from rules.one_of(kind, _PROFILES, f"{path}.type")
