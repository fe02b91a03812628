"""Two rollouts whose routes claim the same requests: the younger one says so, and works on."""

from fakes.rollout import BAD, GOOD, Cluster
from tunebird.kube.meta import HTTP_ROUTE, Ref

OTHER = Ref(HTTP_ROUTE, "default", "other")


def older(route):
    labels = {"app.kubernetes.io/managed-by": "tunebird", "tunebird.dev/modelrollout": "other"}
    metadata = {"name": "other", "namespace": "default", "labels": labels, "creationTimestamp": "2025-01-01T00:00:00Z"}
    return {"apiVersion": route["apiVersion"], "kind": route["kind"], "metadata": metadata, "spec": route["spec"]}


def condition(cluster):
    return next((item for item in cluster.status["conditions"] if item["type"] == "RouteShadowed"), None)


async def test_an_older_route_with_the_same_claim_is_told_once_and_forgotten_when_it_goes():
    cluster = Cluster()
    await cluster.start()
    cluster.kube.put(older(cluster.kube.find(HTTP_ROUTE, "support")))
    await cluster.run(180, tick=10)
    said = "the route of ModelRollout default/other is older and gets its requests"
    assert condition(cluster)["message"].startswith(said)
    assert said in cluster.status["message"]
    assert cluster.status["phase"] == "Healthy"
    assert cluster.shares() == {GOOD: 100}
    assert cluster.reasons().count("RouteShadowed") == 1
    since = condition(cluster)["lastTransitionTime"]
    writes = len(cluster.kube.writes)
    await cluster.run(180, tick=10)
    assert (condition(cluster)["lastTransitionTime"], len(cluster.kube.writes)) == (since, writes)
    cluster.kube.remove(OTHER)
    await cluster.run(120, tick=10)
    assert condition(cluster) is None


async def test_a_held_rollout_writes_its_status_once():
    cluster = Cluster()
    await cluster.start()
    cluster.change(
        analysis={"interval": "10s", "slis": cluster.rollout["spec"]["analysis"]["slis"], "onBreach": "Pause"}
    )
    cluster.failing[BAD] = 0.3
    cluster.serve(BAD)
    await cluster.run(120)
    held = next(item for item in cluster.status["conditions"] if item["type"] == "Stalled")
    await cluster.run(120)
    again = next(item for item in cluster.status["conditions"] if item["type"] == "Stalled")
    assert again["lastTransitionTime"] == held["lastTransitionTime"]
