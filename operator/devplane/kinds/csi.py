"""CSIDrivers: what a storage driver says of itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from devplane.errors import Cause, go_quote
from devplane.kinds import rules
from devplane.schemas.types import Obj

MODES = ("Persistent", "Ephemeral")
POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
SHORTEST, LONGEST = 600, 2**32
_DEFAULTS = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "requiresRepublish": False,
    "storageCapacity": False,
    "seLinuxMount": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
}


def default_driver(driver: Obj) -> None:
    spec = driver["spec"]
    for key, value in _DEFAULTS.items():
        spec.setdefault(key, value)
    spec["volumeLifecycleModes"] = spec.get("volumeLifecycleModes") or ["Persistent"]


def validate_driver(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*_token_requests(spec.get("tokenRequests") or [])]
    found += rules.one_of(spec.get("fsGroupPolicy"), POLICIES, "spec.fsGroupPolicy")
    for mode in spec["volumeLifecycleModes"]:
        found += rules.one_of(mode, MODES, "spec.volumeLifecycleModes")
    return found if old is None else [*found, *_updates(spec, old["spec"])]


def _token_requests(asked: list[Obj]) -> Iterator[Cause]:
    seen: set[str] = set()
    for at, one in enumerate(asked):
        path, audience = f"spec.tokenRequests[{at}]", one.get("audience", "")
        if audience in seen:
            yield Cause.duplicate(f"{path}.audience", audience)
            continue
        seen.add(audience)
        seconds = one.get("expirationSeconds", SHORTEST)
        if seconds < SHORTEST:
            text = "may not specify a duration less than 10 minutes"
            yield Cause.invalid(f"{path}.expirationSeconds", seconds, text)
        if seconds > LONGEST:
            text = "may not specify a duration larger than 2^32 seconds"
            yield Cause.invalid(f"{path}.expirationSeconds", seconds, text)


def _updates(spec: Obj, old: Obj) -> Iterator[Cause]:
    if spec["attachRequired"] != old.get("attachRequired"):
        yield Cause.invalid("spec.attachedRequired", spec["attachRequired"], rules.IMMUTABLE)
    if spec["volumeLifecycleModes"] != old.get("volumeLifecycleModes"):
        shown = ", ".join(map(go_quote, spec["volumeLifecycleModes"]))
        path = "spec.volumeLifecycleModes"
        yield rules.invalid_go(path, f"[]storage.VolumeLifecycleMode{{{shown}}}", rules.IMMUTABLE)
