"""The `kubernetes` package's dynamic and asynchronous clients, its informer, and workloads through its typed models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, dynamic, informer, utils, watch
from kubernetes.aio import client as aio_client
from kubernetes.aio import config as aio_config
from kubernetes.aio import watch as aio_watch
from kubernetes.client import ApiException

from apiserver.clients import widgets
from apiserver.clients.citing import docs, source
from apiserver.clients.waiting import until
from apiserver.conftest import Cluster

Obj = dict[str, Any]

CONCEPTS = "reference/using-api/api-concepts/"
WORKLOADS = "concepts/workloads/controllers/"


def config_map(name: str = "one", **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def template(*command: str, restart: str = "Never", **container: Any) -> Obj:
    one = {"name": "c", "image": "busybox:1.36", "command": list(command), **container}
    spec = {"restartPolicy": restart, "terminationGracePeriodSeconds": 0, "containers": [one]}
    return {"metadata": {"labels": {"app": "story"}}, "spec": spec}


@pytest.fixture
def core(api: Any) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def maps(api: Any) -> Any:
    return dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")


@docs(f"{CONCEPTS}#discovery-api")
def test_dynamic_client_finds_kinds_by_discovery(api: Any, group: str) -> None:
    found = dynamic.DynamicClient(api).resources.get(api_version=f"{group}/v1", kind="Widget")
    assert (found.name, found.namespaced, found.short_names) == ("widgets", True, [widgets.short(group)])
    assert sorted(found.subresources) == ["scale", "status"]


@docs(f"{CONCEPTS}#api-verbs")
def test_dynamic_client_creates_reads_and_deletes(maps: Any, cluster: Cluster) -> None:
    maps.create(body=config_map(a="1"), namespace=cluster.namespace)
    assert maps.get(name="one", namespace=cluster.namespace).data.a == "1"
    maps.delete(name="one", namespace=cluster.namespace)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        maps.get(name="one", namespace=cluster.namespace)


@docs(f"{CONCEPTS}#patch-and-apply")
def test_dynamic_client_replaces_and_patches(maps: Any, cluster: Cluster) -> None:
    made = maps.create(body=config_map(a="1"), namespace=cluster.namespace).to_dict()
    maps.patch(body={"metadata": {"name": "one"}, "data": {"b": "2"}}, namespace=cluster.namespace)
    with pytest.raises(dynamic.exceptions.ConflictError):
        maps.replace(body={**made, "data": {"c": "3"}}, namespace=cluster.namespace)
    assert maps.get(name="one", namespace=cluster.namespace).data.to_dict() == {"a": "1", "b": "2"}


@docs("reference/using-api/server-side-apply/#conflicts")
def test_dynamic_client_meets_conflicts_of_apply(maps: Any, cluster: Cluster) -> None:
    where = {"namespace": cluster.namespace}
    maps.server_side_apply(config_map(a="1"), field_manager="m", **where)
    with pytest.raises(dynamic.exceptions.ConflictError):
        maps.server_side_apply(config_map(a="2"), field_manager="n", **where)
    maps.server_side_apply(config_map(a="2"), field_manager="n", force_conflicts=True, **where)
    assert maps.get(name="one", **where).data.a == "2"


@docs("tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource")
def test_dynamic_client_writes_a_status(api: Any, cluster: Cluster, group: str) -> None:
    kind = dynamic.DynamicClient(api).resources.get(api_version=f"{group}/v1", kind="Widget")
    kind.create(body=widgets.widget(group), namespace=cluster.namespace)
    body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "one"}, "status": {"phase": "Up"}}
    kind.status.patch(body=body, namespace=cluster.namespace, content_type="application/merge-patch+json")
    found = kind.get(name="one", namespace=cluster.namespace)
    assert (found.status.phase, found.metadata.generation) == ("Up", 1)


@docs(f"{CONCEPTS}#efficient-detection-of-changes")
def test_dynamic_client_watches(maps: Any, cluster: Cluster) -> None:
    since = maps.get(namespace=cluster.namespace).metadata.resourceVersion
    maps.create(body=config_map(a="1"), namespace=cluster.namespace)
    for event in maps.watch(namespace=cluster.namespace, resource_version=since, timeout=10):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "one")
        break


@docs("tasks/manage-kubernetes-objects/declarative-config/")
def test_manifests_are_created_from_one_list(api: Any, core: client.CoreV1Api, cluster: Cluster) -> None:
    utils.create_from_yaml(api, yaml_objects=[config_map("a"), config_map("b")], namespace=cluster.namespace)
    names = {one.metadata.name for one in core.list_namespaced_config_map(cluster.namespace).items}
    assert names >= {"a", "b"}


@pytest.fixture
async def aio(cluster: Cluster) -> AsyncIterator[Any]:
    made = await aio_config.new_client_from_config(str(cluster.kubeconfig))
    async with made:
        yield aio_client.CoreV1Api(made)


@docs(f"{CONCEPTS}#api-verbs")
async def test_asynchronous_client_creates_lists_and_deletes(aio: Any, cluster: Cluster) -> None:
    await aio.create_namespaced_config_map(cluster.namespace, config_map(a="1"))
    listed = await aio.list_namespaced_config_map(cluster.namespace, field_selector="metadata.name=one")
    assert [one.data for one in listed.items] == [{"a": "1"}]
    await aio.delete_namespaced_config_map("one", cluster.namespace)
    with pytest.raises(aio_client.ApiException) as gone:
        await aio.read_namespaced_config_map("one", cluster.namespace)
    assert gone.value.status == 404


@docs(f"{CONCEPTS}#resource-versions")
async def test_asynchronous_client_meets_conflicts(aio: Any, cluster: Cluster) -> None:
    made = await aio.create_namespaced_config_map(cluster.namespace, config_map(a="1"))
    await aio.patch_namespaced_config_map("one", cluster.namespace, {"data": {"a": "2"}})
    with pytest.raises(aio_client.ApiException) as conflict:
        await aio.replace_namespaced_config_map("one", cluster.namespace, made)
    assert conflict.value.status == 409


@docs(f"{CONCEPTS}#efficient-detection-of-changes")
async def test_asynchronous_client_watches(aio: Any, cluster: Cluster) -> None:
    since = (await aio.list_namespaced_config_map(cluster.namespace)).metadata.resource_version
    for name in ("a", "b"):
        await aio.create_namespaced_config_map(cluster.namespace, config_map(name))
    seen: list[str] = []
    async with aio_watch.Watch() as watching:
        stream = watching.stream(
            aio.list_namespaced_config_map, cluster.namespace, resource_version=since, timeout_seconds=60
        )
        async for event in stream:
            seen.append(event["object"].metadata.name)
            if len(seen) == 2:
                break
    assert seen == ["a", "b"]


class Heard:
    """A running informer of a namespace's secrets, of which a new one has none; `told` is what it called back."""

    def __init__(self, core: client.CoreV1Api, namespace: str, **options: Any) -> None:
        self.told: list[tuple[str, str]] = []
        self.informer = informer.SharedInformer(core.list_namespaced_secret, namespace, **options)
        for kind in (informer.ADDED, informer.MODIFIED, informer.DELETED):
            self.informer.add_event_handler(kind, lambda obj, kind=kind: self.told.append((kind, obj.metadata.name)))
        self.informer.start()

    def until(self, *expected: tuple[str, str]) -> None:
        until(lambda: self.told[-len(expected) :] == list(expected), f"{expected}, but {self.told}")


