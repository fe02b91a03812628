"""`tunebird explain` says why an object waits; Ctrl-C ends any command quietly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from tunebird.cli import explain, lookout, waiting
from tunebird.cli.kubectl import Kubectl
from tunebird.cli.main import main

Object = dict[str, Any]
STEP = {"index": 1, "of": 4, "waitingFor": "errors: ZeroTraffic"}


def rollout(phase: str, **status: Any) -> Object:
    metadata = {"name": "chat", "uid": "u", "generation": 2}
    return {"kind": "ModelRollout", "metadata": metadata, "status": {"phase": phase, "observedGeneration": 2, **status}}


def told(reason: str, message: str, at: str, count: int = 1) -> Object:
    return {"metadata": {}, "reason": reason, "message": message, "lastTimestamp": at, "count": count}


def test_a_rollout_that_waits_says_for_what_at_which_step_and_what_was_warned_of() -> None:
    traffic = {"type": "TrafficAccepted", "status": "False", "reason": "NotAccepted", "message": "no controller"}
    seen = rollout("Progressing", message="Rollout 2, step 1/4 bake 15s", step=STEP, conditions=[traffic])
    events = [told("Later", "b", "2026-01-02T00:00:00Z", 3), told("First", "a", "2026-01-01T00:00:00Z")]
    assert [*explain.explanation("modelrollout", seen, events).lines()] == [
        "chat: Progressing. Rollout 2, step 1/4 bake 15s",
        "waits for: errors: ZeroTraffic (step 1 of 4)",
        "because: TrafficAccepted=False NotAccepted: no controller",
        "warning: First: a",
        "warning: Later (3 times): b",
    ]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (rollout("Healthy", step=STEP), ""),
        (rollout("RolledBack"), ""),
        (rollout("Paused"), "a person"),
        (rollout("Healthy", observedGeneration=1), lookout.NOBODY),
    ],
)
def test_what_it_waits_for_is_empty_once_it_has_ended(seen: Object, said: str) -> None:
    assert explain.explanation("modelrollout", seen, []).waiting_for == said


def test_scripts_get_it_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "resolve", lambda *_: ("modelrollout", rollout("Paused", step=STEP)))
    monkeypatch.setattr(Kubectl, "items", lambda *_: [])
    done = CliRunner().invoke(main, ["explain", "chat", "-o", "json"])
    assert json.loads(done.output)["waitingFor"] == "errors: ZeroTraffic (step 1 of 4)"


def test_ctrl_c_ends_a_command_with_one_line_and_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting, "resolve", interrupted)
    done = CliRunner().invoke(main, ["wait", "chat"])
    assert (done.exit_code, done.output.strip()) == (130, "interrupted")
