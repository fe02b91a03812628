"""Server-side apply and strategic merges: who owns which field, and how lists are merged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import MERGE, STRATEGIC, Raw
from apiserver.clients.waiting import until

Obj = dict[str, Any]

APPLY = "reference/using-api/server-side-apply/"
PATCH = "tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/"


def config_map(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


def deployment(*containers: Obj, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": list(containers)}}
    selector = {"matchLabels": {"app": "web"}}
    body = {"replicas": 0, "selector": selector, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": body}


def container(name: str = "c", **fields: Any) -> Obj:
    return {"name": name, "image": "none.example/x:1", **fields}


@pytest.fixture
def at(raw: Raw) -> str:
    return raw.at("configmaps", "one")


@pytest.fixture
def web(raw: Raw) -> str:
    """A deployment of two containers."""
    raw.made(raw.at("deployments", group="apps/v1"), deployment(container("a"), container("b")))
    return raw.at("deployments", "web", group="apps/v1")


def containers(raw: Raw, path: str) -> list[Obj]:
    found: list[Obj] = raw.get(path).body["spec"]["template"]["spec"]["containers"]
    return found


@docs(APPLY)
def test_apply_creates_with_201_and_changes_with_200(raw: Raw, at: str) -> None:
    assert raw.apply(at, config_map(a="1"), "m").code == 201
    assert raw.apply(at, config_map(a="2"), "m").code == 200


@docs(f"{APPLY}#field-management")
def test_fields_are_owned_by_who_applied_them(raw: Raw, at: str) -> None:
    made = raw.apply(at, config_map(a="1"), "m").body
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("m", "Apply", "v1")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


@docs(f"{APPLY}#field-management")
def test_update_owns_what_it_changed(raw: Raw, at: str) -> None:
    raw.apply(at, config_map(a="1"), "m")
    done = raw.ask("PATCH", at, {"data": {"b": "2"}}, MERGE, fieldManager="u").body
    owners = {one["manager"]: (one["operation"], one["fieldsV1"]) for one in done["metadata"]["managedFields"]}
    assert owners == {
        "m": ("Apply", {"f:data": {"f:a": {}}}),
        "u": ("Update", {"f:data": {"f:b": {}}}),
    }


@docs(f"{APPLY}#conflicts")
def test_field_of_another_manager_is_a_conflict(raw: Raw, at: str) -> None:
    raw.apply(at, config_map(a="1"), "m")
    refused = raw.apply(at, config_map(a="2"), "n")
    assert (refused.code, refused.reason) == (409, "Conflict")
    (cause,) = refused.body["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".data.a")
    assert cause["message"] == 'conflict with "m"'


@docs(f"{APPLY}#conflicts")
def test_force_takes_the_field(raw: Raw, at: str) -> None:
    raw.apply(at, config_map(a="1", b="1"), "m")
    done = raw.apply(at, config_map(a="2"), "n", force="true").body
    assert done["data"] == {"a": "2", "b": "1"}
    owners = {one["manager"]: one["fieldsV1"]["f:data"] for one in done["metadata"]["managedFields"]}
    assert owners == {"m": {"f:b": {}}, "n": {"f:a": {}}}


@docs(f"{APPLY}#conflicts")
def test_same_value_is_shared_and_no_conflict(raw: Raw, at: str) -> None:
    raw.apply(at, config_map(a="1"), "m")
    done = raw.apply(at, config_map(a="1"), "n")
    assert done.code == 200
    assert sorted(one["manager"] for one in done.body["metadata"]["managedFields"]) == ["m", "n"]


@docs(f"{APPLY}#field-management")
def test_field_that_is_applied_no_longer_is_removed(raw: Raw, at: str) -> None:
    raw.apply(at, config_map(a="1", b="1"), "m")
    assert raw.apply(at, config_map(a="1"), "m").body["data"] == {"a": "1"}


@docs(f"{APPLY}#transferring-ownership")
def test_field_that_somebody_else_owns_too_stays(raw: Raw, at: str) -> None:
    raw.apply(at, config_map(a="1", b="1"), "m")
    raw.apply(at, config_map(b="1"), "n")
    assert raw.apply(at, config_map(a="1"), "m").body["data"] == {"a": "1", "b": "1"}


@docs(f"{APPLY}#api-implementation")
def test_apply_without_a_manager_is_refused(raw: Raw, at: str) -> None:
    refused = raw.ask("PATCH", at, config_map(a="1"), "application/apply-patch+yaml")
    assert refused.code in (400, 422)
    assert "fieldManager" in refused.message


@docs(f"{APPLY}#merge-strategy")
def test_applied_containers_are_merged_by_name(raw: Raw) -> None:
    path = raw.at("deployments", "web", group="apps/v1")
    raw.apply(path, deployment(container("a"), container("b")), "m")
    more = {**deployment(container("c")), "spec": {"template": {"spec": {"containers": [container("c")]}}}}
    assert raw.apply(path, more, "n").code == 200
    assert [one["name"] for one in containers(raw, path)] == ["a", "b", "c"]
    raw.apply(path, deployment(container("a")), "m")
    assert [one["name"] for one in containers(raw, path)] == ["a", "c"]


@docs(f"{APPLY}#merge-strategy")
def test_applied_ports_are_merged_by_port_and_protocol(raw: Raw) -> None:
    path = raw.at("services", "web")

    def service(*ports: Obj) -> Obj:
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": list(ports)}}

    raw.apply(path, service({"name": "t", "port": 53, "protocol": "TCP"}), "m")
    raw.apply(path, service({"name": "u", "port": 53, "protocol": "UDP"}), "n")
    ports = raw.get(path).body["spec"]["ports"]
    assert [(one["port"], one["protocol"]) for one in ports] == [(53, "TCP"), (53, "UDP")]


@docs(f"{APPLY}#clearing-managedfields")
def test_managed_fields_can_be_cleared(raw: Raw, at: str) -> None:
    raw.apply(at, config_map(a="1"), "m")
    raw.ask("PATCH", at, {"metadata": {"managedFields": [{}]}}, MERGE)
    assert "managedFields" not in raw.get(at).body["metadata"]


@docs(f"{APPLY}#using-server-side-apply-in-a-controller", "reference/using-api/api-concepts/#dry-run")
def test_dry_run_of_an_apply_tells_of_conflicts_and_stores_nothing(raw: Raw, at: str) -> None:
    raw.apply(at, config_map(a="1"), "m")
    assert raw.apply(at, config_map(a="2"), "n", dryRun="All").code == 409
    assert raw.apply(at, config_map(a="2"), "n", dryRun="All", force="true").body["data"] == {"a": "2"}
    assert raw.get(at).body["data"] == {"a": "1"}


@docs(f"{PATCH}#notes-on-the-strategic-merge-patch")
def test_strategic_patch_merges_containers_by_name(raw: Raw, web: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "none.example/x:2"}]}}}}
    assert raw.ask("PATCH", web, patch, STRATEGIC).code == 200
    found = [(one["name"], one["image"][-1]) for one in containers(raw, web)]
    assert sorted(found) == [("a", "1"), ("b", "2")]


@docs(f"{PATCH}#use-a-json-merge-patch-to-update-a-deployment")
def test_merge_patch_replaces_the_whole_list(raw: Raw, web: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [container("z")]}}}}
    raw.ask("PATCH", web, patch, MERGE)
    assert [one["name"] for one in containers(raw, web)] == ["z"]


@docs(f"{PATCH}#notes-on-the-strategic-merge-patch")
def test_strategic_patch_deletes_an_entry_by_directive(raw: Raw, web: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"$patch": "delete", "name": "a"}]}}}}
    raw.ask("PATCH", web, patch, STRATEGIC)
    assert [one["name"] for one in containers(raw, web)] == ["b"]


@docs(f"{PATCH}#use-strategic-merge-patch-to-update-a-deployment-using-the-retainkeys-strategy")
def test_strategic_patch_retains_the_keys_that_it_names(raw: Raw, web: str) -> None:
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    done = raw.ask("PATCH", web, patch, STRATEGIC)
    assert (done.code, done.body["spec"]["strategy"]) == (200, {"type": "Recreate"})


@docs(f"{PATCH}#use-strategic-merge-patch-to-update-a-deployment-using-the-retainkeys-strategy")
def test_strategy_that_contradicts_itself_is_refused(raw: Raw, web: str) -> None:
    refused = raw.ask("PATCH", web, {"spec": {"strategy": {"type": "Recreate"}}}, STRATEGIC)
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert "may not be specified when strategy `type` is 'Recreate'" in refused.message


LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def applied_by_the_client(raw: Raw, **data: str) -> None:
    """As an old `kubectl apply` leaves it."""
    body = config_map(**data)
    body["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(config_map(**data))}
    raw.made(raw.at("configmaps"), body, fieldManager="kubectl-client-side-apply")


@docs(f"{APPLY}#upgrading-from-client-side-apply-to-server-side-apply")
def test_kubectl_takes_over_what_its_client_side_apply_wrote(raw: Raw, at: str) -> None:
    applied_by_the_client(raw, a="1")
    assert raw.apply(at, config_map(a="2"), "other").code == 409
    assert raw.apply(at, config_map(a="2"), "kubectl").body["data"] == {"a": "2"}


@source("staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/lastappliedmanager.go")
def test_kubectl_does_not_take_over_what_somebody_changed_since(raw: Raw, at: str) -> None:
    applied_by_the_client(raw, a="1", b="1")
    raw.ask("PATCH", at, {"data": {"a": "5"}}, MERGE, fieldManager="u")
    refused = raw.apply(at, config_map(a="2", b="2"), "kubectl")
    assert refused.code == 409
    assert [cause["field"] for cause in refused.body["details"]["causes"]] == [".data.a"]


def since(raw: Raw, at: str, applied: Obj, manager: str) -> tuple[str | None, str]:
    """When its entry says that a manager changed the object, and the object's version, after an apply."""
    answer = raw.apply(at, applied, manager)
    assert answer.code in (200, 201), answer.body
    metadata = answer.body["metadata"]
    entry = next(one for one in metadata["managedFields"] if one["manager"] == manager)
    return entry.get("time"), metadata["resourceVersion"]