@pytest.fixture
def hear(core: client.CoreV1Api, cluster: Cluster) -> Iterator[Callable[..., Heard]]:
    started: list[Heard] = []

    def begin(**options: Any) -> Heard:
        started.append(Heard(core, cluster.namespace, **options))
        return started[-1]

    yield begin
    for one in started:
        core.create_namespaced_secret(cluster.namespace, {"metadata": {"generateName": "last-"}})  # wakes its watch
        one.informer.stop()


def secret(name: str = "one", **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}}


@docs(f"{CONCEPTS}#efficient-detection-of-changes")
def test_informer_tells_of_what_is_there_and_what_happens(
    core: client.CoreV1Api, cluster: Cluster, hear: Callable[..., Heard]
) -> None:
    core.create_namespaced_secret(cluster.namespace, secret("before"))
    heard = hear()
    heard.until(("ADDED", "before"))
    core.create_namespaced_secret(cluster.namespace, secret())
    heard.until(("ADDED", "one"))
    core.patch_namespaced_secret("one", cluster.namespace, {"stringData": {"a": "1"}})
    heard.until(("MODIFIED", "one"))
    core.delete_namespaced_secret("one", cluster.namespace)
    heard.until(("DELETED", "one"))
    assert [one.metadata.name for one in heard.informer.cache.list()] == ["before"]


@docs("concepts/overview/working-with-objects/labels/#list-and-watch-filtering")
def test_informer_with_a_selector_sees_what_matches(
    core: client.CoreV1Api, cluster: Cluster, hear: Callable[..., Heard]
) -> None:
    heard = hear(label_selector="tier=front")
    core.create_namespaced_secret(cluster.namespace, secret("other", tier="back"))
    core.create_namespaced_secret(cluster.namespace, secret("ours", tier="front"))
    heard.until(("ADDED", "ours"))
    core.patch_namespaced_secret("ours", cluster.namespace, {"metadata": {"labels": {"tier": None}}})
    heard.until(("ADDED", "ours"), ("DELETED", "ours"))


