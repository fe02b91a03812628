"""The `kubernetes` package: typed, dynamic and asynchronous clients."""

from __future__ import annotations

import uuid
from itertools import islice
from typing import Any

import pytest
from kubernetes import client, dynamic, watch
from kubernetes.client.exceptions import ApiException

from apiserver.clients import widgets
from apiserver.clients.citing import docs
from apiserver.conftest import Cluster

Obj = dict[str, Any]


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


@docs("reference/using-api/api-concepts/#resource-versions")
def test_typed_objects_go_round(api: client.ApiClient, cluster: Cluster) -> None:
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map(cluster.namespace, config_map("one", a="1"))
    core.patch_namespaced_config_map("one", cluster.namespace, {"data": {"b": "2"}})
    assert core.read_namespaced_config_map("one", cluster.namespace).data == {"a": "1", "b": "2"}
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_config_map(cluster.namespace, config_map("one"))
    assert (refused.value.status, "AlreadyExists" in refused.value.body) == (409, True)
    made.data = {"a": "9"}
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("one", cluster.namespace, made)
    assert conflict.value.status == 409


@docs("reference/using-api/api-concepts/#efficient-detection-of-changes")
def test_a_watch_tells_what_happens(api: client.ApiClient, cluster: Cluster) -> None:
    core = client.CoreV1Api(api)
    version = core.list_namespaced_config_map(cluster.namespace).metadata.resource_version
    core.create_namespaced_config_map(cluster.namespace, config_map("one"))
    core.patch_namespaced_config_map("one", cluster.namespace, {"data": {"a": "1"}})
    core.delete_namespaced_config_map("one", cluster.namespace)
    events = watch.Watch().stream(
        core.list_namespaced_config_map, cluster.namespace, resource_version=version, timeout_seconds=60
    )
    seen = list(islice((event["type"] for event in events if event["object"].metadata.name == "one"), 3))
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


@docs("tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource")
def test_a_status_is_written_through_its_own_path_alone(api: client.ApiClient, cluster: Cluster, group: str) -> None:
    custom, where = client.CustomObjectsApi(api), (group, "v1", cluster.namespace, "widgets")
    custom.create_namespaced_custom_object(*where, {**widgets.widget(group), "status": {"no": 1}})
    custom.patch_namespaced_custom_object_status(*where, "one", {"status": {"phase": "Up"}, "spec": {"size": 99}})
    found = custom.get_namespaced_custom_object(*where, "one")
    assert (found["status"], found["spec"]["size"], found["metadata"]["generation"]) == ({"phase": "Up"}, 3, 1)


@docs("reference/using-api/server-side-apply/")
def test_the_dynamic_client_applies(api: client.ApiClient, cluster: Cluster) -> None:
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}}
    maps.server_side_apply(body, namespace=cluster.namespace, field_manager="test", force_conflicts=True)
    found = maps.get(name="one", namespace=cluster.namespace)
    assert found.data.to_dict() == {"a": "1"}
    assert [entry.manager for entry in found.metadata.managedFields] == ["test"]


@docs("reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks")
def test_pages_of_a_list_are_whole(api: client.ApiClient, cluster: Cluster) -> None:
    core = client.CoreV1Api(api)
    label = f"page-{uuid.uuid4().hex[:6]}"
    for number in range(5):
        made = config_map(f"m{number}")
        made.metadata.labels = {"page": label}
        core.create_namespaced_config_map(cluster.namespace, made)
    names: list[str] = []
    token = None
    while token != "":
        page = core.list_namespaced_config_map(
            cluster.namespace, label_selector=f"page={label}", limit=2, _continue=token
        )
        names += [one.metadata.name for one in page.items]
        token = page.metadata._continue or ""
    assert names == [f"m{number}" for number in range(5)]
