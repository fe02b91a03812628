"""What the server checks of a CustomResourceDefinition: names, versions, columns, subresources, schemas. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.custom.fields import FieldPathError, field_at
from devplane.custom.rules import schema_errors
from devplane.errors import Cause
from devplane.kinds import metadata
from devplane.kinds.webhooks import client_causes

Obj = dict[str, Any]

COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
MOST_FIELDS = 8
APPROVAL = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"
_SELECTABLE = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
)


def definition_errors(crd: Obj, old: Obj | None) -> Iterator[Cause]:
    """What is wrong with a CRD; what did not change was right before."""
    spec = crd["spec"]
    if old is not None and old["spec"] == spec:
        return
    names, name = spec.get("names") or {}, crd["metadata"]["name"]
    if old is None and name != f"{names.get('plural') or ''}.{spec.get('group') or ''}":
        yield Cause.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    yield from _spec(spec)
    if old is not None:
        yield from _immutable(spec, old)
    yield from _stored(crd)
    yield from _approval(crd, old)
    if spec.get("preserveUnknownFields"):
        words = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        yield Cause.invalid("spec.preserveUnknownFields", value=True, detail=words)


def _spec(spec: Obj) -> Iterator[Cause]:
    yield from _group(spec.get("group") or "")
    scope = spec.get("scope") or ""
    if not scope:
        yield Cause.required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield Cause.unsupported("spec.scope", scope, ("Cluster", "Namespaced"))
    versions = spec.get("versions") or []
    for at, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            yield Cause.required(f"spec.versions[{at}].schema.openAPIV3Schema")
    shared = {key for key in _PARTS if versions and all(_same(one, versions[0], key) for one in versions)}
    for at, version in enumerate(versions):
        yield from _label(version.get("name") or "", f"spec.versions[{at}].name")
        yield from _version(version, f"spec.versions[{at}]", shared)
    yield from _counted(versions)
    yield from _names(spec.get("names") or {})
    if shared:
        yield from _parts(versions[0], "spec", shared, of_all=True)
    yield from _conversion(spec["conversion"], "spec.conversion")


_PARTS = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def _same(version: Obj, first: Obj, key: str) -> bool:
    """What all versions say alike is reported once, as if the definition said it for all."""
    return bool(version.get(key)) and version.get(key) == first.get(key)


def _version(version: Obj, path: str, shared: set[str]) -> Iterator[Cause]:
    where, said = f"{path}.deprecationWarning", version.get("deprecationWarning")
    if said is not None and not version.get("deprecated"):
        yield Cause.invalid(where, said, "can only be set for deprecated versions")
    elif said is not None:
        yield from (Cause.invalid(where, said, words) for words in _unprintable(said))
    yield from _parts(version, path, shared, of_all=False)


def _unprintable(text: str) -> Iterator[str]:
    if len(text.encode()) > 256:
        yield "must be <= 256 characters long"
    if not text:
        yield "must not be an empty string"
    at = next((at for at, one in enumerate(text) if not one.isprintable()), -1)
    if at >= 0:
        place = len(text[:at].encode())
        yield f"must only contain printable UTF-8 characters; non-printable character found at index {place}"


def _parts(version: Obj, path: str, shared: set[str], *, of_all: bool) -> Iterator[Cause]:
    """Schema, subresources, columns and selectable fields: of one version, or those that all versions have."""
    wanted = {key for key in _PARTS if (key in shared) == of_all}
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if "schema" in wanted and schema is not None:
        where = f"{path}.validation" if of_all else f"{path}.schema"
        has_status = (version.get("subresources") or {}).get("status") is not None
        yield from schema_errors(schema, f"{where}.openAPIV3Schema", has_status=has_status)
    if "subresources" in wanted:
        yield from _scale((version.get("subresources") or {}).get("scale"), f"{path}.subresources.scale")
    if "additionalPrinterColumns" in wanted:
        for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _column(column, f"{path}.additionalPrinterColumns[{at}]")
    if "selectableFields" in wanted and version.get("selectableFields") and schema is None:
        yield Cause.invalid(f"{path}.selectableFields", "", "may only be set when validations.schema is included")
    elif "selectableFields" in wanted:
        yield from _selectable(version.get("selectableFields") or [], schema or {}, f"{path}.selectableFields")


def _group(group: str) -> Iterator[Cause]:
    if not group:
        yield Cause.required("spec.group")
    elif problems := metadata.subdomain(group):
        yield Cause.invalid("spec.group", group, ",".join(problems))
    elif "." not in group:
        yield Cause.invalid("spec.group", group, "should be a domain with at least one dot")


def _counted(versions: list[Obj]) -> Iterator[Cause]:
    names = [version.get("name") for version in versions]
    if len(set(names)) < len(names):
        yield Cause.invalid("spec.versions", versions, "must contain unique version names")
    if sum(1 for version in versions if version.get("storage")) != 1:
        yield Cause.invalid("spec.versions", versions, "must have exactly one version marked as storage version")
    if versions and versions[0].get("name"):
        yield from _label(versions[0]["name"], "spec.version")


def _label(text: str, path: str, start: str = "") -> Iterator[Cause]:
    if problems := metadata.label_1035(text.lower() if start else text):
        yield Cause.invalid(path, text, start + ",".join(problems))


def _names(names: Obj, path: str = "spec.names") -> Iterator[Cause]:
    for key in ("plural", "singular", "kind", "listKind"):
        if not names.get(key):
            yield Cause.required(f"{path}.{key}")
    for key in ("plural", "singular", "kind", "listKind"):
        if names.get(key):
            mixed = "may have mixed case, but should otherwise match: " if key in ("kind", "listKind") else ""
            yield from _label(names[key], f"{path}.{key}", mixed)
    for at, short in enumerate(names.get("shortNames") or ()):
        yield from _label(short, f"{path}.shortNames[{at}]")
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield Cause.invalid(f"{path}.listKind", names["listKind"], "kind and listKind may not be the same")
    for at, category in enumerate(names.get("categories") or ()):
        yield from _label(category, f"{path}.categories[{at}]")


def _simple(text: str, path: str, below: tuple[str, ...], where: str) -> Iterator[Cause]:
    if not text.startswith("."):
        yield Cause.invalid(path, text, "must be a simple json path starting with .")
    elif below and not text.startswith(below):
        yield Cause.invalid(path, text, f"should be a json path under {where}")


def _scale(scale: Obj | None, path: str) -> Iterator[Cause]:
    if scale is None:
        return
    for key, start in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        if not scale.get(key):
            yield Cause.required(f"{path}.{key}")
        else:
            yield from _simple(scale[key], f"{path}.{key}", (f"{start}.",), start)
    if selector := scale.get("labelSelectorPath"):
        yield from _simple(selector, f"{path}.labelSelectorPath", (".spec.", ".status."), "either .spec or .status")


def _column(column: Obj, path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield Cause.required(f"{path}.name")
    kind, words = column.get("type") or "", f"must be one of {','.join(COLUMN_TYPES)}"
    if not kind:
        yield Cause.required(f"{path}.type", words)
    elif kind not in COLUMN_TYPES:
        yield Cause.invalid(f"{path}.type", kind, words)
    if column.get("format") and column["format"] not in FORMATS:
        yield Cause.invalid(f"{path}.format", column["format"], f"must be one of {','.join(FORMATS)}")
    if not column.get("jsonPath"):
        yield Cause.required(f"{path}.JSONPath")
    else:
        yield from _simple(column["jsonPath"], f"{path}.JSONPath", (), "")


def _selectable(fields: list[Obj], schema: Obj, path: str) -> Iterator[Cause]:
    seen: list[list[str]] = []
    for at, one in enumerate(fields):
        where, text = f"{path}[{at}].jsonPath", one.get("jsonPath") or ""
        if not text:
            yield Cause.required(where)
            continue
        try:
            names, found = field_at(text, schema, allows_keys=False)
        except FieldPathError as error:
            yield Cause.invalid(where, text, f"is an invalid path: {error}")
            continue
        if names[0] == "metadata":
            yield Cause.invalid(where, text, "must not point to fields in metadata")
        if found.get("type") not in ("string", "boolean", "integer"):
            yield Cause.invalid(where, text, _SELECTABLE)
        if list(names) in seen:
            yield Cause.duplicate(where, text)
        else:
            seen.append(list(names))
    if len(seen) > MOST_FIELDS:
        yield Cause("FieldValueTooMany", f"Too many: {len(seen)}: must have at most {MOST_FIELDS} items", path)


def _conversion(conversion: Obj, path: str) -> Iterator[Cause]:
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook") or {}
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if not strategy:
        yield Cause.required(f"{path}.strategy")
    elif strategy not in ("None", "Webhook"):
        yield Cause.unsupported(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy == "Webhook":
        yield from _webhook(client, versions, path)
        return
    for key, given in (("webhookClientConfig", client is not None), ("conversionReviewVersions", bool(versions))):
        if given:
            yield Cause.forbidden(f"{path}.{key}", "should not be set when strategy is not set to Webhook")


def _webhook(client: Obj | None, versions: list[str], path: str) -> Iterator[Cause]:
    """A conversion by webhook: checked as everywhere, and then refused, since nobody would be asked."""
    where, found = f"{path}.webhookClientConfig", list[Cause]()
    if client is None:
        found.append(Cause.required(where, "required when strategy is set to Webhook"))
    else:
        found += client_causes(client, where)
    review = f"{path}.conversionReviewVersions"
    if not versions:
        found.append(Cause.required(review))
    elif not {"v1", "v1beta1"} & set(versions):
        found.append(Cause.invalid(review, versions, "must include at least one of v1, v1beta1"))
    found += [Cause.invalid(f"{review}[{at}]", one, "duplicate version")
              for at, one in enumerate(versions) if one in versions[:at]]  # fmt: skip
    text = "devplane converts between versions with strategy None only; remove spec.conversion"
    yield from found or [Cause.invalid(f"{path}.strategy", "Webhook", text)]


def _immutable(new: Obj, was: Obj) -> Iterator[Cause]:
    old, names = was["spec"], new.get("names") or {}
    conditions = (was.get("status") or {}).get("conditions") or ()
    if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
        if new.get("scope") != old.get("scope"):
            yield Cause.invalid("spec.scope", new.get("scope"), "field is immutable")
        if names.get("kind") != old["names"].get("kind"):
            yield Cause.invalid("spec.names.kind", names.get("kind"), "field is immutable")
    if new.get("group") != old.get("group"):
        yield Cause.invalid("spec.group", new.get("group"), "field is immutable")
    if names.get("plural") != old["names"].get("plural"):
        yield Cause.invalid("spec.names.plural", names.get("plural"), "field is immutable")


def _stored(crd: Obj) -> Iterator[Cause]:
    """Every version that objects may be stored in stays, until somebody says that there are none."""
    path, stored = "status.storedVersions", (crd.get("status") or {}).get("storedVersions") or []
    versions = crd["spec"].get("versions") or []
    if not stored:
        yield Cause.invalid(path, stored, "must have at least one stored version")
        return
    for version in versions:
        if version.get("storage") and version.get("name") not in stored:
            yield Cause.invalid(path, stored, f"must have the storage version {version['name']}")
    known = {version.get("name") for version in versions}
    for at, name in enumerate(stored):
        if name not in known:
            words = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield Cause.invalid(f"{path}[{at}]", name, words)


def _approval(crd: Obj, old: Obj | None) -> Iterator[Cause]:
    """Groups of Kubernetes' own need somebody's approval."""
    group = crd["spec"].get("group") or ""
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return
    given = (crd["metadata"].get("annotations") or {}).get(APPROVAL, "")
    if old is not None and (old["metadata"].get("annotations") or {}).get(APPROVAL, "") == given:
        return
    path, words = f"metadata.annotations[{APPROVAL}]", f'protected groups must have approval annotation "{APPROVAL}"'
    if not given:
        yield Cause.required(path, f"{words}, {_SEE}")
    elif not given.startswith(("unapproved", "https://", "http://")):
        yield Cause.invalid(path, given, f'{words} with either a URL or a reason starting with "unapproved", {_SEE}')
