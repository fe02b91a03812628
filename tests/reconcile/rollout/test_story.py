"""Whole rollouts over an API server in memory: what users see happen."""

import pytest

from fakes.kube import fail_once
from fakes.rollout import BAD, ERRORS, GOOD, THIRD, Cluster, rollout
from tunebird.api.modelrollout import ModelRollout
from tunebird.kube.errors import Conflict, Unavailable
from tunebird.kube.meta import DEPLOYMENT, FINE_TUNE_JOB, HTTP_ROUTE, MODEL_ROLLOUT, SERVICE, Ref
from tunebird.metrics.provider import Lack, Missing

HTTP = Ref(HTTP_ROUTE, "default", "support")


@pytest.fixture
async def cluster():
    """A cluster that serves GOOD."""
    made = Cluster()
    await made.start()
    return made


async def test_the_first_revision_goes_straight_to_stable_once_ready():
    cluster = Cluster(broken={GOOD})
    cluster.kube.put(rollout())
    await cluster.run(20)
    assert cluster.status["phase"] == "Initializing"
    assert cluster.shares() == {}
    cluster.broken.clear()
    await cluster.run(10)
    assert cluster.shares() == {GOOD: 100}
    assert cluster.status["phase"] == "Healthy"
    assert cluster.reasons() == ["RolloutStarted", "Promoted", "RolloutCompleted"]


async def test_a_good_second_model_takes_all_traffic_step_by_step(cluster):
    cluster.serve(BAD)
    shares = []
    for _ in range(60):
        await cluster.run(5)
        if not shares or shares[-1] != cluster.shares().get(BAD, 0):
            shares.append(cluster.shares().get(BAD, 0))
    assert shares == [5, 50, 100]
    assert cluster.status["phase"] == "Healthy"
    assert cluster.status["stable"]["digest"] == BAD


async def test_the_old_servers_stay_for_the_delay_and_go_then(cluster):
    cluster.change(rollback={"scaleDownDelay": "2m"})
    cluster.serve(BAD)
    while cluster.shares() != {BAD: 100}:
        await cluster.run(5)
    await cluster.run(60)
    assert cluster.replicas(GOOD) == 2
    await cluster.run(90)
    assert cluster.replicas(GOOD) == 0


async def test_a_failing_model_loses_all_its_traffic_and_is_not_tried_again(cluster):
    cluster.failing[BAD] = 0.3
    cluster.serve(BAD)
    await cluster.run(120)
    assert cluster.shares() == {GOOD: 100, BAD: 0}
    assert cluster.status["phase"] == "RolledBack"
    assert cluster.reasons()[-3:] == ["RollbackStarted", "TrafficShifted", "RolledBack"]
    cluster.change(server={"runtime": "tunebird", "replicas": 3})
    await cluster.run(600)
    assert cluster.shares() == {GOOD: 100, BAD: 0}
    assert cluster.replicas(BAD) == 0
    assert cluster.replicas(GOOD) == 3


async def test_a_rollout_that_was_rolled_back_is_degraded_while_nothing_serves(cluster):
    cluster.failing[BAD] = 0.3
    cluster.serve(BAD)
    await cluster.run(120)
    cluster.broken.add(GOOD)
    await cluster.run(30)
    assert cluster.status["phase"] == "Degraded"
    assert " has no ready pod. Rollout 2 was rolled back: " in cluster.status["message"]
    cluster.broken.clear()
    await cluster.run(30)
    assert cluster.status["phase"] == "RolledBack"
    assert cluster.status["message"].startswith("Rollout 2 was rolled back: ")


async def test_a_stable_revision_without_a_ready_pod_is_said_to_have_none(cluster):
    cluster.broken.add(GOOD)
    await cluster.run(30)
    assert cluster.status["phase"] == "Degraded"
    assert cluster.status["message"].endswith(" has no ready pod.")


