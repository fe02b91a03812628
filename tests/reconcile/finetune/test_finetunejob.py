"""Whole passes of the FineTuneJob reconciler on an API server in memory."""

import json

from fakes.finetune import World, manifest
from tunebird.finetune.observe import finished
from tunebird.kube.meta import CONFIG_MAP, JOB, POD, Ref
from tunebird.kube.requeue import Requeue


async def test_a_job_is_planned_before_anything_is_created() -> None:
    world = World()
    assert await world.step() == Requeue.now()
    assert world.jobs() == []
    assert world.status["plan"]["tuning"] == "lora"
    assert world.status["attempts"][0]["number"] == 1
    assert world.reasons == ["Planned", "AttemptStarted"]


async def test_a_second_pass_writes_nothing() -> None:
    world = World()
    await world.settle()
    for happen in (world.pod, world.runs, world.succeeds):
        happen()
        await world.settle()
        world.kube.writes.clear()
        await world.step()
        assert world.kube.writes == []


async def test_the_children_carry_the_config_and_our_labels_only() -> None:
    job = manifest()
    job["metadata"]["labels"] = {"argocd.argoproj.io/instance": "app"}
    world = World(job)
    await world.settle()
    child = world.kube.find(JOB, "bot-1")
    config = json.loads(world.config()["data"]["config.json"])
    assert config["job"] == {"namespace": "default", "name": "bot", "uid": world.key.uid, "attempt": 1}
    assert config["checkpoint"]["uri"] == f"pvc://models/.checkpoints/{world.key.uid}"
    assert set(child["metadata"]["labels"]) == {
        "app.kubernetes.io/managed-by",
        "tunebird.dev/finetunejob",
        "tunebird.dev/owner-uid",
        "tunebird.dev/attempt",
    }
    assert child["spec"]["backoffLimit"] == 0


