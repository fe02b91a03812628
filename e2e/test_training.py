"""A FineTuneJob from `kubectl apply` to an artifact, and through its troubles."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tunebird.cli.story import play

Object = dict[str, Any]
Example = Callable[[str], Object]


def apply(stage: play.Stage, manifest: Object) -> None:
    stage.kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest))


def job(example: Example, name: str, **spec: Any) -> Object:
    """The tiny example under another name, with parts of its spec replaced."""
    manifest = example("21-tiny-v1.yaml")
    manifest["metadata"]["name"] = name
    manifest["spec"].update(spec)
    return manifest


def condition(seen: Object, kind: str) -> Object:
    return next((entry for entry in seen["status"]["conditions"] if entry["type"] == kind), {})


def test_a_job_trains_a_model_and_publishes_it_with_its_digest(trained: play.Stage) -> None:
    seen = trained.kubectl.get("finetunejob", "tiny-v1")
    assert seen is not None
    status = seen["status"]
    assert status["phase"] == "Succeeded"
    assert status["progress"]["step"] == status["progress"]["of"] == 10
    assert status["artifact"]["digest"].startswith("sha256:")
    assert status["artifact"]["uri"].startswith("pvc://models/tiny/")
    assert set(status["artifact"]["forms"]) == {"merged"}
    assert seen["metadata"].get("finalizers", []) == []


def test_its_log_and_its_events_tell_the_story(trained: play.Stage) -> None:
    log = trained.kubectl.run("logs", "--selector=tunebird.dev/finetunejob=tiny-v1", "--tail=-1")
    assert "loss" in log
    events = trained.kubectl.items("events", "--field-selector=involvedObject.name=tiny-v1")
    assert {"AttemptStarted", "Succeeded"} <= {event["reason"] for event in events}


def test_kubectl_shows_phase_and_progress_in_columns(trained: play.Stage) -> None:
    header, *rows = trained.kubectl.run("get", "ftj").splitlines()
    assert header.split() == ["NAME", "PHASE", "REASON", "STEP", "LOSS", "ETA", "MESSAGE", "AGE"]
    assert all("Succeeded" in row for row in rows if row.startswith("tiny-v"))


def test_a_killed_trainer_resumes_from_its_checkpoint(stage: play.Stage, example: Example) -> None:
    training = {**example("21-tiny-v1.yaml")["spec"]["training"], "maxSteps": 40}
    checkpoint = {"storage": {"uri": "pvc://checkpoints"}, "every": "1s", "keep": 2}
    apply(stage, job(example, "survivor", training=training, checkpoint=checkpoint))
    killed: list[str] = []

    def kill_once_it_has_saved(seen: Object) -> None:
        progress = seen.get("status", {}).get("progress", {})
        if not killed and progress.get("checkpoint"):
            selector = "--selector=tunebird.dev/finetunejob=survivor"
            killed.append(stage.kubectl.run("delete", "pod", selector, "--grace-period=0", "--force", "--wait=false"))

    seen = play.follow(stage, "finetunejob", "survivor", 600, kill_once_it_has_saved)
    assert killed, "the job ended before it saved a checkpoint"
    attempts = seen["status"]["attempts"]
    assert [attempt["number"] for attempt in attempts] == [1, 2]
    second = stage.kubectl.run(
        "logs", "--selector=tunebird.dev/finetunejob=survivor,tunebird.dev/attempt=2", "--tail=-1"
    )
    assert "resum" in second.lower()


BAD: list[tuple[str, Object, str, tuple[str, ...]]] = [
    (
        "no-dataset",
        {"datasets": [{"name": "d", "source": {"uri": "pvc://data/nothing.jsonl"}, "format": "messages"}]},
        "DatasetNotFound",
        ("nothing.jsonl",),
    ),
    ("no-model", {"model": {"source": {"uri": "hf://nobody/nothing"}}}, "ModelNotFound", ("nobody/nothing",)),
    ("no-claim", {"model": {"source": {"uri": "pvc://absent/tiny"}}}, "", ("absent",)),
    (
        "no-secret",
        {"model": {"source": {"uri": "hf://nobody/nothing", "secretRef": {"name": "hf-token"}}}},
        "",
        ("hf-token",),
    ),
    ("no-gpu", {"compute": {"gpusPerNode": 1}}, "", ("nvidia.com/gpu",)),
]


@pytest.mark.parametrize(("name", "spec", "reason", "words"), BAD, ids=[entry[0] for entry in BAD])
def test_bad_input_is_told_in_one_sentence(
    stage: play.Stage, example: Example, name: str, spec: Object, reason: str, words: tuple[str, ...]
) -> None:
    deadline = {} if reason else {"pendingDeadlineSeconds": 5}  # what has a reason is told by a trainer that ran
    apply(stage, job(example, name, **spec, **deadline))
    with pytest.raises(play.click.ClickException) as told:
        play.follow(stage, "finetunejob", name, 600, lambda _: None)
    seen = stage.kubectl.get("finetunejob", name)
    assert seen is not None
    failed = condition(seen, "Failed")
    assert failed["status"] == "True"
    assert all(word in failed["message"] for word in words), failed
    assert all(word in told.value.message for word in words)
    assert not reason or failed["reason"] == reason
    assert len(seen["status"]["attempts"]) == 1, "bad input is not tried again"


def test_an_unsupported_field_is_refused_by_name_where_people_look(stage: play.Stage, example: Example) -> None:
    apply(stage, job(example, "queued", queueName="research"))
    with pytest.raises(play.click.ClickException, match=r"spec\.queueName"):
        play.follow(stage, "finetunejob", "queued", 600, lambda _: None)
    row = stage.kubectl.run("get", "ftj", "queued").splitlines()[1]
    assert "InvalidSpec" in row
    assert "spec.queueName (research): not supported" in row


def test_the_api_server_refuses_a_wrong_value_with_its_path(stage: play.Stage, example: Example) -> None:
    manifest = job(example, "wrong", compute={"gpusPerNode": -1})
    with pytest.raises(play.click.ClickException, match=r"spec\.compute\.gpusPerNode"):
        apply(stage, manifest)