async def test_a_breach_is_explained_with_its_figures(cluster):
    cluster.failing[BAD] = 0.3
    cluster.serve(BAD)
    await cluster.run(120)
    breach = next(event for event in cluster.kube.events if event.reason == "SLIBreached")
    for words in ("weight 5", "errors: canary", "stable 0 of", "limit 5%", "e-value", BAD[7:19]):
        assert words in breach.message
    assert breach.type == "Warning"
    assert [item["verdict"] for item in cluster.status["analysis"]] == ["Fail"]


async def test_retry_tries_a_rolled_back_model_again(cluster):
    cluster.failing[BAD] = 0.3
    cluster.serve(BAD)
    await cluster.run(120)
    cluster.failing.clear()
    cluster.providers.counts.clear()
    cluster.annotate("retry", f"{cluster.status['rollout']['number']}/0")
    await cluster.run(300)
    assert cluster.shares() == {BAD: 100}


async def test_a_third_model_supersedes_the_second(cluster):
    cluster.serve(BAD)
    await cluster.run(20)
    assert cluster.shares() == {GOOD: 95, BAD: 5}
    cluster.serve(THIRD)
    await cluster.run(10)
    assert cluster.shares()[GOOD] == 95
    assert "RolloutSuperseded" in cluster.reasons()
    await cluster.run(400)
    assert cluster.shares() == {THIRD: 100}


async def test_the_specification_naming_stable_again_withdraws_the_canary(cluster):
    cluster.serve(BAD)
    await cluster.run(20)
    cluster.serve(GOOD)
    await cluster.run(10)
    assert cluster.shares() == {GOOD: 100}
    assert cluster.status["phase"] == "Healthy"


@pytest.mark.parametrize("lack", list(Lack))
async def test_missing_evidence_is_never_a_pass_and_says_its_reason(cluster, lack):
    cluster.providers.trouble = Missing(lack, "so it is")
    cluster.serve(BAD)
    await cluster.run(300, tick=10)
    assert cluster.shares() == {GOOD: 95, BAD: 5}
    assert cluster.status["analysis"][0]["verdict"] == "Inconclusive"
    assert cluster.status["analysis"][0]["reason"] == lack


async def test_without_traffic_nothing_is_promoted(cluster):
    cluster.requests_per_second = 0
    cluster.serve(BAD)
    await cluster.run(300, tick=10)
    assert cluster.shares() == {GOOD: 95, BAD: 5}
    assert cluster.status["analysis"][0]["reason"] == Lack.ZERO_TRAFFIC


async def test_an_inconclusive_bake_rolls_back_where_the_specification_says_so():
    cluster = Cluster(requests_per_second=0)
    await cluster.start(analysis={"interval": "10s", "onInconclusive": "Rollback", "slis": [ERRORS]})
    cluster.serve(BAD)
    await cluster.run(120)
    assert cluster.shares() == {GOOD: 100, BAD: 0}
    assert "AnalysisInconclusive" in cluster.reasons()


async def test_a_step_past_its_deadline_pauses_and_says_what_it_waits_for():
    cluster = Cluster(broken={BAD})
    await cluster.start(strategy={"steps": [{"setWeight": 10}], "progressDeadline": "2m"}, analysis={"slis": []})
    cluster.serve(BAD)
    await cluster.run(150)
    assert cluster.status["phase"] == "Paused"
    event = next(event for event in cluster.kube.events if event.reason == "DeadlineExceeded")
    assert "1 ready canary pods for weight 10, there are 0" in event.message
    assert cluster.shares()[GOOD] == 100


async def test_weight_goes_to_zero_when_the_canary_has_no_ready_pod(cluster):
    cluster.serve(BAD)
    await cluster.run(20)
    cluster.broken.add(BAD)
    await cluster.run(5)
    assert cluster.shares() == {GOOD: 100, BAD: 0}
    cluster.broken.clear()
    await cluster.run(5)
    assert cluster.shares() == {GOOD: 95, BAD: 5}


