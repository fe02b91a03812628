"""A server that ends again and again, seen at every turn of its restarts."""

from typing import Any

from fakes.rollout import BAD, Cluster
from tunebird.kube.meta import POD, Ref

ENDED = {"terminated": {"exitCode": 4, "reason": "Error", "message": "INFO Listening\nModelMismatch: another digest\n"}}
TURNS: tuple[dict[str, Any], ...] = (
    {"state": ENDED},
    {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, "lastState": ENDED},
    {"state": {"running": {}}, "lastState": ENDED, "ready": False, "restartCount": 1},
)


def turn(cluster: Cluster, state: dict[str, Any]) -> None:
    container = {"name": "server", **state}
    for pod in cluster.kube.all(POD):
        name = pod["metadata"]["name"]
        if cluster.digest_of(name.rpartition("-")[0]) == BAD:
            cluster.kube.patch(Ref(POD, "default", name), {"status": {"containerStatuses": [container]}})


async def test_the_reason_stays_in_the_status_and_is_told_once() -> None:
    cluster = Cluster()
    await cluster.start()
    cluster.broken.add(BAD)
    cluster.serve(BAD)
    await cluster.run(10)
    for state in (*TURNS, *TURNS):
        turn(cluster, state)
        await cluster.run(5)
        assert "CrashLoopBackOff: the server ended with exit code 4: ModelMismatch" in cluster.status["message"]
    assert cluster.reasons().count("ServerNotReady") == 1
