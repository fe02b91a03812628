"""How the demo waits: as long as something changes, and with evidence when it gives up."""

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import pytest

from tunebird.cli import local
from tunebird.cli.kubectl import Kubectl
from tunebird.cli.story import play

POD = {"metadata": {"name": "bot-1-x", "uid": "u-1"}}


def job(activity: str, phase: str = "Running") -> dict[str, Any]:
    status = {"observedGeneration": 1, "phase": phase, "message": f"Attempt 1: saving, step 6 of 6: {activity}"}
    return {"metadata": {"name": "bot", "generation": 1}, "status": {**status, "progress": {"activity": activity}}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second later."""
    ticks = itertools.count()
    monkeypatch.setattr(play.time, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(play.time, "sleep", lambda _: None)


@pytest.fixture
def stage(tmp_path: Path) -> play.Stage:
    return play.Stage(local.Local(tmp_path, tmp_path / "kubeconfig", "", ""), tmp_path, lambda _: None)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, clock: None) -> Callable[..., None]:
    """A cluster whose job is seen like this, one after the other, and whose pods' log is this."""

    def of(seen: Iterable[dict[str, Any]], pods: Iterable[dict[str, Any]] = (POD,), log: str = "save: slow\n") -> None:
        states = iter(seen)

        def run(_: Kubectl, *arguments: str, stdin: str | None = None) -> str:
            if arguments[0] == "logs":
                return log
            return json.dumps({"items": list(pods)} if arguments[1] == "pods" else next(states))

        monkeypatch.setattr(Kubectl, "run", run)

    return of


def test_what_is_done_within_a_phase_counts_as_a_change(stage: play.Stage, cluster: Callable[..., None]) -> None:
    cluster([*(job(f"{n} of 100 answers") for n in range(100)), job("", "Succeeded")])
    assert play.follow(stage, "finetunejob", "bot", 10, lambda _: None)["status"]["phase"] == "Succeeded"


def test_giving_up_shows_the_end_of_the_log_and_where_it_lies(
    stage: play.Stage, cluster: Callable[..., None], tmp_path: Path
) -> None:
    cluster(itertools.repeat(job("0 of 20 answers")), log="save: asking\n" + "x" * 9000)
    with pytest.raises(click.ClickException) as caught:
        play.follow(stage, "finetunejob", "bot", 10, lambda _: None)
    lines = caught.value.message.splitlines()
    assert lines[0].startswith("finetunejob bot is Running and has not changed for 10 s. Attempt 1: saving")
    assert lines[1:3] == ["the log of pod bot-1-x ends with:", "  save: asking"]
    assert len(lines[3]) < 300
    assert lines[4] == f"all of it: {tmp_path}/devplane/pods/u-1/logs until the next demo"
    assert "--keep" in lines[5]
    assert lines[5].endswith(f"kubectl --kubeconfig={tmp_path}/kubeconfig logs bot-1-x")


def test_a_failure_shows_the_log_too(stage: play.Stage, cluster: Callable[..., None]) -> None:
    cluster([job("", "Failed")])
    with pytest.raises(click.ClickException, match=r"bot: Failed\..*\n.*ends with:\n  save: slow"):
        play.follow(stage, "finetunejob", "bot", 10, lambda _: None)


def test_a_job_without_a_pod_has_no_log(stage: play.Stage, cluster: Callable[..., None]) -> None:
    cluster(itertools.repeat(job("")), pods=())
    with pytest.raises(click.ClickException, match="has no pod, so no log"):
        play.follow(stage, "finetunejob", "bot", 10, lambda _: None)
