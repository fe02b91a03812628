"""Jobs, Deployments and ReplicaSets from their creation on, state by state, as the controllers of a cluster tell it."""

from __future__ import annotations

from typing import Any

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import Raw
from apiserver.clients.stories import (
    FOREVER,
    Obj,
    at,
    becomes,
    condition,
    deployment,
    event,
    has,
    in_phase,
    job,
    listed,
    now,
    pod,
    script,
    told,
)
from apiserver.clients.waiting import until

JOBS = "concepts/workloads/controllers/job/"
DEPLOYMENTS = "concepts/workloads/controllers/deployment/"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"


def running(raw: Raw, **labels: str) -> list[Obj]:
    return [
        one
        for one in listed(raw, "pods", **labels)
        if in_phase("Running")(one) and not one["metadata"].get("deletionTimestamp")
    ]


def is_rolled_out(one: Obj) -> bool:
    status, wanted = one["status"], one["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return status.get("observedGeneration") == one["metadata"]["generation"] and counts == [wanted] * 3


def rolled_out(raw: Raw, name: str = "d") -> Obj:
    return becomes(raw, "deployments", name, is_rolled_out)


@docs(f"{JOBS}#pod-failure-policy")
def test_evicted_pod_of_a_job_is_replaced_where_disruptions_do_not_count(raw: Raw) -> None:
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    raw.made(at(raw, "jobs"), job("sleep 3600", backoffLimit=0, podFailurePolicy=policy))
    first = until(lambda: running(raw, **{"job-name": "j"}), "a pod")[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first}}
    assert raw.create(raw.at("pods", first, "eviction"), eviction).code == 201
    until(lambda: [one for one in running(raw, **{"job-name": "j"}) if one["metadata"]["name"] != first], "another")
    status = now(raw, "jobs", "j")["status"]
    assert not status.get("failed")
    assert not status.get("conditions")


@docs(f"{JOBS}#suspending-a-job")
def test_suspended_job_has_no_start_time(raw: Raw) -> None:
    with told(raw, "jobs", job(FOREVER)) as story:
        story.until(lambda one: one["status"].get("startTime"))
        until(lambda: running(raw, **{"job-name": "j"}), "a pod")
        story.change({"spec": {"suspend": True}})
        assert "startTime" not in story.until(has("Suspended"))["status"]
        story.change({"spec": {"suspend": False}})
        assert story.until(has("Suspended", "False"))["status"]["startTime"]


@docs(f"{JOBS}#backoff-limit-per-index")
@source("pkg/controller/job/job_controller.go")
def test_failed_indexes_are_there_from_the_beginning(raw: Raw) -> None:
    body = job("true", completionMode="Indexed", completions=1, backoffLimitPerIndex=1)
    with told(raw, "jobs", body) as story:
        done = story.until(has("Complete"))
    started = next(one["status"] for one in story.states if one["status"].get("startTime"))
    assert started["failedIndexes"] == done["status"]["failedIndexes"] == ""


@docs(f"{JOBS}#delegation-of-managing-a-job-object-to-external-controller")
def test_job_of_another_controller_is_left_alone(raw: Raw) -> None:
    raw.made(at(raw, "jobs"), job("true", managedBy="example.com/mine"))
    raw.made(at(raw, "jobs"), job("true", name="other"))
    becomes(raw, "jobs", "other", has("Complete"))
    assert now(raw, "jobs", "j")["status"] == {}
    assert not listed(raw, "pods", **{"job-name": "j"})


@source("pkg/controller/job/job_controller.go")
def test_job_whose_pods_are_refused_has_started_and_says_why(raw: Raw) -> None:
    body = job("true")
    body["spec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    with told(raw, "jobs", body) as story:
        started = story.until(lambda one: one["status"].get("startTime"))["status"]
    assert "active" not in started
    why = 'pods "j-" is forbidden: error looking up service account'
    assert event(raw, "FailedCreate", "j")["message"].startswith(f"Error creating: {why} {raw.namespace}/nobody")


@docs(f"{DEPLOYMENTS}#label-selector-updates", "concepts/workloads/controllers/replicaset/")
def test_deployment_adopts_a_replica_set_without_an_owner(raw: Raw) -> None:
    raw.made(at(raw, "deployments"), deployment())
    rolled_out(raw)
    before = listed(raw, "replicasets", app="d")
    raw.ask("DELETE", at(raw, "deployments", "d"), {"propagationPolicy": "Orphan"})
    until(lambda: now(raw, "deployments", "d").get("reason") == "NotFound", "the end of the Deployment")
    made = raw.made(at(raw, "deployments"), deployment())
    rolled_out(raw)
    adopted = listed(raw, "replicasets", app="d")
    assert [one["metadata"]["uid"] for one in adopted] == [one["metadata"]["uid"] for one in before]
    assert adopted[0]["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    progressing = next(one for one in now(raw, "deployments", "d")["status"]["conditions"])
    assert progressing["type"] in {"Progressing", "Available"}


@docs("concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions")
def test_replica_set_acquires_pods_and_lets_go_of_what_it_does_not_select(raw: Raw) -> None:
    raw.made(raw.at("pods"), pod(script(FOREVER), name="bare", labels={"app": "r"}, restartPolicy="Always"))
    becomes(raw, "pods", "bare", has("Ready"))
    template = deployment(name="r")["spec"]["template"]
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "r"}}, "template": template}
    made = raw.made(at(raw, "replicasets"), {"metadata": {"name": "r"}, "spec": spec})
    becomes(raw, "replicasets", "r", lambda one: one["status"].get("readyReplicas") == 2)
    assert len(listed(raw, "pods", app="r")) == 2
    owner = now(raw, "pods", "bare")["metadata"]["ownerReferences"][0]
    assert (owner["uid"], owner["controller"]) == (made["metadata"]["uid"], True)
    change = {"metadata": {"labels": {"app": "free"}}}
    assert raw.ask("PATCH", raw.at("pods", "bare"), change, "application/merge-patch+json").code == 200
    until(lambda: len(running(raw, app="r")) == 2, "a pod in its place")
    assert "ownerReferences" not in now(raw, "pods", "bare")["metadata"]