async def test_a_breach_with_stable_down_is_held_and_says_so(cluster):
    cluster.failing[BAD] = 0.3
    cluster.serve(BAD)
    await cluster.run(15)
    cluster.broken.add(GOOD)
    await cluster.run(60)
    assert cluster.shares() == {GOOD: 95, BAD: 5}
    assert "StableUnavailable" in cluster.reasons()
    cluster.broken.clear()
    await cluster.run(5)
    assert cluster.shares() == {GOOD: 100, BAD: 0}


async def test_weight_zero_is_written_although_the_status_can_not_be(cluster):
    cluster.failing[BAD] = 0.4
    cluster.serve(BAD)
    await cluster.run(15)

    def no_status(call):
        if call.verb == "replace_status":
            raise Unavailable("no")

    cluster.clock.advance(20)
    cluster.serve_traffic(60)
    cluster.kube.before = no_status
    assert await cluster.once()
    assert cluster.shares() == {GOOD: 100, BAD: 0}
    assert cluster.status["phase"] != "RolledBack"


async def test_a_changed_route_is_put_right_without_losing_the_step(cluster):
    cluster.serve(BAD)
    await cluster.run(30)
    step = cluster.status["step"]["index"]
    route = cluster.kube.find(HTTP_ROUTE, "support")
    rules = [dict(rule) for rule in route["spec"]["rules"]]
    rules[0]["backendRefs"] = [{**item, "weight": 50} for item in rules[0]["backendRefs"]]
    cluster.kube.patch(HTTP, {"spec": {"rules": rules}})
    await cluster.settle()
    assert cluster.shares() == {GOOD: 95, BAD: 5}
    assert cluster.status["step"]["index"] == step
    assert "DriftCorrected" in cluster.reasons()


async def test_a_step_waits_until_the_gateway_accepts_the_route(cluster):
    cluster.accepting = False
    cluster.serve(BAD)
    await cluster.run(120)
    assert cluster.shares() == {GOOD: 95, BAD: 5}
    assert cluster.status["step"]["index"] == 0
    assert "Accepted is about generation" in cluster.status["step"]["waitingFor"]


async def test_both_arms_failing_is_an_outage_that_blames_nobody(cluster):
    cluster.serve(BAD)
    await cluster.run(20)
    for _ in range(12):
        for pods in cluster.providers.counts.values():
            for count in pods.values():
                count[0] += 20
                count[1] += 40
        await cluster.run(10)
    assert "OutageDetected" in cluster.reasons()
    assert "SLIBreached" not in cluster.reasons()
    assert cluster.shares()[BAD] == 5
    await cluster.run(900, tick=10)
    assert "OutageEnded" in cluster.reasons()


async def test_container_restarts_count_as_failures(cluster):
    cluster.requests_per_second = 10
    cluster.serve(BAD)
    await cluster.run(30)
    pod = next(item for item in cluster.providers.counts if cluster.digest_of(item) == BAD) + "-0"
    for restarts in range(1, 8):
        cluster.restart(pod, restarts)
        await cluster.run(10)
    assert cluster.shares() == {GOOD: 100, BAD: 0}