async def test_a_job_made_again_under_its_name_mounts_a_config_map_of_its_own() -> None:
    """While a pod of the first one ends, the kubelet gives what it read of an immutable ConfigMap to a second one's."""
    mounted = set()
    for uid in ("0a1b2c3d-1111", "4e5f6a7b-2222"):
        job = manifest()
        job["metadata"]["uid"] = uid
        world = World(job)
        await world.settle()
        (child,) = world.jobs()
        volumes = child["spec"]["template"]["spec"]["volumes"]
        (name,) = (volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
        assert world.kube.find(CONFIG_MAP, name)["immutable"] is True
        mounted.add(name)
    assert len(mounted) == 2


async def test_a_run_that_brings_an_artifact_succeeds_ungated() -> None:
    world = World()
    await world.settle()
    world.runs()
    await world.settle()
    assert world.status["phase"] == "Preparing"
    world.report(phase="train", step=3, of=60, loss=2.31, etaSeconds=95)
    await world.settle()
    assert (world.status["phase"], world.status["progress"]["summary"]) == ("Running", "3/60")
    assert (world.status["progress"]["loss"], world.status["progress"]["eta"]) == ("2.31", "1m35s")
    world.succeeds()
    await world.settle()
    assert world.status["phase"] == "Succeeded"
    assert world.status["artifact"]["gatesPassed"] is False
    assert world.status["artifact"]["gatesReason"] == "Ungated"
    assert world.condition("Succeeded")["status"] == "True"
    assert world.condition("Failed")["status"] == "False"
    assert finished(world.job)


async def test_exit_zero_without_an_artifact_is_a_failure() -> None:
    world = World()
    await world.settle()
    world.exits(0)
    await world.settle()
    assert world.condition("Failed")["reason"] == "NoArtifact"


async def test_bad_data_fails_at_once_with_the_trainers_own_sentence() -> None:
    world = World()
    await world.settle()
    world.exits(3, reason="InvalidDataset", message="row 7 of data has no messages: correct it")
    await world.settle()
    failed = world.condition("Failed")
    assert failed["reason"] == "InvalidDataset"
    assert failed["message"] == "row 7 of data has no messages: correct it"
    assert len(world.jobs()) == 1
    assert world.condition("DataReady")["status"] == "False"


async def test_a_fault_of_the_node_is_retried_from_the_checkpoint_until_the_budget_is_spent() -> None:
    world = World(manifest(failurePolicy={"maxRestarts": 2}))
    await world.settle()
    for attempt in (1, 2, 3):
        world.runs(attempt)
        world.report(attempt, phase="train", step=5, of=9, checkpoint="checkpoint-5")
        await world.settle()
        world.exits(203, attempt, reason="Internal", message="the disk hiccuped")
        await world.settle()
        world.clock.advance(600)
        await world.settle()
    assert [job["metadata"]["name"] for job in world.jobs()] == ["bot-1", "bot-2", "bot-3"]
    assert world.condition("Failed")["reason"] == "Internal"
    assert "after 2 restarts" in world.condition("Failed")["message"]
    assert [attempt["counted"] for attempt in world.status["attempts"]] == [True, True, False]
    assert world.status["attempts"][1]["checkpoint"] == "checkpoint-5"


async def test_the_next_attempt_waits_for_a_pod_that_still_ends() -> None:
    world = World()
    await world.settle()
    world.exits(203)
    world.kube.patch(Ref(POD, "default", "bot-1-x"), {"status": {"phase": "Running"}})
    world.kube.remove(Ref(JOB, "default", "bot-1"))
    await world.settle()
    world.clock.advance(600)
    await world.settle()
    assert world.kube.find(JOB, "bot-2") is None
    world.gone()
    await world.settle()
    assert world.kube.find(JOB, "bot-2") is not None


async def test_what_an_evicted_pod_said_counts_also_where_it_is_gone_by_then() -> None:
    world = World(manifest(failurePolicy={"maxRestarts": 0}))
    await world.settle()
    world.runs()
    await world.settle()
    world.exits(85, deleting=True, reason="Preempted", message="saved checkpoint-12", checkpoint="checkpoint-12")
    world.disrupted("EvictionByEvictionAPI", "Eviction API: evicting")
    world.gone()
    await world.settle()
    (first, *_) = world.status["attempts"]
    assert (first["reason"], first["checkpoint"]) == ("Preempted", "checkpoint-12")
    assert first["message"].startswith("EvictionByEvictionAPI: Eviction API: evicting; ")
    assert world.status["restarts"] == 0
    assert world.status["phase"] != "Failed"


async def test_an_artifact_whose_pod_is_gone_is_not_trained_again() -> None:
    world = World()
    await world.settle()
    world.runs()
    await world.settle()
    world.succeeds()
    world.gone()
    await world.settle()
    assert world.status["phase"] == "Succeeded"
    assert [attempt["reason"] for attempt in world.status["attempts"]] == ["Succeeded"]


async def test_a_pod_that_went_without_a_word_is_said_to_be_deleted_and_nothing_of_a_limit() -> None:
    world = World()
    await world.settle()
    world.runs()
    await world.settle()
    world.gone()
    limit = {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
    failed = {"type": "Failed", "status": "True", **limit}
    world.kube.patch(Ref(JOB, "default", "bot-1"), {"status": {"conditions": [failed]}})
    await world.settle()
    (first, *_) = world.status["attempts"]
    assert first["reason"] == "PodDeleted"
    assert first["message"].startswith("the pod of Job bot-1 is gone: no result was left")


async def test_suspending_a_running_job_stops_it_and_resuming_starts_another_attempt() -> None:
    world = World()
    await world.settle()
    world.runs()
    await world.settle()
    world.change(suspend=True)
    await world.settle()
    assert world.jobs() == []
    assert world.condition("PodsReady")["reason"] == "Suspending"
    world.exits(85, deleting=True, reason="Preempted", message="saved checkpoint-12", checkpoint="checkpoint-12")
    await world.settle()
    world.gone()
    await world.settle()
    assert world.status["phase"] == "Suspended"
    assert world.status["restarts"] == 0
    world.change(suspend=False)
    await world.settle()
    assert [job["metadata"]["name"] for job in world.jobs()] == ["bot-2"]
    assert "Resumed" in world.reasons
    assert world.status["attempts"][0]["checkpoint"] == "checkpoint-12"


async def test_resuming_while_the_trainer_still_stops_costs_no_restart() -> None:
    world = World(manifest(failurePolicy={"maxRestarts": 0}))
    await world.settle()
    world.runs()
    await world.settle()
    world.change(suspend=True)
    await world.settle()
    world.change(suspend=False)
    await world.settle()
    assert world.jobs() == []
    world.exits(143, deleting=True)
    world.gone()
    await world.settle()
    assert [job["metadata"]["name"] for job in world.jobs()] == ["bot-2"]
    assert world.status["attempts"][0]["reason"] == "Suspended"


async def test_a_job_that_is_made_suspended_starts_nothing() -> None:
    world = World(manifest(suspend=True))
    await world.settle()
    assert world.jobs() == []
    assert world.status["phase"] == "Suspended"


async def test_preemption_is_retried_and_not_counted() -> None:
    world = World(manifest(failurePolicy={"maxRestarts": 0}))
    await world.settle()
    world.exits(85, reason="Preempted", message="saved")
    await world.settle()
    assert world.kube.find(JOB, "bot-2") is not None
    assert world.status["restarts"] == 0


async def test_the_active_deadline_stops_the_job_and_fails_it() -> None:
    world = World(manifest(activeDeadlineSeconds=60))
    await world.settle()
    world.runs()
    requeue = await world.settle()
    assert requeue.seconds is not None
    assert requeue.seconds <= 60
    world.clock.advance(61)
    await world.settle()
    assert world.jobs() == []
    assert world.condition("Failed")["reason"] == "DeadlineExceeded"
    assert finished(world.job)


async def test_the_pending_deadline_fails_with_what_was_waited_for() -> None:
    world = World(manifest(pendingDeadlineSeconds=60))
    await world.settle()
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    }
    world.pod(1, phase="Pending", conditions=[unschedulable])
    await world.settle()
    assert world.status["phase"] == "Pending"
    assert world.condition("PodsReady")["reason"] == "InsufficientGPUs"
    world.clock.advance(61)
    await world.settle()
    assert world.condition("Failed")["reason"] == "InsufficientGPUs"
    assert world.jobs() == []


async def test_the_ttl_deletes_children_and_never_the_job() -> None:
    world = World(manifest(ttlSecondsAfterFinished=100))
    await world.settle()
    world.succeeds()
    requeue = await world.settle()
    assert requeue == Requeue.after(100)
    assert not finished(world.job)
    world.clock.advance(101)
    await world.step()
    assert world.jobs() == []
    world.gone()
    await world.settle()
    assert world.kube.all(CONFIG_MAP) == []
    assert world.status["phase"] == "Succeeded"
    assert finished(world.job)


async def test_a_failed_job_is_retried_once_per_number() -> None:
    world = World()
    await world.settle()
    world.exits(6, reason="NaNLoss", message="loss is nan at step 3")
    await world.settle()
    world.annotate(retry="2")
    assert not finished(world.job)
    await world.settle()
    assert world.kube.find(JOB, "bot-2") is not None
    assert world.condition("Failed")["status"] == "Unknown"
    world.exits(6, 2, reason="NaNLoss", message="loss is nan at step 3")
    await world.settle()
    assert world.condition("Failed")["status"] == "True"
    assert world.kube.find(JOB, "bot-3") is None
    assert finished(world.job)


async def test_a_stale_retry_is_answered_with_an_event() -> None:
    world = World()
    await world.settle()
    world.exits(6)
    await world.settle()
    world.annotate(retry="1")
    await world.settle()
    assert world.reasons.count("VerbIgnored") == 1
    assert world.status["phase"] == "Failed"


async def test_a_spec_that_cannot_be_run_stalls_with_all_errors_and_no_retry() -> None:
    world = World(manifest(queueName="research", budget={"gpuHours": 3}))
    assert await world.settle() == Requeue.never()
    stalled = world.condition("Stalled")
    assert stalled["reason"] == "InvalidSpec"
    assert "spec.queueName (research)" in stalled["message"]
    assert "spec.budget" in stalled["message"]
    assert world.status["observedGeneration"] == world.job["metadata"]["generation"]
    assert world.reasons == ["InvalidSpec"]


async def test_a_foreign_job_of_the_childs_name_is_waited_for() -> None:
    world = World()
    await world.step()
    world.kube.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bot-1", "namespace": "default"}})
    await world.settle()
    assert world.condition("PodsReady")["reason"] == "NameTaken"


async def test_a_job_that_somebody_deletes_is_counted_and_made_again_under_another_name() -> None:
    world = World()
    await world.settle()
    world.runs()
    await world.settle()
    world.kube.remove(Ref(JOB, "default", "bot-1"))
    world.kube.remove(Ref(POD, "default", "bot-1-x"))
    await world.settle()
    assert world.status["attempts"][0]["reason"] == "JobDeleted"
    world.clock.advance(600)
    await world.settle()
    assert [job["metadata"]["name"] for job in world.jobs()] == ["bot-2"]
