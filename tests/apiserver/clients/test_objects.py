"""Objects and their verbs as the API concepts describe them, request by request."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import JSON_PATCH, MERGE, PARTIAL, PARTIAL_LIST, STRATEGIC, TABLE, Raw
from apiserver.clients.waiting import until

Obj = dict[str, Any]

CONCEPTS = "reference/using-api/api-concepts/"
NAMES = "concepts/overview/working-with-objects/names/"


def config_map(name: str = "one", labels: Obj | None = None, **data: str) -> Obj:
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.fixture
def maps(raw: Raw) -> str:
    return raw.at("configmaps")


@pytest.fixture
def one(raw: Raw, maps: str) -> Obj:
    return raw.made(maps, config_map(a="1"))


@docs(f"{CONCEPTS}#api-terminology")
def test_create_answers_201_with_what_the_server_adds(raw: Raw, maps: str) -> None:
    made = raw.made(maps, config_map(a="1"))["metadata"]
    assert made["namespace"] == raw.namespace
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["creationTimestamp"])
    assert int(made["resourceVersion"]) > 0


@docs(NAMES)
def test_second_object_of_a_name_is_refused(raw: Raw, maps: str, one: Obj) -> None:
    again = raw.create(maps, config_map())
    assert (again.code, again.reason) == (409, "AlreadyExists")
    assert again.body["details"] == {"name": "one", "kind": "configmaps"}


@docs(NAMES, "concepts/overview/working-with-objects/names/#dns-subdomain-names")
@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dot.", "x" * 254])
def test_name_that_is_no_dns_subdomain_is_refused(raw: Raw, maps: str, name: str) -> None:
    refused = raw.create(maps, config_map(name))
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert [cause["field"] for cause in refused.body["details"]["causes"]] == ["metadata.name"]


@docs(f"{CONCEPTS}#generated-values")
def test_generate_name_gives_each_object_its_own(raw: Raw, maps: str) -> None:
    body = {"metadata": {"generateName": "many-"}}
    names = {raw.made(maps, body)["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(re.fullmatch(r"many-[a-z0-9]{5}", name) for name in names)


@docs(f"{CONCEPTS}#resource-uris")
def test_namespace_of_the_body_must_be_that_of_the_path(raw: Raw, maps: str) -> None:
    body = {"metadata": {"name": "one", "namespace": "default"}}
    refused = raw.create(maps, body)
    assert (refused.code, refused.reason) == (400, "BadRequest")


@docs("concepts/overview/working-with-objects/namespaces/")
def test_object_in_a_namespace_that_is_not_there_is_refused(raw: Raw) -> None:
    refused = raw.create("/api/v1/namespaces/nowhere-at-all/configmaps", config_map())
    assert (refused.code, refused.reason) == (404, "NotFound")
    assert refused.message == 'namespaces "nowhere-at-all" not found'


@docs(f"{CONCEPTS}#resource-uris")
def test_what_is_not_there_is_not_found_by_name_and_kind(raw: Raw, maps: str) -> None:
    missing = raw.get(f"{maps}/none")
    assert (missing.code, missing.reason, missing.message) == (404, "NotFound", 'configmaps "none" not found')


@docs(f"{CONCEPTS}#resource-versions")
def test_update_with_a_stale_version_is_a_conflict(raw: Raw, maps: str, one: Obj) -> None:
    raw.ask("PATCH", f"{maps}/one", {"data": {"a": "2"}}, MERGE)
    refused = raw.ask("PUT", f"{maps}/one", {**one, "data": {"a": "3"}})
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in refused.message


@docs(f"{CONCEPTS}#resource-versions")
def test_update_without_a_version_is_unconditional(raw: Raw, maps: str, one: Obj) -> None:
    raw.ask("PATCH", f"{maps}/one", {"data": {"a": "2"}}, MERGE)
    done = raw.ask("PUT", f"{maps}/one", config_map(b="3"))
    assert (done.code, done.body["data"]) == (200, {"b": "3"})


@docs(f"{CONCEPTS}#resource-versions")
def test_change_that_changes_nothing_keeps_the_version(raw: Raw, maps: str, one: Obj) -> None:
    done = raw.ask("PATCH", f"{maps}/one", {"data": {"a": "1"}}, MERGE)
    assert done.body["metadata"]["resourceVersion"] == one["metadata"]["resourceVersion"]


@docs(f"{CONCEPTS}#resource-versions")
def test_patch_that_names_a_stale_version_is_a_conflict(raw: Raw, maps: str, one: Obj) -> None:
    raw.ask("PATCH", f"{maps}/one", {"data": {"a": "2"}}, MERGE)
    stale = {"metadata": {"resourceVersion": one["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
    assert raw.ask("PATCH", f"{maps}/one", stale, MERGE).code == 409


@docs(NAMES)
@pytest.mark.parametrize("field", ["uid", "creationTimestamp"])
def test_identity_of_an_object_can_not_be_patched_away(raw: Raw, maps: str, one: Obj, field: str) -> None:
    raw.ask("PATCH", f"{maps}/one", {"metadata": {field: None}}, MERGE)
    assert raw.get(f"{maps}/one").body["metadata"][field] == one["metadata"][field]


@docs("tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/#use-a-json-merge-patch-to-update-a-deployment")
def test_merge_patch_replaces_values_and_null_removes(raw: Raw, maps: str, one: Obj) -> None:
    done = raw.ask("PATCH", f"{maps}/one", {"data": {"a": None, "b": "2"}}, MERGE)
    assert done.body["data"] == {"b": "2"}


@docs("reference/kubectl/generated/kubectl_patch/", "reference/using-api/api-concepts/#patch-and-apply")
def test_json_patch_is_done_in_order(raw: Raw, maps: str, one: Obj) -> None:
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "copy", "from": "/data/a", "path": "/data/b"},
        {"op": "replace", "path": "/data/a", "value": "2"},
        {"op": "move", "from": "/data/b", "path": "/data/c"},
    ]
    assert raw.ask("PATCH", f"{maps}/one", steps, JSON_PATCH).body["data"] == {"a": "2", "c": "1"}


@docs(f"{CONCEPTS}#patch-and-apply")
def test_json_patch_whose_test_fails_does_nothing(raw: Raw, maps: str, one: Obj) -> None:
    steps = [{"op": "add", "path": "/data/b", "value": "2"}, {"op": "test", "path": "/data/a", "value": "9"}]
    refused = raw.ask("PATCH", f"{maps}/one", steps, JSON_PATCH)
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert raw.get(f"{maps}/one").body["data"] == {"a": "1"}


@docs(f"{CONCEPTS}#patch-and-apply")
def test_patch_of_an_unknown_type_is_refused(raw: Raw, maps: str, one: Obj) -> None:
    refused = raw.ask("PATCH", f"{maps}/one", {"data": {}}, "application/json")
    assert (refused.code, refused.reason) == (415, "UnsupportedMediaType")


@docs(f"{CONCEPTS}#dry-run")
@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete"])
def test_dry_run_answers_as_if_and_stores_nothing(raw: Raw, maps: str, one: Obj, verb: str) -> None:
    requests = {
        "create": ("POST", maps, config_map("two")),
        "update": ("PUT", f"{maps}/one", config_map(a="2")),
        "patch": ("PATCH", f"{maps}/one", {"data": {"a": "2"}}),
        "delete": ("DELETE", f"{maps}/one", None),
    }
    method, path, body = requests[verb]
    done = raw.ask(method, path, body, MERGE if verb == "patch" else "application/json", dryRun="All")
    assert done.code == (201 if verb == "create" else 200)
    assert [
        (item["metadata"]["name"], item["data"]) for item in raw.get(maps).body["items"] if "a" in item["data"]
    ] == [("one", {"a": "1"})]
    assert raw.get(f"{maps}/two").code == 404


@docs(f"{CONCEPTS}#setting-the-field-validation-level")
def test_unknown_field_is_refused_strictly(raw: Raw, maps: str) -> None:
    refused = raw.create(maps, {**config_map(), "dta": {}}, fieldValidation="Strict")
    assert refused.code == 400
    assert 'strict decoding error: unknown field "dta"' in refused.message


@docs(f"{CONCEPTS}#setting-the-field-validation-level")
def test_unknown_field_is_warned_of_and_dropped(raw: Raw, maps: str) -> None:
    done = raw.create(maps, {**config_map(), "dta": {}}, fieldValidation="Warn")
    assert done.code == 201
    assert "dta" not in done.body
    assert r"unknown field \"dta\"" in done.headers["Warning"]


@docs(f"{CONCEPTS}#setting-the-field-validation-level")
def test_unknown_field_is_dropped_without_a_word(raw: Raw, maps: str) -> None:
    done = raw.create(maps, {**config_map(), "dta": {}}, fieldValidation="Ignore")
    assert done.code == 201
    assert "Warning" not in done.headers


@docs(f"{CONCEPTS}#retrieving-large-results-sets-in-chunks")
def test_pages_are_whole_and_tell_how_much_is_left(raw: Raw, maps: str) -> None:
    for number in range(5):
        raw.made(maps, config_map(f"m{number}", {"page": "yes"}))
    first = raw.get(maps, limit=3).body
    assert first["metadata"]["remainingItemCount"] >= 2
    names = [item["metadata"]["name"] for item in first["items"]]
    page = first
    while token := page["metadata"].get("continue"):
        page = raw.get(maps, limit=3, continue_=token).body
        names += [item["metadata"]["name"] for item in page["items"]]
    assert [name for name in names if name.startswith("m")] == [f"m{number}" for number in range(5)]


@docs(f"{CONCEPTS}#retrieving-large-results-sets-in-chunks")
def test_made_up_continue_token_is_refused(raw: Raw, maps: str) -> None:
    refused = raw.get(maps, limit=1, continue_="bm9uZQ")
    assert (refused.code, refused.reason) == (400, "BadRequest")


@docs(f"{CONCEPTS}#unavailable-resource-versions")
def test_version_of_the_future_is_waited_for_and_then_refused(raw: Raw, maps: str, one: Obj) -> None:
    ahead = int(one["metadata"]["resourceVersion"]) + 1_000_000_000
    refused = raw.get(maps, resourceVersion=ahead, resourceVersionMatch="NotOlderThan")
    assert (refused.code, refused.reason) == (504, "Timeout")
    assert "Too large resource version" in refused.message


@docs(f"{CONCEPTS}#semantics-for-get-and-list")
def test_version_match_without_a_version_is_refused(raw: Raw, maps: str) -> None:
    refused = raw.get(maps, resourceVersionMatch="Exact")
    assert (refused.code, refused.reason) == (422, "Invalid")


@docs("concepts/overview/working-with-objects/labels/#label-selectors")
@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=front", "a"),
        ("tier==front", "a"),
        ("tier!=front", "bc"),
        ("tier in (front,back)", "ab"),
        ("tier notin (front)", "bc"),
        ("tier", "ab"),
        ("!tier", "c"),
        ("tier=front,env=prod", "a"),
        ("env=prod,tier!=front", "c"),
    ],
)
def test_label_selectors(raw: Raw, maps: str, selector: str, found: str) -> None:
    raw.made(maps, config_map("a", {"tier": "front", "env": "prod"}))
    raw.made(maps, config_map("b", {"tier": "back"}))
    raw.made(maps, config_map("c", {"env": "prod"}))
    listed = raw.get(maps, labelSelector=selector).body["items"]
    assert "".join(item["metadata"]["name"] for item in listed if len(item["metadata"]["name"]) == 1) == found


@docs("concepts/overview/working-with-objects/labels/#label-selectors")
def test_selector_that_is_none_is_refused(raw: Raw, maps: str) -> None:
    assert raw.get(maps, labelSelector="a in").code == 400


@docs("concepts/overview/working-with-objects/field-selectors/")
def test_field_selectors_choose_by_name(raw: Raw, maps: str, one: Obj) -> None:
    raw.made(maps, config_map("two"))
    chosen = raw.get(maps, fieldSelector="metadata.name=two").body["items"]
    assert [item["metadata"]["name"] for item in chosen] == ["two"]
    others = raw.get(maps, fieldSelector="metadata.name!=two").body["items"]
    assert "two" not in [item["metadata"]["name"] for item in others]


@docs("concepts/overview/working-with-objects/field-selectors/#supported-fields")
def test_field_that_can_not_be_selected_is_refused(raw: Raw, maps: str) -> None:
    refused = raw.get(maps, fieldSelector="data.a=1")
    assert (refused.code, refused.reason) == (400, "BadRequest")


@docs(f"{CONCEPTS}#receiving-resources-as-tables")
def test_tables_have_columns_and_rows(raw: Raw, maps: str, one: Obj) -> None:
    table = raw.get(maps, accept=TABLE, fieldSelector="metadata.name=one").body
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:2] == ["one", 1]
    assert row["object"]["kind"] == "PartialObjectMetadata"


@docs(f"{CONCEPTS}#metadata-only-fetches")
def test_metadata_can_be_had_alone(raw: Raw, maps: str, one: Obj) -> None:
    found = raw.get(f"{maps}/one", accept=PARTIAL).body
    assert (found["kind"], "data" in found, found["metadata"]["name"]) == ("PartialObjectMetadata", False, "one")
    listed = raw.get(maps, accept=PARTIAL_LIST).body
    assert listed["kind"] == "PartialObjectMetadataList"
    assert all("data" not in item for item in listed["items"])


@docs("tasks/run-application/access-api-from-pod/", f"{CONCEPTS}#api-verbs")
def test_collection_is_deleted_by_selector(raw: Raw, maps: str) -> None:
    for name, tier in (("a", "front"), ("b", "front"), ("c", "back")):
        raw.made(maps, config_map(name, {"tier": tier}))
    assert raw.ask("DELETE", maps, labelSelector="tier=front").code == 200
    assert [item["metadata"]["name"] for item in raw.get(maps, labelSelector="tier").body["items"]] == ["c"]


@docs(f"{CONCEPTS}#resource-deletion")
def test_deletion_answers_a_status_with_the_uid(raw: Raw, maps: str, one: Obj) -> None:
    gone = raw.ask("DELETE", f"{maps}/one")
    assert (gone.code, gone.body["kind"], gone.body["status"]) == (200, "Status", "Success")
    assert gone.body["details"] == {"name": "one", "kind": "configmaps", "uid": one["metadata"]["uid"]}


@source("staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go")
@pytest.mark.parametrize("what", ["uid", "resourceVersion"])
def test_deletion_holds_its_preconditions(raw: Raw, maps: str, one: Obj, what: str) -> None:
    refused = raw.ask("DELETE", f"{maps}/one", {"preconditions": {what: "1"}})
    assert (refused.code, refused.reason) == (409, "Conflict")
    done = raw.ask("DELETE", f"{maps}/one", {"preconditions": {what: one["metadata"][what]}})
    assert done.code == 200


@docs("concepts/overview/working-with-objects/finalizers/")
def test_finalizer_holds_an_object_and_no_more_may_be_added(raw: Raw, maps: str) -> None:
    body = config_map()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    raw.made(maps, body)
    held = raw.ask("DELETE", f"{maps}/one").body
    assert held["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    assert raw.ask("PATCH", f"{maps}/one", more, MERGE).code == 422
    assert raw.ask("PATCH", f"{maps}/one", {"metadata": {"finalizers": None}}, MERGE).code == 200
    assert raw.get(f"{maps}/one").code == 404


@docs("concepts/configuration/configmap/#configmap-immutable")
def test_immutable_config_map_can_not_be_changed(raw: Raw, maps: str) -> None:
    raw.made(maps, {**config_map(a="1"), "immutable": True})
    refused = raw.ask("PATCH", f"{maps}/one", {"data": {"a": "2"}}, MERGE)
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert "field is immutable when `immutable` is set" in refused.message


@docs("concepts/configuration/secret/#creating-a-secret")
def test_string_data_of_a_secret_becomes_data(raw: Raw) -> None:
    made = raw.made(raw.at("secrets"), {"metadata": {"name": "s"}, "stringData": {"user": "me"}})
    assert (made["data"], made["type"], "stringData" in made) == ({"user": "bWU="}, "Opaque", False)


@docs("concepts/overview/working-with-objects/labels/#syntax-and-character-set")
@pytest.mark.parametrize("value", ["with space", "x" * 64, "-dash"])
def test_label_value_that_is_none_is_refused(raw: Raw, maps: str, value: str) -> None:
    refused = raw.create(maps, config_map("one", {"tier": value}))
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert refused.body["details"]["causes"][0]["field"] == "metadata.labels"


@docs(f"{CONCEPTS}#alternate-representations-of-resources")
def test_bodies_may_be_yaml(raw: Raw, maps: str) -> None:
    pool = raw.api.rest_client.pool_manager
    _, url, headers, _, _ = raw.api.param_serialize("POST", maps, auth_settings=["BearerToken"])
    sent = {**headers, "Content-Type": "application/yaml", "Accept": "application/json"}
    answer = pool.request("POST", url, body=b"metadata: {name: one}\ndata: {a: 'yes'}\n", headers=sent)
    assert (answer.status, answer.json()["data"]) == (201, {"a": "yes"})


@docs("tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/#notes-on-the-strategic-merge-patch")
def test_strategic_merge_is_not_for_custom_resources(raw: Raw, group: str) -> None:
    where = raw.at("widgets", group=f"{group}/v1")
    raw.made(where, {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}})
    assert raw.ask("PATCH", f"{where}/w", {"spec": {"size": 2}}, STRATEGIC).code == 415


@docs(f"{CONCEPTS}#resource-uris")
@source("pkg/registry/core/persistentvolumeclaim/strategy.go")
def test_annotations_labels_and_finalizers_of_a_built_in_kind_come_with_its_status(raw: Raw) -> None:
    path = raw.at("resourcequotas")
    raw.made(path, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "100"}}})
    wanted = {"annotations": {"a": "1"}, "labels": {"b": "2"}, "finalizers": ["example.com/x"]}
    answer = raw.ask("PATCH", f"{path}/q/status", {"metadata": wanted, "spec": {"hard": {"pods": "1"}}}, MERGE)
    assert {key: answer.body["metadata"][key] for key in wanted} == wanted
    assert answer.body["spec"] == {"hard": {"pods": "100"}}
    raw.ask("PATCH", f"{path}/q", {"metadata": {"finalizers": None}}, MERGE)


@docs("reference/using-api/api-concepts/#resource-uris")
@source("pkg/registry/apps/deployment/strategy.go")
def test_generation_of_a_deployment_counts_its_annotations(raw: Raw) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "busybox:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    path = raw.at("deployments", group="apps/v1")
    raw.made(path, {"metadata": {"name": "d"}, "spec": spec})
    revised = "deployment.kubernetes.io/revision"
    until(lambda: revised in raw.get(f"{path}/d").body["metadata"].get("annotations", {}), "a revision")

    def generation(sub: str = "", **metadata: Any) -> int:
        found: int = raw.ask("PATCH", f"{path}/d{sub}", {"metadata": metadata}, MERGE).body["metadata"]["generation"]
        return found

    assert generation() == 1
    assert generation(labels={"x": "y"}) == 1
    assert generation(annotations={"x": "y"}) == 2
    assert generation(annotations={"x": "y"}) == 2
    assert generation("/status", annotations={"x": "z"}) == 2
