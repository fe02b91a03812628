"""Instructions, then preferences, then gates: jobs that build on each other and are judged, with a tiny model."""

import json
from typing import Any

import pytest

from tunebird.cli.story import play

Object = dict[str, Any]
pytestmark = pytest.mark.slow  # each job loads the trainer's libraries anew

SUITE = {
    "name": "golden",
    "source": {"uri": "pvc://data/golden.jsonl"},
    "generation": {"maxTokens": 8},
}
TRAINING = {"maxSteps": 4, "globalBatchSize": 4, "maxSequenceLength": 256, "seed": 7}
COPY = "cp /from/preferences.jsonl /data/ && head -n 8 /from/golden.jsonl > /data/golden.jsonl"


def job(name: str, **spec: Any) -> Object:
    given = {
        "model": {"source": {"uri": "pvc://models/tiny-base"}},
        "datasets": [{"name": "support", "source": {"uri": "pvc://data/support.jsonl"}, "format": "messages"}],
        "method": {"tuning": "lora"},
        "training": TRAINING,
        "checkpoint": {"storage": {"uri": "pvc://checkpoints"}},
        "output": {"storage": {"uri": f"pvc://models/{name}"}},
    }
    head = {"apiVersion": "tunebird.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}}
    return {**head, "spec": {**given, **spec}}


def preferred(name: str, **spec: Any) -> Object:
    pairs = {"name": "pairs", "source": {"uri": "pvc://data/preferences.jsonl"}, "format": "preference"}
    method = {"objective": "dpo", "tuning": "lora"}
    return job(name, model={"jobRef": {"name": "first"}}, datasets=[pairs], method=method, **spec)


def apply(stage: play.Stage, manifest: Object) -> None:
    stage.kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest))


def condition(seen: Object, kind: str) -> Object:
    return next((entry for entry in seen["status"]["conditions"] if entry["type"] == kind), {})


def failed(stage: play.Stage, name: str) -> Object:
    with pytest.raises(play.click.ClickException):
        play.follow(stage, "finetunejob", name, 600, lambda _: None)
    seen = stage.kubectl.get("finetunejob", name)
    assert seen is not None
    return seen


@pytest.fixture(scope="module")
def first(stage: play.Stage) -> play.Stage:
    """The data in its volume; a second job is there before the first one that it builds on."""
    folder = stage.examples / "data"
    files = [f"--from-file={folder / name}" for name in ("preferences.jsonl", "golden.jsonl")]
    stage.command("create", "configmap", "more-data", *files)
    apply(stage, _COPY)
    stage.command("wait", "--for=condition=complete", "job/copy-more", "--timeout=60s")
    gates = [{"metric": "golden.leakage", "maximum": "100%"}]
    apply(stage, preferred("second", evaluation={"suites": [SUITE], "gates": gates}))
    return stage


_COPY: Object = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "copy-more"},
    "spec": {
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "copy",
                        "image": "busybox:1.37",
                        "command": ["sh", "-c", COPY],
                        "volumeMounts": [
                            {"name": "from", "mountPath": "/from"},
                            {"name": "data", "mountPath": "/data"},
                        ],
                    }
                ],
                "volumes": [
                    {"name": "from", "configMap": {"name": "more-data"}},
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                ],
            }
        }
    },
}


def test_preferences_are_learned_on_top_of_the_job_before_and_pass_their_gates(first: play.Stage) -> None:
    waiting = first.kubectl.run("get", "ftj", "second")
    assert "JobNotFound" in waiting, waiting
    apply(first, job("first"))
    before = play.follow(first, "finetunejob", "first", 600, lambda _: None)
    seen = play.follow(first, "finetunejob", "second", 600, lambda _: None)
    status = seen["status"]
    assert status["plan"]["objective"] == "dpo"
    assert status["references"][0]["uri"] == before["status"]["artifact"]["uri"]
    assert status["artifact"]["baseDigest"] == before["status"]["artifact"]["forms"]["merged"]["digest"]
    assert status["artifact"]["gatesPassed"] is True
    assert condition(seen, "Evaluated")["status"] == "True"
    assert {result["metric"] for result in status["evaluation"]} >= {"golden.leakage"}
    events = first.kubectl.items("events", "--field-selector=involvedObject.name=second")
    assert {"JobNotFound", "ReferenceResolved", "Succeeded"} <= {event["reason"] for event in events}


def test_a_missed_gate_fails_the_job_in_one_sentence(first: play.Stage) -> None:
    gates = [{"metric": "golden.instructionSuccess", "minimum": "95%"}]
    apply(first, job("gated", evaluation={"suites": [SUITE], "gates": gates}))
    seen = failed(first, "gated")
    told = condition(seen, "Failed")
    assert told["reason"] == "GateFailed"
    assert "golden.instructionSuccess is " in told["message"]
    assert "0.95" in told["message"]
    assert seen["status"]["artifact"]["gatesPassed"] is False
    assert len(seen["status"]["attempts"]) == 1, "a missed gate is not tried again"
    row = first.kubectl.run("get", "ftj", "gated")
    assert "GateFailed" in row


def test_an_adapter_learns_on_a_base_of_four_bits(first: play.Stage) -> None:
    method = {"tuning": "lora", "quantization": {"type": "nf4"}}
    apply(first, job("four-bits", method=method))
    seen = play.follow(first, "finetunejob", "four-bits", 600, lambda _: None)
    assert seen["status"]["plan"]["quantization"] == "nf4"
    assert set(seen["status"]["artifact"]["forms"]) == {"adapter", "merged"}