async def test_a_verb_is_obeyed_once_and_a_stale_one_is_answered(cluster):
    cluster.change(
        strategy={"steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]}, analysis=None
    )
    cluster.serve(BAD)
    await cluster.run(20)
    assert cluster.status["phase"] == "Paused"
    cluster.annotate("promote", "1/1")
    await cluster.run(10)
    assert cluster.status["step"]["index"] == 1
    assert cluster.reasons().count("VerbIgnored") == 1
    cluster.annotate("promote", "2/1")
    await cluster.run(20)
    assert cluster.status["step"]["index"] == 3
    assert cluster.shares() == {GOOD: 50, BAD: 50}
    cluster.annotate("abort", "2/3")
    await cluster.run(10)
    assert cluster.shares() == {GOOD: 100, BAD: 0}
    assert cluster.reasons().count("VerbIgnored") == 1


async def test_spec_paused_holds_the_steps_but_not_a_rollback(cluster):
    cluster.serve(BAD)
    await cluster.run(15)
    cluster.change(paused=True)
    await cluster.run(300, tick=10)
    assert cluster.shares() == {GOOD: 95, BAD: 5}
    cluster.failing[BAD] = 0.5
    await cluster.run(120)
    assert cluster.shares() == {GOOD: 100, BAD: 0}


async def test_stable_is_rebuilt_when_the_status_is_lost(cluster):
    cluster.serve(BAD)
    await cluster.run(15)
    cluster.kube.put({**cluster.rollout, "status": {}})
    await cluster.run(5)
    assert cluster.status["stable"]["digest"] == GOOD
    assert cluster.status["rollout"]["number"] == 3
    assert cluster.shares()[GOOD] >= 95


async def test_a_rollout_waits_for_its_job_and_serves_its_merged_form():
    cluster = Cluster()
    cluster.kube.put(rollout(model={"jobRef": {"name": "bot"}}))
    await cluster.run(5)
    assert "FineTuneJob bot, which does not exist" in cluster.status["message"]
    artifact = {"uri": "pvc://models/bot/1", "digest": BAD, "forms": {"merged": {"path": "merged", "digest": GOOD}}}
    job = {"apiVersion": FINE_TUNE_JOB.api_version, "kind": "FineTuneJob", "spec": {}}
    cluster.kube.put({**job, "metadata": {"name": "bot", "namespace": "default"}, "status": {"artifact": artifact}})
    await cluster.run(10)
    assert cluster.shares() == {GOOD: 100}
    assert cluster.status["stable"]["uri"] == "pvc://models/bot/1/merged"
    assert cluster.status["stable"]["job"] == "bot"


async def test_a_job_that_published_to_a_registry_is_refused_with_the_remedy():
    cluster = Cluster()
    cluster.kube.put(rollout(model={"jobRef": {"name": "bot"}}))
    form = {"path": "merged", "digest": GOOD}
    artifact = {"uri": "oci://registry/ml/bot:1", "digest": BAD, "forms": {"merged": form}}
    job = {"apiVersion": FINE_TUNE_JOB.api_version, "kind": "FineTuneJob", "spec": {}}
    cluster.kube.put({**job, "metadata": {"name": "bot", "namespace": "default"}, "status": {"artifact": artifact}})
    await cluster.run(5)
    said = cluster.status["message"]
    assert "spec.model.jobRef.name: bot: its model: oci://registry/ml/bot:1: the tunebird runtime loads" in said
    assert "publish or copy it to pvc://, or use custom" in said
    assert "/merged" not in said


async def test_a_rollout_does_not_serve_a_job_whose_gates_failed():
    cluster = Cluster()
    cluster.kube.put(rollout(model={"jobRef": {"name": "bot"}}))
    artifact = {"uri": "pvc://models/bot/1", "digest": BAD, "forms": {"merged": {"path": "merged", "digest": GOOD}}}
    times = {"lastTransitionTime": "2026-01-01T00:00:00Z", "message": "missed"}
    failed = {"type": "Failed", "status": "True", "reason": "GateFailed", **times}
    job = {"apiVersion": FINE_TUNE_JOB.api_version, "kind": "FineTuneJob", "spec": {}}
    status = {"artifact": artifact, "conditions": [failed]}
    cluster.kube.put({**job, "metadata": {"name": "bot", "namespace": "default"}, "status": status})
    await cluster.run(5)
    assert "FineTuneJob bot, which failed (GateFailed), to succeed" in cluster.status["message"]


async def test_a_second_pass_writes_nothing(cluster):
    for moment in range(3):
        cluster.kube.writes.clear()
        await cluster.once()
        assert cluster.kube.writes == [], moment
        if moment == 0:
            cluster.serve(BAD)
        await cluster.run(15)
        await cluster.settle()


async def test_an_invalid_specification_says_all_that_is_wrong_and_leaves_traffic_alone(cluster):
    steps = [{"mirror": {"percent": 10, "for": "1m"}}, {"setWeight": 5}]
    cluster.change(strategy={"type": "BlueGreen", "steps": steps})
    await cluster.run(5)
    stalled = next(item for item in cluster.status["conditions"] if item["type"] == "Stalled")
    assert stalled["reason"] == "InvalidSpec"
    assert "spec.strategy.type: BlueGreen" in stalled["message"]
    assert "spec.strategy.steps[0].mirror" in stalled["message"]
    assert [event.reason for event in cluster.kube.events].count("InvalidSpec") == 1
    assert cluster.shares() == {GOOD: 100}


async def test_servers_that_cannot_start_are_explained_once(cluster):
    cluster.broken.add(BAD)
    cluster.serve(BAD)
    await cluster.run(10)
    cluster.stuck(BAD, "ImagePullBackOff", 'Back-off pulling image "no/such:1"')
    await cluster.run(60)
    assert 'ImagePullBackOff: Back-off pulling image "no/such:1"' in cluster.status["message"]
    assert "spec.server.image" in cluster.status["step"]["waitingFor"]
    assert cluster.reasons().count("ServerNotReady") == 1
    assert len(cluster.status["summary"]) <= 73 < len(cluster.status["message"])
    cluster.kube.writes.clear()
    await cluster.once()
    assert cluster.kube.writes == []


async def test_a_foreign_service_of_the_name_is_never_taken_over():
    cluster = Cluster()
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "support", "namespace": "default"}}
    cluster.kube.put({**service, "spec": {"selector": {"app": "mine"}}})
    cluster.kube.put(rollout())
    await cluster.run(5)
    assert "spec.service.name" in cluster.status["message"]
    assert cluster.kube.find(SERVICE, "support")["spec"] == {"selector": {"app": "mine"}}


