"""ConfigMaps, Secrets, claims, volumes and storage classes. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator

from devplane.errors import Cause
from devplane.kinds import metadata, placement, rules, volumes
from devplane.kinds.pods import changes
from devplane.schemas.quantities import amount, requested
from devplane.schemas.types import Obj

LOCKED = "field is immutable when `immutable` is set"
MAX_BYTES = 1024 * 1024
MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
CLAIM_WORDS = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
PHASES = ("Delete", "Recycle", "Retain")
SECRET_KEYS = {
    "kubernetes.io/basic-auth": ("username", "password"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def default_secret(secret: Obj) -> None:
    if not secret.get("type"):
        secret["type"] = "Opaque"
    plain = secret.pop("stringData", None)
    for key, text in (plain or {}).items():
        secret.setdefault("data", {})[key] = b64encode(text.encode()).decode()


def default_claim(claim: Obj) -> None:
    claim["spec"].setdefault("volumeMode", "Filesystem")


def default_claim_template(claim: Obj) -> None:
    """A claim inside of another object shows its first status too."""
    claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    default_claim(claim)
    claim.setdefault("status", {}).setdefault("phase", "Pending")


def default_volume(volume: Obj) -> None:
    volume["spec"].setdefault("persistentVolumeReclaimPolicy", "Retain")
    volume["spec"].setdefault("volumeMode", "Filesystem")
    if "hostPath" in volume["spec"]:
        volume["spec"]["hostPath"].setdefault("type", "")


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
    return [*claim_spec(new["spec"], "spec"), *(() if old is None else _claim_updates(new, old))]


def claim_spec(spec: Obj, path: str) -> Iterator[Cause]:
    """Causes in the spec of a new claim, or of a template of claims."""
    modes = spec.get("accessModes") or ()
    if not modes:
        yield Cause.required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from rules.selector(spec.get("selector"), f"{path}.selector")
    yield from _modes(modes, f"{path}.accessModes")
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is None:
        yield Cause.required(f"{path}.resources[storage]")
    elif amount(asked) <= 0:
        yield Cause.invalid(f"{path}.resources[storage]", str(asked), "must be greater than zero")
    if spec.get("storageClassName"):
        yield from rules.named(spec["storageClassName"], metadata.subdomain, f"{path}.storageClassName")
    yield from rules.one_of(spec.get("volumeMode"), ("Block", "Filesystem"), f"{path}.volumeMode")


def _modes(modes: Iterable[str], path: str) -> Iterator[Cause]:
    for mode in modes:
        yield from rules.one_of(mode, MODES, path)
    if "ReadWriteOncePod" in modes and len(tuple(modes)) > 1:
        yield Cause.forbidden(path, "may not use ReadWriteOncePod with other access modes")


_ABOUT = frozenset({
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
    "storageClassName", "volumeMode", "volumeAttributesClassName",
})  # fmt: skip


def validate_volume(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [] if spec.get("accessModes") else [Cause.required("spec.accessModes")]
    found += _modes(spec.get("accessModes") or (), "spec.accessModes")
    found += _capacity(spec.get("capacity") or {})
    found += _source(spec)
    policy = spec.get("persistentVolumeReclaimPolicy")
    found += rules.one_of(policy, PHASES, "spec.persistentVolumeReclaimPolicy")
    if policy == "Recycle" and (spec.get("hostPath") or {}).get("path") == "/":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(Cause.forbidden("spec.persistentVolumeReclaimPolicy", detail))
    if spec.get("storageClassName"):
        found += rules.named(spec["storageClassName"], metadata.subdomain, "spec.storageClassName")
    found += rules.one_of(spec.get("volumeMode"), ("Block", "Filesystem"), "spec.volumeMode")
    return found if old is None else [*found, *_volume_updates(spec, old["spec"])]


def _capacity(capacity: Obj) -> Iterator[Cause]:
    if not capacity:
        yield Cause.required("spec.capacity")
    if set(capacity) != {"storage"}:
        yield rules.unsupported_go("spec.capacity", f"core.ResourceList{{{', '.join(capacity)}}}", ("storage",))
    for name, value in capacity.items():
        if amount(value) <= 0:
            yield Cause.invalid(f"spec.capacity[{name}]", str(value), "must be greater than zero")


def _source(spec: Obj) -> Iterator[Cause]:
    sources = {key: value for key, value in spec.items() if key not in _ABOUT}
    required = (spec.get("nodeAffinity") or {}).get("required")
    if required is not None:
        yield from placement.node_selector(required, "spec.nodeAffinity.required")
    elif "local" in sources:
        yield Cause.required("spec.nodeAffinity", "Local volume requires node affinity")
    yield from volumes.details(sources, "spec")


def _volume_updates(spec: Obj, old: Obj) -> Iterator[Cause]:
    before, after = ({key: one[key] for key in one if key not in _ABOUT} for one in (old, spec))
    if before != after:
        words = "spec.persistentvolumesource is immutable after creation"
        yield Cause.forbidden("spec.persistentvolumesource", words)
    if spec.get("volumeMode") != old.get("volumeMode"):
        yield Cause.invalid("volumeMode", spec.get("volumeMode"), rules.IMMUTABLE)


def validate_class(new: Obj, _: Obj | None) -> list[Cause]:
    name = new.get("provisioner") or ""
    found = [*rules.named(name.lower(), metadata.qualified_name, "provisioner")] if name else []
    if not name:
        found.append(Cause.required("provisioner"))
    if "" in (new.get("parameters") or ()):
        found.append(Cause.invalid("parameters", "", "field can not be empty."))
    found += rules.one_of(new.get("reclaimPolicy"), ("Delete", "Retain"), "reclaimPolicy")
    modes = ("Immediate", "WaitForFirstConsumer")
    return [*found, *rules.one_of(new.get("volumeBindingMode"), modes, "volumeBindingMode")]


def _claim_updates(new: Obj, old: Obj) -> Iterator[Cause]:
    """A claim is bound by the server, may grow as soon as it is bound, and otherwise stays as it is."""
    spec, before = new["spec"], old["spec"]
    settled = _settled(spec, before, is_bound=(new.get("status") or {}).get("phase") == "Bound")
    if settled != before:
        yield Cause.forbidden("spec", f"{CLAIM_WORDS}\n{changes(settled, before)}")
    if (size := requested(spec, "storage")) < requested(before, "storage"):
        capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
        if size <= amount(capacity):
            yield Cause.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    if spec.get("volumeMode") != before.get("volumeMode"):
        yield Cause.invalid("volumeMode", spec.get("volumeMode"), rules.IMMUTABLE)


def _settled(spec: Obj, old: Obj, *, is_bound: bool) -> Obj:
    """`spec` with what may change as it was."""
    free = {key for key in ("volumeName", "storageClassName") if key not in old}
    free |= {"volumeAttributesClassName"} if is_bound else set()
    settled = {key: value for key, value in spec.items() if key not in free}
    settled |= {key: old[key] for key in free if key in old}
    requests = (spec.get("resources") or {}).get("requests")
    if is_bound and requests is not None:
        as_it_was = {**requests, "storage": old["resources"]["requests"]["storage"]}
        settled["resources"] = {**spec["resources"], "requests": as_it_was}
    return settled
