"""ConfigMaps, Secrets, claims, volumes and storage classes. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

from devplane.errors import Cause
from devplane.kinds import metadata, rules
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj

LOCKED = "field is immutable when `immutable` is set"
MAX_BYTES = 1024 * 1024
MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
CLAIM_WORDS = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def default_secret(secret: Obj) -> None:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None)
    for key, text in (plain or {}).items():
        secret.setdefault("data", {})[key] = b64encode(text.encode()).decode()


def default_claim(claim: Obj) -> None:
    claim["spec"].setdefault("volumeMode", "Filesystem")
    claim.setdefault("status", {}).setdefault("phase", "Pending")


def default_volume(volume: Obj) -> None:
    volume["spec"].setdefault("persistentVolumeReclaimPolicy", "Retain")
    volume["spec"].setdefault("volumeMode", "Filesystem")
    volume["status"].setdefault("phase", "Pending")


def default_class(storage_class: Obj) -> None:
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")


def prepare_claim(new: Obj, old: Obj | None) -> None:
    if old is None:
        new["status"] = {"phase": "Pending"}


def prepare_volume(new: Obj, old: Obj | None) -> None:
    if old is None:
        new["status"] = {"phase": "Pending"}


def validate_config_map(new: Obj, old: Obj | None) -> list[Cause]:
    found = [*_locked(new, old, ("data", "binaryData"))]
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    for field, held in (("data", data), ("binaryData", binary)):
        found += _keys(held, field)
    for key in binary:
        if key in data:
            found.append(Cause.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    return [*found, *_size([*data.values(), *binary.values()], "")]


def validate_secret(new: Obj, old: Obj | None) -> list[Cause]:
    data = new.get("data") or {}
    found = [*_keys(data, "data"), *_size(list(data.values()), "data")]
    found += [Cause.required(f"data[{key}]") for key in SECRET_KEYS.get(new.get("type", ""), ()) if key not in data]
    if new.get("type") == "kubernetes.io/service-account-token":
        annotation = "kubernetes.io/service-account.name"
        if not (new["metadata"].get("annotations") or {}).get(annotation):
            found.append(Cause.required(f"metadata.annotations[{annotation}]"))
    if old is not None and new.get("type") != old.get("type"):
        found.append(Cause.invalid("type", new.get("type"), rules.IMMUTABLE))
    return [*found, *_locked(new, old, ("data",))]


def _locked(new: Obj, old: Obj | None, fields: tuple[str, ...]) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield Cause.forbidden("immutable", LOCKED)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield Cause.forbidden(field, LOCKED)


def _keys(held: Obj, field: str) -> Iterator[Cause]:
    for key in held:
        yield from (Cause.invalid(f"{field}[{key}]", key, problem) for problem in metadata.config_key(key))


def _size(values: list[str], field: str) -> Iterator[Cause]:
    if sum(len(value) for value in values) > MAX_BYTES:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {MAX_BYTES} bytes", field)


def validate_claim(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    if old is not None:
        return [*_claim_updates(spec, old["spec"])]
    found = (
        [] if spec.get("accessModes") else [Cause.required("spec.accessModes", "at least 1 access mode is required")]
    )
    for mode in spec.get("accessModes") or ():
        found += rules.one_of(mode, MODES, "spec.accessModes")
    asked = (spec["resources"].get("requests") or {}).get("storage")
    if asked is None:
        found.append(Cause.required("spec.resources[storage]"))
    elif amount(asked) <= 0:
        found.append(Cause.invalid("spec.resources[storage]", str(asked), "must be greater than zero"))
    return found


def _claim_updates(spec: Obj, old: Obj) -> Iterator[Cause]:
    """A claim is bound by the server, may grow, and otherwise stays as it is."""
    may_change = ["resources", *(key for key in ("volumeName", "storageClassName") if not old.get(key))]
    if {**old, **{key: spec[key] for key in may_change if key in spec}} != spec:
        yield Cause.forbidden("spec", CLAIM_WORDS)
    before, after = ((one["resources"].get("requests") or {}).get("storage", "0") for one in (old, spec))
    if amount(after) < amount(before):
        yield Cause.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
