"""Namespaces, events, roles and bindings, quotas, priorities, definitions of custom resources. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from devplane.errors import Cause, go_quote
from devplane.kinds import metadata, rules
from devplane.schemas.types import Obj

RBAC = "rbac.authorization.k8s.io"


def default_namespace(namespace: Obj) -> None:
    if name := namespace["metadata"].get("name"):
        namespace["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def prepare_namespace(new: Obj, old: Obj | None) -> None:
    """A new namespace holds the finalizer that empties it before it goes."""
    if old is None:
        finalizers = new["spec"].setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")
        new["status"] = {"phase": "Active"}


def validate_namespace(new: Obj, _: Obj | None) -> list[Cause]:
    found: list[Cause] = []
    for name in new["spec"].get("finalizers") or ():
        found += rules.named(name, metadata.qualified_name, "spec.finalizers")
        if "/" not in name and name not in ("kubernetes", "orphan", "foregroundDeletion"):
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(Cause.invalid("spec.finalizers", name, detail))
    return found


def default_crd(crd: Obj) -> None:
    spec = crd["spec"]
    names = spec["names"]
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {"strategy": "None"})


def default_binding(binding: Obj) -> None:
    role = binding["roleRef"]
    if not role.get("apiGroup"):
        role["apiGroup"] = RBAC
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)


def validate_new_event(new: Obj, old: Obj | None) -> list[Cause]:
    """Of events.k8s.io: what an old event says of a time may not be set."""
    if old is not None:
        return []
    found = [*_reported(new, "reportingController")]
    if not new.get("reason"):
        found.append(Cause.required("reason"))
    if new.get("type") not in ("Normal", "Warning"):
        found.append(Cause.invalid("type", "", f"has invalid value: {new.get('type', '')}"))
    if len(new.get("note") or "") > 1024:
        found.append(Cause.invalid("message", "", "can have at most 1024 characters"))
    if (series := new.get("series")) is not None and series.get("count", 0) < 2:
        found.append(Cause.invalid("series.count", "", "should be at least 2"))
    for field, old_name in (("deprecatedCount", "count"), ("deprecatedFirstTimestamp", "firstTimestamp"),
                            ("deprecatedLastTimestamp", "lastTimestamp")):  # fmt: skip
        if new.get(field):
            found.append(Cause.invalid(old_name, "", "needs to be unset"))
    return found


def _reported(event: Obj, controller: str) -> Iterator[Cause]:
    """Who tells of it; an event with a time has to say."""
    if event.get("eventTime") is None:
        yield Cause.required("eventTime")
        return
    if not event.get(controller):
        yield Cause.required(controller)
    yield from metadata.label_key(event.get(controller) or "", controller)
    for field in ("reportingInstance", "action"):
        if not event.get(field):
            yield Cause.required(field)


def validate_event(new: Obj, old: Obj | None) -> list[Cause]:
    """An event lies where its object lies; of an object without a namespace, in default."""
    namespace = new["metadata"].get("namespace", "")
    about = new["involvedObject"].get("namespace", "")
    if old is None and about == namespace and new.get("eventTime") is not None:
        return [*_reported(new, "reportingComponent")]
    if old is not None or about == namespace:
        return []
    if not about:
        known = ("default", "kube-system")
        return [] if namespace in known else [_elsewhere(about)]
    return [_elsewhere(about)]


def _elsewhere(namespace: str) -> Cause:
    return Cause.invalid("involvedObject.namespace", namespace, "does not match event.namespace")


def validate_role(new: Obj, _: Obj | None) -> list[Cause]:
    is_namespaced = new.get("kind") == "Role"
    return [*_aggregation(new.get("aggregationRule"))] + [
        cause
        for at, rule in enumerate(new.get("rules") or ())
        for cause in _rule(rule, f"rules[{at}]", is_namespaced=is_namespaced)
    ]


def _aggregation(rule: Obj | None) -> Iterator[Cause]:
    path = "aggregationRule.clusterRoleSelectors"
    if rule is not None and not rule.get("clusterRoleSelectors"):
        yield Cause.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for at, one in enumerate((rule or {}).get("clusterRoleSelectors") or ()):
        wrong = [*rules.selector(one, f"{path}[{at}]")]
        yield from wrong
        if wrong:
            yield rules.invalid_go(f"{path}[{at}]", rules.go_selector(one), "invalid label selector.")


def _rule(rule: Obj, path: str, *, is_namespaced: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        yield Cause.required(f"{path}.verbs", "verbs must contain at least one value")
    if rule.get("nonResourceURLs"):
        shown, where = rules.go_list(rule["nonResourceURLs"]), f"{path}.nonResourceURLs"
        if is_namespaced:
            yield rules.invalid_go(where, shown, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            yield rules.invalid_go(where, shown, "rules cannot apply to both regular resources and non-resource URLs")
        return
    if not rule.get("apiGroups"):
        yield Cause.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield Cause.required(f"{path}.resources", "resource rules must supply at least one resource")


def validate_binding(new: Obj, old: Obj | None) -> list[Cause]:
    role = new["roleRef"]
    found = [*rules.one_of(role.get("apiGroup"), (RBAC,), "roleRef.apiGroup")]
    choices = ("Role", "ClusterRole") if new.get("kind") == "RoleBinding" else ("ClusterRole",)
    found += rules.one_of(role.get("kind") or "", choices, "roleRef.kind")
    if not role.get("name"):
        found.append(Cause.required("roleRef.name"))
    else:
        found += rules.named(role["name"], metadata.path_segment, "roleRef.name")
    if old is not None and role != old["roleRef"]:
        shown = ", ".join(
            f"{go}:{go_quote(role.get(key, ''))}"
            for go, key in (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))
        )
        found.append(rules.invalid_go("roleRef", f"rbac.RoleRef{{{shown}}}", "cannot change roleRef"))
    return found + [
        cause for at, one in enumerate(new.get("subjects") or ()) for cause in _subject(one, f"subjects[{at}]", new)
    ]


def _subject(subject: Obj, path: str, binding: Obj) -> Iterator[Cause]:
    if not subject.get("name"):
        yield Cause.required(f"{path}.name")
    kind, group = subject.get("kind"), subject.get("apiGroup") or ""
    yield from rules.one_of(kind, ("ServiceAccount", "User", "Group"), f"{path}.kind")
    if kind == "ServiceAccount" and subject.get("name"):
        yield from rules.named(subject["name"], metadata.subdomain, f"{path}.name")
    if kind in ("ServiceAccount", "User", "Group"):
        yield from rules.one_of(group, ("",) if kind == "ServiceAccount" else (RBAC,), f"{path}.apiGroup")
    if (
        subject.get("kind") == "ServiceAccount"
        and not subject.get("namespace")
        and binding.get("kind") != "RoleBinding"
    ):
        yield Cause.required(f"{path}.namespace")


def validate_definition(new: Obj, old: Obj | None) -> list[Cause]:
    """A CustomResourceDefinition. Read late: rules need an engine that most writes never do."""
    from devplane.kinds.definitions import definition_errors

    return list(definition_errors(new, old))
