"""`tunebird status` shows what a person asks first."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from tunebird.cli import show
from tunebird.cli.kubectl import Kubectl
from tunebird.cli.main import main
from tunebird.cli.show import tree

LOST = "model pvc://models/nothing: /var/lib/a-long-path/" + "volumes/" * 20 + "nothing is no directory"
FAILED = {
    "phase": "Failed",
    "observedGeneration": 1,
    "attempts": [{"number": 1, "reason": "ModelNotFound", "message": LOST}],
    "conditions": [
        {"type": "PodsReady", "status": "False", "reason": "Finished", "message": "The job has finished"},
        *(
            {"type": kind, "status": "True", "reason": "ModelNotFound", "message": LOST}
            for kind in ("Failed", "Stalled")
        ),
    ],
}


def shown(status: dict[str, object]) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as captured:
        console.print(tree("finetunejob", {"kind": "FineTuneJob", "metadata": {"name": "bot"}, "status": status}))
    return captured.get()


def test_a_missed_gate_is_shown_with_its_interval_and_limit() -> None:
    gate = {"metric": "core.instructionSuccess", "value": "0.91", "low": "0.86", "high": "0.94", "passed": False}
    text = shown({"phase": "Failed", "evaluation": [{**gate, "bound": "minimum", "limit": "0.95"}]})
    assert "core.instructionSuccess  failed  0.91  (0.86 to 0.94)  minimum 0.95" in text


def test_a_metric_without_a_gate_has_no_verdict() -> None:
    text = shown(
        {"phase": "Succeeded", "evaluation": [{"metric": "core.latency", "value": "1", "low": "1", "high": "2"}]}
    )
    assert "core.latency  1  (1 to 2)" in text


def test_a_failure_is_told_once_with_all_that_it_means() -> None:
    text = " ".join(shown(FAILED).split())
    assert text.count("model pvc://models/nothing") == 1
    assert "Failed=True, Stalled=True ModelNotFound" in text
    assert "has finished" not in text


def test_an_attempt_that_has_no_pod_yet_is_not_called_running() -> None:
    text = shown({"phase": "Pending", "attempts": [{"number": 1}]})
    assert "attempt 1  Pending" in text


def job(status: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "finetunejob", {"kind": "FineTuneJob", "metadata": {"name": "bot", "generation": 1}, "status": status}


def test_watching_a_failed_job_ends_at_once_and_breaks_no_line_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "resolve", lambda *_: job(FAILED))
    done = CliRunner().invoke(main, ["status", "-w", "bot"])
    assert done.exit_code == 0
    assert LOST in done.output
    assert done.output.endswith("\n")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python leaves SIGINT ignored where a shell started it in the background, as CI may start the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_watch_that_is_ended_leaves_the_prompt_a_line_of_its_own(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([job({"phase": "Running", "observedGeneration": 1})])

    def resolve(*_: object) -> tuple[str, dict[str, Any]]:
        seen = next(looks, None)
        if seen is None:
            os.kill(os.getpid(), number)
        return seen or job({})

    monkeypatch.setattr(show, "resolve", resolve)
    monkeypatch.setattr(Kubectl, "items", lambda *_: [])
    before = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(main, ["status", "-w", "bot"])
    assert done.exit_code == code
    assert "Running" in done.output
    assert done.output.endswith("\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_progress_is_drawn_once_its_end_is_known() -> None:
    assert "progress" not in shown({"phase": "Preparing", "progress": {"heartbeatTime": "2026-01-01T00:00:00Z"}})
    assert "5/20  loss 1.5" in shown({"phase": "Running", "progress": {"step": 5, "of": 20, "loss": "1.5"}})