async def test_the_status_is_as_the_schema_says(cluster):
    cluster.serve(BAD)
    await cluster.run(60)
    status = ModelRollout.model_validate(cluster.rollout).status
    assert status.manifest().keys() >= {"phase", "stable", "canary", "step", "analysis", "history", "conditions"}
    assert status.step.kind == "bake"
    assert status.canary.measured_weight is not None


async def test_old_revisions_beyond_the_limit_are_deleted(cluster):
    cluster.change(revisionHistoryLimit=0, rollback={"scaleDownDelay": "10s"})
    cluster.serve(BAD)
    await cluster.run(400, tick=10)
    assert len(cluster.names(DEPLOYMENT)) == 1
    assert len(cluster.names(SERVICE)) == 2


@pytest.mark.parametrize("parts", [8, pytest.param(40, marks=pytest.mark.slow)])
async def test_a_fault_at_any_call_still_converges(parts):
    quiet = Cluster()
    await quiet.start()
    quiet.serve(BAD)
    await quiet.run(240, tick=10)
    calls = len(quiet.kube.calls)
    for index in range(0, calls, max(1, calls // parts)):
        cluster = Cluster()
        cluster.kube.before = _fail_at(index)
        cluster.kube.put(rollout())
        await cluster.run(40, tick=10)
        cluster.serve(BAD)
        await cluster.run(300, tick=10)
        assert cluster.shares() == {BAD: 100}, index
        assert cluster.reasons().count("Promoted") == 2


def _fail_at(index):
    left = [index]

    def hook(call):
        left[0] -= 1
        if left[0] == -1:
            raise Unavailable("the API server is not reachable")

    return hook


async def test_a_status_conflict_is_observed_again(cluster):
    cluster.serve(BAD)
    cluster.kube.before = fail_once("replace_status", MODEL_ROLLOUT, Conflict("modified"))
    await cluster.run(300, tick=10)
    assert cluster.shares() == {BAD: 100}


async def test_passes_between_two_samples_write_nothing_while_the_clock_goes_on(cluster):
    cluster.serve(BAD)
    while cluster.status.get("step", {}).get("kind") != "bake":
        await cluster.run(5)
    await cluster.settle()
    cluster.kube.writes.clear()
    for _ in range(20):
        cluster.clock.advance(0.05)
        await cluster.once()
    assert cluster.kube.writes == []