@docs(f"{WORKLOADS}job/#job-termination-and-cleanup")
def test_job_runs_to_completion(api: Any, cluster: Cluster) -> None:
    batch = client.BatchV1Api(api)
    spec = {"completions": 2, "parallelism": 2, "template": template("true")}
    batch.create_namespaced_job(cluster.namespace, {"metadata": {"name": "j"}, "spec": spec})
    done = until(
        lambda: (s := batch.read_namespaced_job_status("j", cluster.namespace).status).completion_time and s, "done"
    )
    assert (done.succeeded, [one.type for one in done.conditions]) == (2, ["SuccessCriteriaMet", "Complete"])


@docs(f"{WORKLOADS}job/#pod-backoff-failure-policy")
def test_job_fails_after_its_retries(api: Any, cluster: Cluster) -> None:
    batch = client.BatchV1Api(api)
    spec = {"backoffLimit": 0, "template": template("false")}
    batch.create_namespaced_job(cluster.namespace, {"metadata": {"name": "j"}, "spec": spec})

    def failed() -> Any:
        conditions = batch.read_namespaced_job_status("j", cluster.namespace).status.conditions or []
        return next((one for one in conditions if one.type == "Failed"), None)

    assert until(failed, "failed").reason == "BackoffLimitExceeded"


@docs(f"{WORKLOADS}job/#completion-mode")
def test_indexed_job_tells_each_pod_its_index(api: Any, core: client.CoreV1Api, cluster: Cluster) -> None:
    batch = client.BatchV1Api(api)
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed"}
    body = {"metadata": {"name": "j"}, "spec": {**spec, "template": template("sh", "-c", "echo $JOB_COMPLETION_INDEX")}}
    batch.create_namespaced_job(cluster.namespace, body)
    until(lambda: batch.read_namespaced_job_status("j", cluster.namespace).status.succeeded == 3, "done")
    status = batch.read_namespaced_job_status("j", cluster.namespace).status
    assert status.completed_indexes == "0-2"
    pods = core.list_namespaced_pod(cluster.namespace, label_selector="job-name=j").items
    said = sorted(core.read_namespaced_pod_log(pod.metadata.name, cluster.namespace).strip() for pod in pods)
    assert said == ["0", "1", "2"]


@docs(f"{WORKLOADS}job/#suspending-a-job")
def test_suspended_job_starts_when_it_may(api: Any, core: client.CoreV1Api, cluster: Cluster) -> None:
    batch = client.BatchV1Api(api)
    body = {"metadata": {"name": "j"}, "spec": {"suspend": True, "template": template("true")}}
    batch.create_namespaced_job(cluster.namespace, body)
    until(lambda: batch.read_namespaced_job_status("j", cluster.namespace).status.conditions, "suspended")
    assert core.list_namespaced_pod(cluster.namespace).items == []
    batch.patch_namespaced_job("j", cluster.namespace, {"spec": {"suspend": False}})
    until(lambda: batch.read_namespaced_job_status("j", cluster.namespace).status.succeeded == 1, "done")


@docs(f"{WORKLOADS}deployment/#updating-a-deployment")
def test_deployment_rolls_its_pods(api: Any, core: client.CoreV1Api, cluster: Cluster) -> None:
    apps = client.AppsV1Api(api)
    selector = {"matchLabels": {"app": "story"}}
    spec = {"replicas": 1, "selector": selector, "template": template("sleep", "600", restart="Always")}
    apps.create_namespaced_deployment(cluster.namespace, {"metadata": {"name": "d"}, "spec": spec})

    def is_ready(generation: int) -> bool:
        status = apps.read_namespaced_deployment_status("d", cluster.namespace).status
        return status.observed_generation == generation and status.ready_replicas == status.updated_replicas == 1

    until(lambda: is_ready(1), "ready")
    change = {"spec": {"template": {"metadata": {"annotations": {"again": "1"}}}}}
    apps.patch_namespaced_deployment("d", cluster.namespace, change)
    until(lambda: is_ready(2) and len(core.list_namespaced_pod(cluster.namespace).items) == 1, "rolled")
    assert len(apps.list_namespaced_replica_set(cluster.namespace).items) == 2


