"""A model trained by two pods that find each other by name, and what becomes of it when one of them is lost."""

import json
import re
import ssl
import urllib.request
from typing import Any

import pytest
import yaml

from tunebird.cli.story import play

Object = dict[str, Any]
pytestmark = pytest.mark.slow  # each attempt loads the trainer's libraries in two pods
LOST_PEERS = "RendezvousTimeout"


def job(name: str, steps: int) -> Object:
    """Two pods on the CPU; the claims of the demo do, for all pods are on one node."""
    return {
        "apiVersion": "tunebird.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "model": {"source": {"uri": "pvc://models/tiny-base"}},
            "datasets": [{"name": "support", "source": {"uri": "pvc://data/support.jsonl"}, "format": "messages"}],
            "method": {"tuning": "lora"},
            "training": {"maxSteps": steps, "globalBatchSize": 4, "maxSequenceLength": 256, "seed": 7},
            "compute": {"numNodes": 2},
            "checkpoint": {"storage": {"uri": "pvc://checkpoints"}, "every": "1s", "keep": 2},
            "output": {"storage": {"uri": f"pvc://models/{name}"}},
        },
    }


def pods(stage: play.Stage, name: str, attempt: int) -> list[Any]:
    """The pods of an attempt, node 0's first."""
    found = stage.kubectl.items("pods", f"--selector=tunebird.dev/finetunejob={name},tunebird.dev/attempt={attempt}")
    return sorted(found, key=lambda pod: pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])


def log(stage: play.Stage, pod: Any) -> str:
    return stage.kubectl.run("logs", pod["metadata"]["name"], "--tail=-1")


def ended(pod: Any) -> Any:
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]


def environment(pod: Any) -> Object:
    return {entry["name"]: entry.get("value") for entry in pod["spec"]["containers"][0]["env"]}


def resumed_after(stage: play.Stage, name: str, attempt: int) -> int:
    """The step whose checkpoint the attempt goes on from; 0 when it began anew."""
    said = re.search(r"resuming after checkpoint-(\d+) of 40 steps", log(stage, pods(stage, name, attempt)[0]))
    return int(said[1]) if said else 0


def step_of(checkpoint: str) -> int:
    return int(checkpoint.removeprefix("checkpoint-"))


def delete_by_force(stage: play.Stage, pod: str) -> None:
    stage.kubectl.run("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def kill(stage: play.Stage, pod: str) -> None:
    """As the kernel does when it needs the memory: no SIGTERM, no word."""
    home = stage.cluster.home / "devplane"
    server = yaml.safe_load(stage.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    request = urllib.request.Request(
        f"{server}/devplane/kill",
        data=json.dumps({"namespace": "default", "pod": pod, "container": "trainer"}).encode(),
        headers={"Authorization": f"Bearer {(home / 'faults.token').read_text().strip()}"},
    )
    trusted = ssl.create_default_context(cafile=str(home / "pki" / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:
        assert answer.status < 300


@pytest.fixture(scope="module")
def both(stage: play.Stage) -> play.Stage:
    """Two such jobs at a time: each must find its own."""
    for name, steps in (("pair", 4), ("survivor", 40)):
        stage.kubectl.run("apply", "-f", "-", stdin=json.dumps(job(name, steps)))
    return stage


def test_the_next_attempt_goes_on_with_both_after_each_loss_of_one(both: play.Stage) -> None:
    lost: dict[int, str] = {}
    came_from: dict[int, int] = {}

    def lose_the_second_once_it_has_saved(seen: Any) -> None:
        progress = seen.get("status", {}).get("progress", {})
        attempt, checkpoint = progress.get("attempt", 0), progress.get("checkpoint")
        if attempt not in (1, 2) or attempt in lost or not checkpoint:
            return
        # Until it saves one of its own, an attempt reports the checkpoint that it goes on from.
        came_from[attempt] = resumed_after(both, "survivor", attempt)
        if step_of(checkpoint) <= came_from[attempt]:
            return
        lost[attempt] = pods(both, "survivor", attempt)[1]["metadata"]["name"]
        (delete_by_force if attempt == 1 else kill)(both, lost[attempt])

    seen = play.follow(both, "finetunejob", "survivor", 600, lose_the_second_once_it_has_saved)
    assert set(lost) == {1, 2}, "the job ended before it saved a checkpoint"
    first, second, third = seen["status"]["attempts"]
    # The one that is left may hear its Job's SIGTERM, and save, before it misses the one that was deleted.
    assert first["reason"] in ("PodDeleted", "Preempted")
    assert (second["reason"], third["reason"]) == ("Killed", "Succeeded")
    assert LOST_PEERS not in first["message"] + second["message"]
    assert second["message"].startswith(f"pod {lost[2]}: "), "the one that was killed, not the one that lost it"
    assert second["exitCode"] == 137
    assert seen["status"]["progress"]["step"] == 40
    assert came_from[1] == 0
    assert came_from[2] >= step_of(first["checkpoint"]) > 0
    assert resumed_after(both, "survivor", 3) >= step_of(second["checkpoint"]) > came_from[2]


def test_two_pods_find_each_other_by_name_and_publish_one_artifact(both: play.Stage) -> None:
    seen = play.follow(both, "finetunejob", "pair", 600, lambda _: None)
    assert [attempt["reason"] for attempt in seen["status"]["attempts"]] == ["Succeeded"]
    (batch,) = [one for one in both.kubectl.items("jobs") if one["metadata"]["name"] == "pair-1"]
    assert (batch["spec"]["completionMode"], batch["status"]["completedIndexes"]) == ("Indexed", "0,1")
    (service,) = [one for one in both.kubectl.items("services") if one["metadata"]["name"] == "pair-1"]
    assert service["spec"]["clusterIP"] == "None"
    for pod in pods(both, "pair", 1):
        assert environment(pod)["TUNEBIRD_MASTER_ADDR"] == "pair-1-0.pair-1.default.svc"
    told = [json.loads(ended(pod)["message"]) for pod in pods(both, "pair", 1)]
    assert [one["message"].partition(" ")[0] for one in told] == ["published", "process"]
    assert [one.get("artifact", {}).get("uri") for one in told] == [seen["status"]["artifact"]["uri"], None]


def test_jobs_at_a_time_meet_at_different_ports(both: play.Stage) -> None:
    headless = [one for one in both.kubectl.items("services") if one["spec"].get("clusterIP") == "None"]
    ports = [one["spec"]["ports"][0]["port"] for one in headless]
    assert len(ports) == len(set(ports)) == 4, "one for each attempt"
