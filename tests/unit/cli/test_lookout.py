"""An operator that died shows by its Lease."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tunebird.cli import explain, lookout, show
from tunebird.cli.kubectl import Kubectl
from tunebird.cli.main import main

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOING_ON = {
    "kind": "FineTuneJob",
    "metadata": {"name": "bot", "uid": "u", "generation": 1},
    "status": {"phase": "Running", "observedGeneration": 1},
}


def lease(age: float, holder: str = "one") -> dict[str, Any]:
    renewed = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"spec": {"holderIdentity": holder, "leaseDurationSeconds": 30, "renewTime": renewed}}


def test_a_lease_that_is_renewed_is_no_news() -> None:
    assert lookout.verdict([lease(5)], NOW) == ""
    assert lookout.verdict([lease(3600), lease(5)], NOW) == "", "one of several scopes is served"


def test_a_lease_that_nobody_renews_tells_since_when() -> None:
    assert "its Lease was last renewed 600 s ago" in lookout.verdict([lease(600)], NOW)


@pytest.mark.parametrize("leases", [[], [lease(1, holder="")]])
def test_no_lease_and_a_released_one_mean_that_none_runs(leases: list[dict[str, Any]]) -> None:
    assert lookout.verdict(leases, NOW).startswith("no operator runs")


def test_a_user_who_may_not_read_leases_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> list[dict[str, Any]]:
        raise click.ClickException("forbidden")

    monkeypatch.setattr(Kubectl, "items", refused)
    assert lookout.silence(Kubectl()) == ""


def test_who_watches_asks_for_leases_every_ten_seconds_and_lets_those_that_it_has_grow_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []
    seconds = 0.0
    monkeypatch.setattr(Kubectl, "items", lambda *_: asked.append(seconds) or [lease(0)])
    watched = lookout.Lookout(Kubectl(), lambda: seconds, lambda: NOW + timedelta(seconds=seconds))
    for seconds in range(25):  # noqa: B007 - the clocks read it
        assert watched.silence() == ""
    assert asked == [0, 10, 20]
    seconds = 29.0
    monkeypatch.setattr(lookout, "SKEW_SECONDS", -5.0)
    assert "its Lease was last renewed 29 s ago" in watched.silence()


def test_status_follows_with_one_lookout(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([GOING_ON] * 5 + [{**GOING_ON, "status": {"phase": "Succeeded", "observedGeneration": 1}}])
    asked: list[int] = []
    monkeypatch.setattr(show, "resolve", lambda *_: ("finetunejob", next(looks)))
    monkeypatch.setattr(show.time, "sleep", lambda _: None)
    monkeypatch.setattr(Kubectl, "items", lambda *_: asked.append(1) or [])
    assert CliRunner().invoke(main, ["status", "--watch", "bot"]).exit_code == 0
    assert len(asked) == 1


@pytest.mark.parametrize("command", ["status", "explain"])
def test_status_and_explain_tell_of_a_dead_operator(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (show, explain):
        monkeypatch.setattr(module, "resolve", lambda *_: ("finetunejob", GOING_ON))
    monkeypatch.setattr(Kubectl, "items", lambda *_: [])
    assert "no operator runs" in CliRunner().invoke(main, [command, "bot"]).output


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"generation": 2}, "waits for the operator, which has not seen this generation"),
        (
            {"generation": 1, "deletionTimestamp": "2026-01-01T12:00:00Z", "finalizers": ["tunebird.dev/children"]},
            "to let it go: deleted at 2026-01-01T12:00:00Z, finalizers: tunebird.dev/children",
        ),
    ],
)
def test_status_says_at_once_what_the_operator_has_not_seen(
    metadata: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = {"phase": "Succeeded", "observedGeneration": 1}
    seen = {**GOING_ON, "metadata": {"name": "bot", "uid": "u", **metadata}, "status": ended}
    monkeypatch.setattr(show, "resolve", lambda *_: ("finetunejob", seen))
    monkeypatch.setattr(Kubectl, "items", lambda *_: [])
    output = CliRunner().invoke(main, ["status", "bot"]).output
    assert words in output
    assert "no operator runs" in output


@pytest.mark.parametrize(("kind", "phase", "needed"), [("modelrollout", "Healthy", 1), ("finetunejob", "Succeeded", 0)])
def test_a_rollout_at_rest_needs_an_operator_and_a_job_that_ended_none(kind: str, phase: str, needed: bool) -> None:
    seen = {**GOING_ON, "status": {"phase": phase, "observedGeneration": 1}}
    assert show.needs_operator(kind, seen) is bool(needed)


def test_the_list_tells_of_a_dead_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {**GOING_ON, "metadata": {**GOING_ON["metadata"], "namespace": "ml"}}
    monkeypatch.setattr(Kubectl, "items", lambda _, resource, *__: [one] if "finetunejobs" in resource else [])
    assert "no operator runs" in CliRunner().invoke(main, ["list"]).output