@docs(f"{DEPLOYMENTS}#rolling-back-to-a-previous-revision")
def test_rollback_gives_the_old_replica_set_a_new_number_and_keeps_its_old_one(raw: Raw, cluster: Any) -> None:
    raw.made(at(raw, "deployments"), deployment())
    first = rolled_out(raw) and listed(raw, "replicasets", app="d")[0]["metadata"]["name"]
    cluster.kubectl("set", "env", "deployment/d", "A=1")
    rolled_out(raw)
    cluster.kubectl("rollout", "undo", "deployment/d")
    with_reasons = rolled_out(raw)
    annotations = now(raw, "replicasets", first)["metadata"]["annotations"]
    assert (annotations[REVISION], annotations[HISTORY]) == ("3", "1")
    reasons = {one["type"]: one["reason"] for one in with_reasons["status"]["conditions"]}
    assert reasons["Available"] == "MinimumReplicasAvailable"


@docs(f"{DEPLOYMENTS}#checking-rollout-history-of-a-deployment")
def test_cause_of_a_change_may_be_given_after_it(raw: Raw, cluster: Any) -> None:
    raw.made(at(raw, "deployments"), deployment())
    rolled_out(raw)
    cluster.kubectl("annotate", "deployment/d", "kubernetes.io/change-cause=the beginning")

    def history() -> str:
        return cluster.kubectl("rollout", "history", "deployment/d")  # type: ignore[no-any-return]

    until(lambda: "the beginning" in history(), "the cause in the history")


@docs(f"{DEPLOYMENTS}#recreate-deployment")
@source("pkg/controller/deployment/recreate.go")
def test_recreate_begins_when_the_old_pods_have_gone(raw: Raw, cluster: Any) -> None:
    body = deployment("trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done", strategy={"type": "Recreate"})
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 20
    raw.made(at(raw, "deployments"), body)
    rolled_out(raw)
    here = {one["metadata"]["name"] for one in listed(raw, "pods", app="d")}
    with raw.watch(at(raw, "pods"), timeoutSeconds=120) as changes:
        cluster.kubectl("set", "env", "deployment/d", "A=1")
        for change in changes:
            name = change["object"]["metadata"]["name"]
            if name not in here:
                break
            ended = change["type"] == "DELETED" or in_phase("Succeeded", "Failed")(change["object"])
            here_still = not ended
    assert not here_still
    rolled_out(raw)
    assert len(listed(raw, "replicasets", app="d")) == 2


@docs(f"{DEPLOYMENTS}#failed-deployment", "concepts/policy/resource-quotas/")
def test_refused_pods_show_in_a_deployment_beside_those_that_run(raw: Raw) -> None:
    raw.made(raw.at("resourcequotas"), {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
    becomes(raw, "resourcequotas", "q", lambda one: one.get("status", {}).get("hard"))
    raw.made(at(raw, "deployments"), deployment(replicas=2))
    tight = becomes(raw, "deployments", "d", lambda one: one["status"].get("availableReplicas") == 1)
    counts = [tight["status"].get(key) for key in ("replicas", "updatedReplicas", "unavailableReplicas")]
    assert counts == [1, 1, 1]
    for one in (now(raw, "deployments", "d"), *listed(raw, "replicasets", app="d")):
        found = condition(one, "ReplicaFailure")
        assert found is not None
        assert (found["status"], found["reason"]) == ("True", "FailedCreate")
        assert "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1" in found["message"]


@docs("concepts/workloads/controllers/replicaset/#pod-deletion-cost")
def test_cheapest_pod_goes_first_when_a_deployment_shrinks(raw: Raw, cluster: Any) -> None:
    raw.made(at(raw, "deployments"), deployment(replicas=3))
    rolled_out(raw)
    cheap = listed(raw, "pods", app="d")[0]["metadata"]["name"]
    cluster.kubectl("annotate", "pod", cheap, "controller.kubernetes.io/pod-deletion-cost=-5")
    cluster.kubectl("scale", "deployment/d", "--replicas=2")
    until(lambda: now(raw, "pods", cheap).get("reason") == "NotFound", "the end of the cheapest")
    assert len(running(raw, app="d")) == 2