UPDATER = "staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/managedfieldsupdater.go"


@docs(f"{APPLY}#field-management")
@source(UPDATER)
def test_who_applies_what_is_there_joins_its_owners_and_has_changed_nothing(raw: Raw, at: str) -> None:
    first, created = since(raw, at, config_map(a="1", b="1"), "first")
    time, joined = since(raw, at, config_map(a="1"), "second")
    assert (time, created != joined) == (None, True)
    assert since(raw, at, config_map(a="1"), "second") == (None, joined)
    assert since(raw, at, config_map(b="1"), "first")[0] == first
    assert since(raw, at, config_map(a="2"), "second")[0] is not None


@docs("concepts/workloads/controllers/deployment/#deployment-status")
@source("pkg/registry/apps/deployment/strategy.go")
def test_status_that_is_applied_again_is_not_written(raw: Raw, web: str) -> None:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    status = {**body, "status": {"conditions": [{"type": "Mine", "status": "True"}]}}

    def settled() -> Obj | None:
        found: Obj = raw.get(web).body
        types = [one["type"] for one in found["status"].get("conditions") or ()]
        return found if {"Available", "Progressing"} <= set(types) else None

    until(settled, "the controller's conditions")
    assert raw.apply(f"{web}/status", status, "mine").code == 200
    until(lambda: settled() and settled() == settled(), "rest")
    again = raw.apply(f"{web}/status", status, "mine").body
    assert "Mine" in [one["type"] for one in again["status"]["conditions"]]
    assert raw.apply(f"{web}/status", status, "mine").body == again
