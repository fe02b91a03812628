"""Several pods that train together: one Job, names to meet at, and one reason for their end."""

from dataclasses import replace
from typing import Any

from fakes.finetune import ARTIFACT, World, manifest
from tunebird.kube.meta import JOB, SERVICE, Ref


def _pair(**spec: Any) -> World:
    return World(manifest(compute={"numNodes": 2, "gpusPerNode": 4}, **spec))


async def _running(world: World) -> World:
    await world.settle()
    for rank in ("0", "1"):
        world.runs(1, rank)
    await world.settle()
    return world


async def test_each_node_is_a_pod_of_an_indexed_job_that_meets_at_the_first() -> None:
    world = _pair()
    await world.settle()
    job = world.kube.find(JOB, "bot-1")
    assert job["spec"]["completionMode"] == "Indexed"
    assert (job["spec"]["completions"], job["spec"]["parallelism"], job["spec"]["backoffLimit"]) == (2, 2, 0)
    pod = job["spec"]["template"]["spec"]
    env = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
    assert env["TUNEBIRD_MASTER_ADDR"] == "bot-1-0.bot-1.default.svc"
    assert 20000 <= int(env["TUNEBIRD_MASTER_PORT"]) < 30000
    assert pod["subdomain"] == "bot-1"
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    service = world.kube.find(SERVICE, "bot-1")
    assert service["spec"]["ports"][0]["port"] == int(env["TUNEBIRD_MASTER_PORT"])
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"].items() <= pod_labels(job).items()


def pod_labels(job: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = job["spec"]["template"]["metadata"]["labels"]
    return labels


async def test_jobs_and_attempts_meet_at_ports_of_their_own() -> None:
    worlds = [_pair() for _ in range(2)]
    for uid, world in enumerate(worlds):
        world.kube.put({**world.job, "metadata": {**world.job["metadata"], "uid": f"uid-{uid}"}})
        world.key = replace(world.key, uid=f"uid-{uid}")
        await _running(world)
        for rank in ("0", "1"):
            world.rank_exits(rank, 203)
        world.ends(1, "Failed")
        await world.settle()
        world.clock.advance(600)
        await world.settle()
    ports = [service["spec"]["ports"][0]["port"] for world in worlds for service in world.kube.all(SERVICE)]
    assert len(set(ports)) == len(ports) == 4


async def test_one_node_needs_no_service() -> None:
    world = World()
    await world.settle()
    assert world.kube.all(SERVICE) == []
    assert "completionMode" not in world.jobs()[0]["spec"]


async def test_a_second_pass_writes_nothing() -> None:
    world = await _running(_pair())
    world.kube.writes.clear()
    await world.step()
    assert world.kube.writes == []


async def test_it_runs_when_all_pods_run() -> None:
    world = _pair()
    await world.settle()
    world.runs(1, "0")
    waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3: Insufficient a/gpu"}
    world.pod(1, "1", phase="Pending", conditions=[waits])
    await world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "InsufficientGPUs")
    world.runs(1, "1")
    await world.settle()
    assert world.status["phase"] == "Preparing"


async def test_the_artifact_of_the_first_rank_is_the_jobs() -> None:
    world = await _running(_pair())
    world.rank_exits("1", 0)
    await world.settle()
    assert world.status["attempts"][0].get("end") is None
    world.rank_exits("0", 0, artifact=ARTIFACT)
    await world.settle()
    assert world.status["phase"] == "Succeeded"


async def test_pods_that_all_end_without_an_artifact_have_failed() -> None:
    world = await _running(_pair())
    for rank in ("0", "1"):
        world.rank_exits(rank, 0)
    await world.settle()
    assert world.condition("Failed")["reason"] == "NoArtifact"


