"""A ModelRollout under steady load: a good version arrives, a bad one is taken back, and nobody notices either."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tunebird.cli.story import play
from tunebird.cli.story.load import Load, Sample, Target

Object = dict[str, Any]
HOST = "chat.example.com"


def target(stage: play.Stage) -> Target:
    return Target(stage.cluster.gateway, "chat", HOST)


def rollout(stage: play.Stage) -> Object:
    seen = stage.kubectl.get("modelrollout", "chat")
    assert seen is not None
    return dict(seen)


def reasons(stage: play.Stage) -> Counter[str]:
    events = stage.kubectl.items("events", "--field-selector=involvedObject.name=chat")
    return Counter(event["reason"] for event in events)


@pytest.fixture(scope="module")
def serving(trained: play.Stage) -> play.Stage:
    """The first version, stable."""
    trained.apply("41-chat-v1.yaml")
    play.follow(trained, "modelrollout", "chat", 600, lambda _: None)
    return trained


def served_by(samples: list[Sample], revision: str) -> list[Sample]:
    return [sample for sample in samples if sample.version == revision]


def test_promotion_and_rollback_fail_no_request_of_a_good_version(serving: play.Stage) -> None:
    first = rollout(serving)["status"]["stable"]["revision"]
    with Load(target(serving), rate=8) as load:
        serving.apply("42-chat-v2.yaml")
        play.follow(serving, "modelrollout", "chat", 600, lambda _: None)
        second = rollout(serving)["status"]["stable"]["revision"]
        time.sleep(3)  # traffic after the promotion, so that a cut at its very end would be seen
        serving.apply("43-chat-v3.yaml")
        seen = play.rolled_back(serving, "chat", 600)
        time.sleep(3)
    bad = {sample.version for sample in load.samples} - {first, second, ""}
    assert second != first
    assert len(bad) == 1, "the third version got some traffic before it was taken back"
    assert seen["status"]["stable"]["revision"] == second
    assert [sample for sample in load.samples if sample.failed and sample.version not in bad] == []
    assert served_by(load.samples, first)
    assert any(sample.failed for sample in served_by(load.samples, bad.pop()))


def test_the_events_tell_what_happened(serving: play.Stage) -> None:
    told = reasons(serving)
    assert {"RolloutStarted", "TrafficShifted", "Promoted", "SLIBreached", "RolledBack"} <= set(told)


def test_what_was_rolled_back_is_not_tried_again(serving: play.Stage) -> None:
    before = rollout(serving)["status"]["rollout"]["number"]
    serving.kubectl.run("annotate", "--overwrite", "modelrollout/chat", "example.com/touched=yes")
    time.sleep(3)  # several passes of the loop
    after = rollout(serving)["status"]
    assert (after["phase"], after["rollout"]["number"]) == ("RolledBack", before)


def test_drift_of_the_route_is_corrected(serving: play.Stage) -> None:
    weights = [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1}]
    serving.kubectl.run("patch", "httproute/chat", "--type=json", f"--patch={json.dumps(weights)}")
    wait_for(lambda: route_weights(serving)[0] == 100, 60)


def route_weights(stage: play.Stage) -> list[int]:
    (route,) = [item for item in stage.kubectl.items("httproutes") if item["metadata"]["name"] == "chat"]
    return [ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]]


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.2)
