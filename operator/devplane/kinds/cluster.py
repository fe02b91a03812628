"""Namespaces, events, roles and bindings, quotas, priorities, definitions of custom resources. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from devplane.errors import Cause, go_quote
from devplane.kinds import rules
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


def default_quota(quota: Obj) -> None:
    hard = quota["spec"].get("hard")
    if hard is not None:
        quota["spec"]["hard"] = {name: str(amount) for name, amount in hard.items()}


def default_priority(priority: Obj) -> None:
    priority.setdefault("preemptionPolicy", "PreemptLowerPriority")


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


def validate_event(new: Obj, old: Obj | None) -> list[Cause]:
    """An event lies where its object lies; of an object without a namespace, in default."""
    namespace = new["metadata"].get("namespace", "")
    about = new["involvedObject"].get("namespace", "")
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
    return [
        cause
        for at, rule in enumerate(new.get("rules") or ())
        for cause in _rule(rule, f"rules[{at}]", is_namespaced=is_namespaced)
    ]


def _rule(rule: Obj, path: str, *, is_namespaced: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        yield Cause.required(f"{path}.verbs", "verbs must contain at least one value")
    if rule.get("nonResourceURLs"):
        if is_namespaced:
            detail = "namespaced rules cannot apply to non-resource URLs"
            yield rules.invalid_go(f"{path}.nonResourceURLs", _go_list(rule["nonResourceURLs"]), detail)
        return
    if not rule.get("apiGroups"):
        yield Cause.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield Cause.required(f"{path}.resources", "resource rules must supply at least one resource")


def _go_list(texts: list[str]) -> str:
    return f"[]string{{{', '.join(go_quote(text) for text in texts)}}}"


def validate_binding(new: Obj, old: Obj | None) -> list[Cause]:
    role = new["roleRef"]
    found = [*rules.one_of(role.get("apiGroup"), (RBAC,), "roleRef.apiGroup")]
    choices = ("ClusterRole", "Role") if new.get("kind") == "RoleBinding" else ("ClusterRole",)
    found += rules.one_of(role.get("kind"), choices, "roleRef.kind")
    if not role.get("name"):
        found.append(Cause.required("roleRef.name"))
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
    yield from rules.one_of(subject.get("kind"), ("ServiceAccount", "User", "Group"), f"{path}.kind")
    if (
        subject.get("kind") == "ServiceAccount"
        and not subject.get("namespace")
        and binding.get("kind") != "RoleBinding"
    ):
        yield Cause.required(f"{path}.namespace")


def validate_definition(new: Obj, _: Obj | None) -> list[Cause]:
    """The schemas of a CustomResourceDefinition. Read late: rules need an engine that most writes never do."""
    from devplane.custom.rules import validate_crd

    return validate_crd(new)
