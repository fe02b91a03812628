"""Whole rollouts over an API server in memory: what users see happen."""

from fakes.rollout import BAD, GOOD, Cluster


async def test_the_first_revision_goes_straight_to_stable_once_ready():
    cluster = Cluster()
    cluster.broken.add(GOOD)
    from fakes.rollout import rollout

    cluster.kube.put(rollout())
    await cluster.run(20)
    assert cluster.status["phase"] == "Initializing"
    assert cluster.shares() == {}
    cluster.broken.clear()
    await cluster.run(10)
    assert cluster.shares() == {GOOD: 100}
    assert cluster.status["phase"] == "Healthy"
    assert cluster.reasons() == ["RolloutStarted", "Promoted", "RolloutCompleted"]


async def test_a_good_second_model_takes_all_traffic_step_by_step():
    cluster = Cluster()
    await cluster.start()
    cluster.serve(BAD)
    shares = []
    for _ in range(60):
        await cluster.run(5)
        if not shares or shares[-1] != cluster.shares().get(BAD, 0):
            shares.append(cluster.shares().get(BAD, 0))
    assert shares == [5, 50, 100]
    assert cluster.status["phase"] == "Healthy"
    assert cluster.status["stable"]["digest"] == BAD


async def test_a_failing_model_loses_all_its_traffic():
    cluster = Cluster()
    cluster.failing[BAD] = 0.3
    await cluster.start()
    cluster.serve(BAD)
    await cluster.run(120)
    assert cluster.shares() == {GOOD: 100, BAD: 0}
    assert cluster.status["phase"] == "RolledBack"
    assert "SLIBreached" in cluster.reasons()
    assert cluster.reasons()[-1] == "RolledBack"
