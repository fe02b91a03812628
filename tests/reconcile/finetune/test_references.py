"""SFT, then DPO: a job whose base, or whose comparison, is another job's result."""

import json
from typing import Any

from fakes.finetune import ARTIFACT, DIGEST, World, manifest
from tunebird.kube.meta import FINE_TUNE_JOB, Ref

SECOND: dict[str, Any] = {"model": {"jobRef": {"name": "before"}}, "method": {"objective": "dpo"}}


def _other(world: World, name: str = "before", **status: Any) -> None:
    body = manifest(output={"storage": {"uri": "s3://results/before", "secretRef": {"name": "s3"}}})
    world.kube.put({**body, "metadata": {"name": name, "namespace": "default"}, "status": status})


def _condition(kind: str, reason: str = "Ungated", message: str = "") -> dict[str, str]:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def _succeeds(world: World, name: str = "before", **artifact: Any) -> None:
    result = {**ARTIFACT, "uri": f"pvc://results/{name}/1", **artifact}
    _other(world, name, phase="Succeeded", conditions=[_condition("Succeeded")], artifact=result)


def _config(world: World) -> Any:
    return json.loads(world.config()["data"]["config.json"])


async def test_a_job_waits_for_the_job_that_it_builds_on_and_says_so() -> None:
    world = World(manifest(**SECOND))
    requeue = await world.settle()
    assert requeue.seconds is not None
    assert requeue.seconds <= 10
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "JobNotFound")
    assert "there is no FineTuneJob before" in world.status["message"]
    _other(world, phase="Running")
    await world.settle()
    assert world.status["reason"] == "WaitingForJob"
    assert "FineTuneJob before has not finished (Running)" in world.condition("PodsReady")["message"]
    assert world.reasons == ["JobNotFound", "WaitingForJob"]
    world.kube.writes.clear()
    await world.step()
    assert world.kube.writes == []
    assert world.jobs() == []


async def test_its_merged_model_becomes_the_base_with_its_digest() -> None:
    world = World(manifest(**SECOND))
    _succeeds(world)
    await world.settle()
    config = _config(world)
    assert config["model"]["uri"] == "pvc://results/before/1"
    assert config["model"]["digest"] == DIGEST
    assert world.status["references"][0]["job"] == "before"
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in world.jobs()[0]["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == {"data", "models", "results"}


async def test_what_lies_in_a_store_is_read_with_the_secret_that_it_was_written_with() -> None:
    world = World(manifest(**SECOND))
    _succeeds(world, uri="s3://results/before/1")
    await world.settle()
    env = world.jobs()[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    secrets = {variable["valueFrom"]["secretKeyRef"]["name"] for variable in env if "secretKeyRef" in str(variable)}
    assert secrets == {"s3"}


async def test_what_it_trains_from_stays_even_if_the_other_job_goes() -> None:
    world = World(manifest(**SECOND))
    _succeeds(world)
    await world.settle()
    world.kube.remove(Ref(FINE_TUNE_JOB, "default", "before"))
    world.runs()
    await world.settle()
    world.exits(203)
    await world.settle()
    world.clock.advance(600)
    await world.settle()
    second = json.loads(world.config(2)["data"]["config.json"])
    assert second["model"]["uri"] == "pvc://results/before/1"


async def test_a_failed_base_fails_the_job_with_its_reason_and_retry_looks_again() -> None:
    world = World(manifest(**SECOND))
    _other(world, phase="Failed", conditions=[_condition("Failed", "NaNLoss", "loss is nan at step 3")])
    await world.settle()
    failed = world.condition("Failed")
    assert failed["reason"] == "ReferenceFailed"
    assert failed["message"].startswith("FineTuneJob before failed: NaNLoss: loss is nan at step 3")
    assert world.jobs() == []
    _succeeds(world)
    world.annotate(retry="1")
    await world.settle()
    assert len(world.jobs()) == 1


async def test_a_base_without_a_merged_form_is_no_base() -> None:
    world = World(manifest(**SECOND))
    _succeeds(world, forms={"adapter": {"path": "adapter", "digest": DIGEST}})
    await world.settle()
    assert "published no merged form" in world.condition("Failed")["message"]


async def test_a_job_cannot_build_on_itself() -> None:
    world = World(manifest(model={"jobRef": {"name": "bot"}}))
    await world.settle()
    assert "names itself" in world.condition("Failed")["message"]


async def test_a_gate_may_compare_with_another_jobs_artifact() -> None:
    gate = {"metric": "core.accuracy", "maxRegression": {"absolute": "1%"}, "compareTo": "job/served"}
    suites = [{"name": "core", "source": {"uri": "pvc://data/golden.jsonl"}}]
    world = World(manifest(evaluation={"suites": suites, "gates": [gate]}))
    await world.settle()
    assert world.status["reason"] == "JobNotFound"
    _succeeds(world, "served")
    await world.settle()
    assert _config(world)["evaluation"]["gates"][0]["compareTo"] == "pvc://results/served/1"


async def test_a_suspended_job_looks_for_nobody() -> None:
    world = World(manifest(**SECOND, suspend=True))
    await world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Suspended", "Suspended")
