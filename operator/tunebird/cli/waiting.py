"""`tunebird wait`: like `kubectl wait`, but a failure ends it at once and says why."""

from __future__ import annotations

import time
from dataclasses import dataclass

import click

from tunebird.cli.kubectl import Kubectl, Object, resolve

SUCCEEDED, FAILED, TIMED_OUT, NEEDS_SOMEBODY = 0, 1, 3, 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait ended: the exit code and one sentence."""

    code: int
    text: str


@click.command()
@click.argument("name")
@click.option("--timeout", default=86400.0, show_default=True, type=click.FloatRange(0), help="Seconds to wait.")
@click.pass_context
def wait(context: click.Context, name: str, timeout: float) -> None:
    """Wait until a job or rollout has ended.

    Exit codes: 0 succeeded (a rollout: healthy); 1 failed or rolled back, with the reason; 3 timeout;
    4 it waits for a person (paused, suspended).
    """
    kubectl: Kubectl = context.obj
    kind, seen = resolve(kubectl, name)
    deadline = time.monotonic() + timeout
    while (outcome := judge(kind, seen)) is None:
        if time.monotonic() > deadline:
            outcome = Outcome(TIMED_OUT, f"{name} is still {phase(seen)} after {timeout:.0f} s: {sentence(seen)}")
            break
        time.sleep(1)
        kind, seen = resolve(kubectl, f"{kind}/{seen['metadata']['name']}")
    click.echo(outcome.text, err=outcome.code != SUCCEEDED)
    context.exit(outcome.code)


def judge(kind: str, seen: Object) -> Outcome | None:
    """Whether the object has ended, as of its present generation."""
    status = seen.get("status", {})
    if status.get("observedGeneration") != seen["metadata"].get("generation"):
        return None
    name, now = seen["metadata"]["name"], phase(seen)
    text = f"{name}: {now}. {sentence(seen)}".strip()
    if kind == "finetunejob":
        codes = {"Succeeded": SUCCEEDED, "Failed": FAILED, "Suspended": NEEDS_SOMEBODY}
    else:
        codes = {"Healthy": SUCCEEDED, "RolledBack": FAILED, "Degraded": FAILED, "Paused": NEEDS_SOMEBODY}
    stalled = FAILED if _condition(seen, "Stalled").get("status") == "True" else None
    code = codes.get(now, stalled)
    return None if code is None else Outcome(code, text)


def phase(seen: Object) -> str:
    return str(seen.get("status", {}).get("phase", "Pending"))


def _condition(seen: Object, kind: str) -> Object:
    conditions = seen.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})


def sentence(seen: Object) -> str:
    """The sentence that explains the present phase best."""
    status = seen.get("status", {})
    if status.get("message"):
        return str(status["message"])
    for kind in ("Stalled", "Failed", "Succeeded", "PodsReady", "Planned"):
        condition = _condition(seen, kind)
        if condition.get("message") and condition.get("status") != "Unknown":
            return str(condition["message"])
    return ""
