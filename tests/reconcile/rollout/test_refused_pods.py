"""Servers whose pods a quota or Pod Security refuses: the Deployment says so, and so does the rollout."""

from fakes.rollout import BAD, Cluster
from tunebird.kube.meta import DEPLOYMENT, Ref


def refuse(cluster: Cluster, suffix: str) -> None:
    message = f'pods "support-{suffix}" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    for deployment in cluster.kube.all(DEPLOYMENT):
        name = deployment["metadata"]["name"]
        if cluster.digest_of(name) == BAD:
            cluster.kube.patch(Ref(DEPLOYMENT, "default", name), {"status": {"conditions": [failure]}})


async def test_the_refusal_is_in_the_status_and_told_once() -> None:
    cluster = Cluster()
    await cluster.start()
    cluster.broken.add(BAD)
    cluster.serve(BAD)
    await cluster.run(10)
    for suffix in ("bbnb9", "x7k2p"):
        refuse(cluster, suffix)
        await cluster.run(5)
        assert "PodsNotCreated: exceeded quota: none" in cluster.status["message"]
        assert suffix not in cluster.status["message"]
    assert cluster.reasons().count("ServerNotReady") == 1