async def test_the_rank_that_failed_by_itself_names_the_reason_not_those_it_took_down() -> None:
    world = await _running(_pair())
    world.rank_exits("0", 200, reason="RendezvousTimeout", message="rank 3 is gone")
    await world.settle()
    assert world.status["attempts"][0].get("end") is None
    world.clock.advance(5)
    world.rank_exits("1", 5, reason="CUDAOutOfMemory", message="out of GPU memory at step 3: use less")
    world.ends(1, "Failed")
    await world.settle()
    failed = world.condition("Failed")
    assert failed["reason"] == "CUDAOutOfMemory"
    assert failed["message"] == "pod bot-1-1: out of GPU memory at step 3: use less"


async def test_a_rank_that_never_says_anything_is_not_waited_for_for_ever() -> None:
    world = await _running(_pair())
    world.rank_exits("0", 200, reason="RendezvousTimeout", message="rank 3 is gone")
    await world.settle()
    world.clock.advance(181)
    await world.settle()
    assert world.status["attempts"][0]["reason"] == "RendezvousTimeout"


async def test_a_pod_deleted_by_force_names_the_reason_not_the_one_that_lost_it() -> None:
    world = await _running(_pair())
    world.gone(1, "1")
    await world.settle()
    assert world.status["attempts"][0].get("end") is None
    lost = {"reason": "RendezvousTimeout", "message": "the processes lost each other", "checkpoint": "c-4"}
    world.deleting(world.rank_exits("0", 200, **lost))
    world.ends(1, "Failed")
    await world.settle()
    attempt = world.status["attempts"][0]
    assert (attempt["reason"], attempt["checkpoint"]) == ("PodDeleted", "c-4")
    assert attempt["message"].startswith("the pod of node 1 of Job bot-1 was deleted")
    assert "exitCode" not in attempt


async def test_a_killed_pod_names_the_reason_also_where_its_job_has_removed_the_other() -> None:
    world = await _running(_pair())
    world.gone(1, "0")
    world.rank_exits("1", 137)
    world.ends(1, "Failed")
    await world.settle()
    assert world.status["attempts"][0]["reason"] == "Killed"


async def test_a_pod_that_never_came_is_no_deleted_one() -> None:
    world = _pair()
    await world.settle()
    world.runs(1, "0")
    await world.settle()
    world.deleting(world.rank_exits("0", 200, reason="RendezvousTimeout", message="process 1 of 2 did not come"))
    await world.settle()
    assert world.status["attempts"][0]["reason"] == "RendezvousTimeout"


async def test_saving_before_the_end_is_a_preemption_also_where_the_deleted_pod_is_gone() -> None:
    world = await _running(_pair())
    world.gone(1, "1")
    world.deleting(world.rank_exits("0", 85, reason="Preempted", message="saved", checkpoint="c-4"))
    await world.settle()
    assert world.status["attempts"][0]["reason"] == "Preempted"


async def test_pods_that_end_in_one_second_are_told_apart() -> None:
    world = await _running(_pair())
    world.rank_exits("0", 200, reason="RendezvousTimeout", message="the processes lost each other")
    world.rank_exits("1", 137)
    await world.settle()
    attempt = world.status["attempts"][0]
    assert attempt["reason"] == "Killed"
    assert attempt["message"].startswith("pod bot-1-1: the trainer was killed by signal 9")


async def test_suspending_ends_when_every_rank_has_saved() -> None:
    world = await _running(_pair())
    world.change(suspend=True)
    await world.settle()
    assert world.kube.find(SERVICE, "bot-1") is None
    world.rank_exits("1", 85, reason="Preempted", message="saved")
    await world.settle()
    assert world.status["attempts"][0].get("end") is None
    world.rank_exits("0", 85, reason="Preempted", message="saved", checkpoint="checkpoint-4")
    await world.settle()
    assert world.status["attempts"][0]["reason"] == "Suspended"


async def test_a_service_of_somebody_else_is_not_taken_over() -> None:
    world = _pair()
    await world.step()
    world.kube.put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bot-1", "namespace": "default"}})
    await world.settle()
    assert world.jobs() == []
    world.kube.remove(Ref(SERVICE, "default", "bot-1"))
    await world.settle()
    assert len(world.jobs()) == 1
