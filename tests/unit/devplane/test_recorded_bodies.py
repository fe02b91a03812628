"""Bodies that were sent to a real Kubernetes 1.33, through the functions that decode, default and validate them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devplane.custom.rules import validate_crd
from devplane.custom.schema import Structural
from devplane.errors import ApiError, Cause
from devplane.kinds.builtins import builtin
from devplane.patches.apply import apply, track
from devplane.patches.plain import merge_patch

RECORDINGS = Path(__file__).parents[2] / "apiserver" / "recordings"
NAMES = ("02-objects", "09-job-validation", "10-deployments-and-services", "11-pods")
NOW = "2026-11-21T09:44:55Z"
# What only a server with a store gives: addresses of services, the token volume of pods.
STATEFUL = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "volumes"}

Step = dict[str, Any]


def recorded(name: str) -> list[Step]:
    found: list[Step] = json.loads((RECORDINGS / f"{name}.json").read_text())
    return found


def creations() -> list[Any]:
    """Every POST of a whole object of a built-in kind that reached decoding."""
    found = []
    for name in NAMES:
        for step in recorded(name):
            request, answer = step["request"], step["response"]["body"]
            is_object = request["method"] == "POST" and isinstance(request["body"], dict)
            if is_object and _kind(step) and not _is_refused_before(answer):
                found.append(pytest.param(step, id=f"{name} {step['name']}"))
    return found


def _kind(step: Step) -> tuple[str, str] | None:
    answer, body = step["response"]["body"], step["request"]["body"]
    source = body if answer.get("kind") == "Status" else answer
    pair = (source.get("apiVersion", "v1"), source.get("kind") or _PLURALS.get(step["request"]["path"].split("/")[-1]))
    return pair if pair[1] and builtin(*pair) and step["request"]["path"].split("/")[-1] in _PLURALS else None


_PLURALS = {
    "pods": "Pod", "services": "Service", "configmaps": "ConfigMap", "namespaces": "Namespace", "jobs": "Job",
    "deployments": "Deployment", "events": "Event", "leases": "Lease", "poddisruptionbudgets": "PodDisruptionBudget",
    "resourcequotas": "ResourceQuota",
}  # fmt: skip


def _is_refused_before(answer: dict[str, Any]) -> bool:
    """By what devplane's verbs check: the namespace, the kind, the body's form, a missing name."""
    message = answer.get("message", "")
    early = ("not found", "unknown conversion", "does not match the namespace", "json parse", "unknown format")
    return any(words in message for words in early) or "name or generateName" in message or "strict decoding" in message


def _defaulted(step: Step) -> tuple[dict[str, Any], list[Cause]]:
    """The object that would be stored, with the causes against it."""
    api_version, kind = _kind(step) or ("", "")
    answer = step["response"]["body"]
    found = builtin(api_version, kind)
    assert found is not None
    obj = {**copy.deepcopy(step["request"]["body"]), "apiVersion": api_version, "kind": kind}
    obj.pop("status", None)
    path = step["request"]["path"]
    metadata = obj["metadata"]
    if "/namespaces/" in path:
        metadata["namespace"] = path.split("/namespaces/")[1].split("/")[0]
    metadata.setdefault("name", answer.get("metadata", {}).get("name") or answer.get("details", {}).get("name"))
    metadata["uid"] = answer.get("metadata", {}).get("uid") or _uid_of(answer)
    found.unknown_fields(obj)
    found.default(obj)
    found.prepare(obj, None)
    return obj, found.validate(obj, None)


def _uid_of(answer: dict[str, Any]) -> str:
    """The uid of an object that was refused, from the message that prints its labels."""
    _, _, after = answer.get("message", "").partition('controller-uid":"')
    return after[:36] or "some-uid"


@pytest.mark.parametrize("step", [step for step in creations() if step.values[0]["response"]["status"] == 422])
def test_a_refusal_has_the_recorded_causes(step: Step) -> None:
    _, causes = _defaulted(step)
    assert [cause.body() for cause in causes] == step["response"]["body"]["details"]["causes"]


@pytest.mark.parametrize("step", [step for step in creations() if step.values[0]["response"]["status"] == 201])
def test_an_accepted_object_has_the_recorded_defaults(step: Step) -> None:
    obj, causes = _defaulted(step)
    answer = step["response"]["body"]
    assert causes == []
    for part in set(answer) - {"metadata", "spec"}:
        assert obj[part] == answer[part]
    spec, wanted = obj.get("spec", {}), answer.get("spec", {})
    assert {k: v for k, v in spec.items() if k not in STATEFUL} == _comparable(wanted)
    assert obj["metadata"].get("labels") == answer["metadata"].get("labels")


def _comparable(spec: dict[str, Any]) -> dict[str, Any]:
    kept = {key: copy.deepcopy(value) for key, value in spec.items() if key not in STATEFUL}
    for container in kept.get("containers", ()):
        container.pop("volumeMounts", None)
    return kept


@pytest.mark.parametrize("step", [step for step in creations() if step.values[0]["response"]["status"] == 400])
def test_a_wrong_type_is_named_as_recorded(step: Step) -> None:
    found = builtin(*(_kind(step) or ("", "")))
    assert found is not None
    problems = found.decode_errors(step["request"]["body"])
    assert step["response"]["body"]["message"].endswith(f" cannot be handled as a {found.kind}: {problems[0]}")


def _applications() -> list[Step]:
    return [step for step in recorded("03-server-side-apply") if "fieldManager" in step["request"]["path"]]


def test_server_side_apply_tells_the_recorded_story() -> None:
    found = builtin("v1", "ConfigMap")
    assert found is not None
    live: dict[str, Any] | None = None
    for step in _applications():
        if "stale" in step["name"]:
            continue
        wanted = step["response"]["body"]
        if step["response"]["status"] >= 400:
            with pytest.raises(ApiError) as refusal:
                _written(step, live, found.types)
            assert refusal.value.status() == wanted, step["name"]
            continue
        after = _written(step, live, found.types)
        assert after["metadata"].get("managedFields") == wanted["metadata"].get("managedFields"), step["name"]
        assert after.get("data") == wanted.get("data"), step["name"]
        live = live if "dryRun" in step["request"]["path"] else after


def _written(step: Step, live: Any, types: Any) -> Any:
    request = step["request"]
    query = dict(pair.split("=") for pair in request["path"].partition("?")[2].split("&"))
    who = {"manager": query["fieldManager"], "types": types, "subresource": "", "now": NOW}
    if request["headers"]["Content-Type"] == "application/apply-patch+yaml":
        return apply(live, request["body"], force=query.get("force") == "true", **who)
    after = merge_patch(live, request["body"])
    track(live, after, **who)
    return after


@pytest.mark.parametrize("name", ["10-deployments-and-services", "02-objects", "11-pods"])
def test_a_create_owns_the_recorded_fields(name: str) -> None:
    asked = 0
    for step in creations():
        entry = (step.values[0]["response"]["body"].get("metadata", {}).get("managedFields") or [None])[0]
        if step.id.startswith(name) and entry:
            asked += 1
            assert _owned(step.values[0], entry["manager"]) == entry["fieldsV1"], step.id
    assert asked or name == "10-deployments-and-services"


def _owned(step: Step, manager: str) -> Any:
    found = builtin(*(_kind(step) or ("", "")))
    assert found is not None
    obj = {**copy.deepcopy(step["request"]["body"]), "apiVersion": found.api_version, "kind": found.kind}
    found.unknown_fields(obj)
    found.default(obj)
    track(None, obj, manager=manager, types=found.types, subresource="", now=NOW)
    return obj["metadata"]["managedFields"][0]["fieldsV1"]


WIDGET = recorded("06-crds")[0]["request"]["body"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
WIDGETS = [step for step in recorded("06-crds") if (step["request"].get("body") or {}).get("kind") == "Widget"]
DEFINITIONS = [
    step
    for step in recorded("06-crds")
    if (step["request"].get("body") or {}).get("kind") == "CustomResourceDefinition"
    and "name does not" not in step["name"]
]


def _named(steps: list[Step]) -> list[Any]:
    return [pytest.param(step, id=step["name"]) for step in steps]


@pytest.mark.parametrize("step", _named([step for step in WIDGETS if step["request"]["method"] == "POST"]))
def test_a_custom_resource_is_answered_as_recorded(step: Step) -> None:
    structural = Structural(WIDGET)
    obj = copy.deepcopy(step["request"]["body"])
    obj.pop("status", None)
    unknown = structural.prune(obj)
    structural.default(obj)
    causes = [cause.body() for cause in structural.validate(obj, None)]
    answer = step["response"]["body"]
    wanted = answer.get("details", {}).get("causes", [])
    # The server walks a Go map, so the order of what is wrong varies.
    assert sorted(causes, key=str) == sorted(wanted, key=str)
    if step["response"]["status"] == 201:
        assert obj["spec"] == answer["spec"]
    shown = step["response"]["headers"].get("warning", "") + answer.get("message", "")
    assert all(f'unknown field \\"{path}\\"' in shown or f'unknown field "{path}"' in shown for path in unknown)


@pytest.mark.parametrize("step", _named(DEFINITIONS))
def test_a_definition_is_answered_as_recorded(step: Step) -> None:
    causes = [cause.body() for cause in validate_crd(step["request"]["body"])]
    assert causes == step["response"]["body"].get("details", {}).get("causes", [])


def test_a_custom_resource_owns_the_recorded_fields() -> None:
    step = next(step for step in WIDGETS if step["name"].startswith("create: defaults"))
    structural = Structural(WIDGET)
    obj = copy.deepcopy(step["request"]["body"])
    obj.pop("status")
    structural.prune(obj)
    structural.default(obj)
    track(None, obj, manager="python-requests", types=structural.types, subresource="", now=NOW)
    wanted = step["response"]["body"]["metadata"]["managedFields"][0]["fieldsV1"]
    assert obj["metadata"]["managedFields"][0]["fieldsV1"] == wanted


def test_an_undeclared_field_can_not_be_applied() -> None:
    step = next(step for step in WIDGETS if step["name"] == "apply, unknown field")
    with pytest.raises(ApiError) as refusal:
        apply(
            None,
            step["request"]["body"],
            manager="me",
            force=False,
            types=Structural(WIDGET).types,
            subresource="",
            now=NOW,
        )
    assert refusal.value.message == step["response"]["body"]["message"]
    assert refusal.value.code == 500


def test_a_deployment_is_owned_as_recorded() -> None:
    steps = recorded("10-deployments-and-services")
    body = copy.deepcopy(next(one for one in steps if one["name"] == "template labels must match")["request"]["body"])
    body["metadata"] = {"name": "web", "labels": {"app": "web"}}
    body["spec"]["selector"] = {"matchLabels": {"app": "web"}}
    found = builtin("apps/v1", "Deployment")
    assert found is not None
    found.default(body)
    track(None, body, manager="python-requests", types=found.types, subresource="", now=NOW)
    owned = body["metadata"]["managedFields"][0]["fieldsV1"]
    del owned["f:spec"]["f:replicas"]  # it was scaled before it was recorded
    assert owned in list(_owned_anywhere(steps))


def _owned_anywhere(value: Any) -> Iterator[Any]:
    """Every fieldsV1 in a recording."""
    if isinstance(value, dict):
        if "fieldsV1" in value:
            yield value["fieldsV1"]
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from _owned_anywhere(one)