@docs("concepts/workloads/pods/pod-lifecycle/#restart-policy")
def test_container_that_fails_is_started_again(core: client.CoreV1Api, cluster: Cluster) -> None:
    command = ("sh", "-c", "exit 3")
    pod = {**template(*command, restart="OnFailure"), "metadata": {"name": "p"}}
    core.create_namespaced_pod(cluster.namespace, pod)

    def restarted() -> Any:
        statuses = core.read_namespaced_pod_status("p", cluster.namespace).status.container_statuses or []
        return statuses and statuses[0].restart_count >= 1 and statuses[0]

    assert until(restarted, "it started again").last_state.terminated.exit_code == 3


@docs("concepts/services-networking/service/#defining-a-service")
def test_service_has_an_address_and_the_pods_endpoints(api: Any, core: client.CoreV1Api, cluster: Cluster) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"selector": {"app": "story"}, "ports": [{"port": 80}]}}
    made = core.create_namespaced_service(cluster.namespace, body)
    assert made.spec.cluster_ip
    pod = {**template("sleep", "600"), "metadata": {"name": "p", "labels": {"app": "story"}}}
    core.create_namespaced_pod(cluster.namespace, pod)
    slices = client.DiscoveryV1Api(api)

    def addresses() -> list[str]:
        listed = slices.list_namespaced_endpoint_slice(cluster.namespace, label_selector="kubernetes.io/service-name=s")
        ready = [point for one in listed.items for point in one.endpoints or [] if point.conditions.ready]
        return [address for point in ready for address in point.addresses]

    found = until(addresses, "an endpoint")
    assert found == [core.read_namespaced_pod("p", cluster.namespace).status.pod_ip]


@docs("concepts/policy/resource-quotas/")
def test_quota_refuses_what_is_too_much(core: client.CoreV1Api, cluster: Cluster) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": "1"}}}
    core.create_namespaced_resource_quota(cluster.namespace, quota)
    until(lambda: core.read_namespaced_resource_quota_status("q", cluster.namespace).status.hard, "counted")
    core.create_namespaced_secret(cluster.namespace, secret("first"))
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_secret(cluster.namespace, secret("second"))
    assert (refused.value.status, "exceeded quota: q" in refused.value.body) == (403, True)


@docs("concepts/scheduling-eviction/api-eviction/")
def test_eviction_waits_for_the_budget(api: Any, core: client.CoreV1Api, cluster: Cluster) -> None:
    pod = {**template("sleep", "600"), "metadata": {"name": "p", "labels": {"app": "story"}}}
    core.create_namespaced_pod(cluster.namespace, pod)
    policy = client.PolicyV1Api(api)
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "story"}}}
    policy.create_namespaced_pod_disruption_budget(cluster.namespace, {"metadata": {"name": "b"}, "spec": spec})
    status = lambda: policy.read_namespaced_pod_disruption_budget_status("b", cluster.namespace).status  # noqa: E731
    until(lambda: status() and status().current_healthy == 1, "healthy")
    eviction = {"metadata": {"name": "p"}}
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod_eviction("p", cluster.namespace, eviction)
    assert refused.value.status == 429
    policy.delete_namespaced_pod_disruption_budget("b", cluster.namespace)
    until(lambda: core.create_namespaced_pod_eviction("p", cluster.namespace, eviction), "evicted")


@source("pkg/registry/core/pod/storage/eviction.go")
def test_eviction_that_is_a_dry_run_leaves_the_pod(core: client.CoreV1Api, cluster: Cluster) -> None:
    core.create_namespaced_pod(cluster.namespace, {**template("sleep", "600"), "metadata": {"name": "p"}})
    core.create_namespaced_pod_eviction("p", cluster.namespace, {"metadata": {"name": "p"}}, dry_run="All")
    assert core.read_namespaced_pod("p", cluster.namespace).metadata.deletion_timestamp is None


@docs("concepts/workloads/pods/pod-lifecycle/#pod-termination")
def test_deleted_pod_has_its_grace(core: client.CoreV1Api, cluster: Cluster) -> None:
    script = "trap 'sleep 0.3; exit 0' TERM; while :; do sleep 0.1; done"
    pod = template("sh", "-c", script)
    pod["spec"]["terminationGracePeriodSeconds"] = 20
    core.create_namespaced_pod(cluster.namespace, {**pod, "metadata": {"name": "p"}})
    until(lambda: core.read_namespaced_pod("p", cluster.namespace).status.phase == "Running", "running")
    gone = core.delete_namespaced_pod("p", cluster.namespace)
    assert gone.metadata.deletion_grace_period_seconds == 20
    since = gone.metadata.resource_version
    events = watch.Watch().stream(
        core.list_namespaced_pod, cluster.namespace, resource_version=since, timeout_seconds=60
    )
    assert any(event["type"] == "DELETED" for event in events if event["object"].metadata.name == "p")
