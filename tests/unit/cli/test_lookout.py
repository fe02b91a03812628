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


@pytest.mark.parametrize("command", ["status", "explain"])
def test_status_and_explain_tell_of_a_dead_operator(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (show, explain):
        monkeypatch.setattr(module, "resolve", lambda *_: ("finetunejob", GOING_ON))
    monkeypatch.setattr(Kubectl, "items", lambda *_: [])
    assert "no operator runs" in CliRunner().invoke(main, [command, "bot"]).output
