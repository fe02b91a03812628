"""`tunebird wait` ends as soon as the object has, and says how."""

from typing import Any

import pytest

from tunebird.cli.waiting import FAILED, NEEDS_SOMEBODY, SUCCEEDED, judge


def an_object(phase: str, *, generation: int = 2, observed: int = 2, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "bot", "generation": generation},
        "status": {"phase": phase, "observedGeneration": observed, **status},
    }


@pytest.mark.parametrize(
    ("kind", "phase", "code"),
    [
        ("finetunejob", "Succeeded", SUCCEEDED),
        ("finetunejob", "Failed", FAILED),
        ("finetunejob", "Suspended", NEEDS_SOMEBODY),
        ("modelrollout", "Healthy", SUCCEEDED),
        ("modelrollout", "RolledBack", FAILED),
        ("modelrollout", "Degraded", FAILED),
        ("modelrollout", "Paused", NEEDS_SOMEBODY),
    ],
)
def test_an_ended_object_ends_the_wait_with_its_code(kind: str, phase: str, code: int) -> None:
    outcome = judge(kind, an_object(phase))
    assert outcome is not None
    assert outcome.code == code


@pytest.mark.parametrize("phase", ["Pending", "Running", "Progressing", "Initializing"])
def test_an_object_at_work_is_waited_for(phase: str) -> None:
    assert judge("finetunejob", an_object(phase)) is None
    assert judge("modelrollout", an_object(phase)) is None


def test_a_verdict_on_an_older_generation_does_not_count() -> None:
    assert judge("modelrollout", an_object("Healthy", generation=3)) is None


def test_a_spec_that_does_not_validate_fails_at_once_with_its_message() -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "spec.x: wrong"}
    outcome = judge("finetunejob", an_object("Pending", conditions=[stalled]))
    assert outcome is not None
    assert (outcome.code, "spec.x: wrong" in outcome.text) == (FAILED, True)


def test_a_paused_rollout_needs_somebody_even_when_it_stalled() -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "DeadlineExceeded", "message": "step 2 took too long"}
    outcome = judge("modelrollout", an_object("Paused", conditions=[stalled]))
    assert outcome is not None
    assert outcome.code == NEEDS_SOMEBODY
