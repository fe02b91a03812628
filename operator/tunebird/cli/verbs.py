"""What a person may say to a running object: annotations, so that Git stays the owner of `spec`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from tunebird.cli.kubectl import KINDS, Kubectl, Object, resolve
from tunebird.kube.meta import GROUP

ROLLOUT_VERBS = {
    "promote": "Go on from a pause; with a rollout that waits for you.",
    "abort": "Take the canary back now.",
    "pause": "Hold the rollout at its present weight.",
    "resume": "Go on after `tunebird pause`.",
    "skip-step": "End the current step without its evidence; the next one starts.",
}

UNANSWERED = "was written, but the operator has not answered yet: does it run? See `tunebird status`"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the operator has for its answer: `tries` looks, `seconds` apart."""

    tries: int = 20
    seconds: float = 0.5
    sleep: Callable[[float], None] = time.sleep


def commands() -> Iterator[click.Command]:
    """One command for each verb."""
    for verb, text in ROLLOUT_VERBS.items():
        yield _command(verb, text)
    yield _command("retry", "Try again: a failed FineTuneJob, or a ModelRollout that was rolled back.")


def _command(verb: str, text: str) -> click.Command:
    @click.command(verb, help=text)
    @click.argument("name")
    @click.pass_obj
    def run(kubectl: Kubectl, name: str) -> None:
        kind, seen = resolve(kubectl, name)
        if kind == "finetunejob" and verb != "retry":
            raise click.ClickException(f"{verb} is for a ModelRollout; a FineTuneJob knows `retry` and spec.suspend")
        value = verb_value(kind, seen)
        target = f"{KINDS[kind]}/{seen['metadata']['name']}"
        kubectl.run("annotate", "--overwrite", target, f"{GROUP}/{verb}={value}")
        refusal = answered(lambda: kubectl.get(kind, seen["metadata"]["name"]), verb, value)
        if refusal:
            raise click.ClickException(f"{verb} was ignored: {refusal}")
        if refusal is None:
            raise click.ClickException(f"{verb} {UNANSWERED}")
        click.echo(f"{seen['metadata']['name']}: {verb} was obeyed ({value})")

    return run


def answered(read: Callable[[], Object | None], verb: str, value: str, patience: Patience | None = None) -> str | None:
    """What the operator said: empty when it obeyed, else why not; None when it said nothing in time."""
    patience = patience or Patience()
    for _ in range(patience.tries):
        consumed = ((read() or {}).get("status") or {}).get("consumedVerbs", ())
        found = next((item for item in consumed if (item["verb"], item["value"]) == (verb, value)), None)
        if found is not None:
            return str(found.get("refusal", ""))
        patience.sleep(patience.seconds)
    return None


def verb_value(kind: str, seen: Object) -> str:
    """What the annotation says: the attempt to start, or the rollout and step that the user saw.

    The last part makes each call a new one: the same verb may be given twice in a step (pause, resume, pause).
    """
    status: dict[str, Any] = dict(seen.get("status", {}))
    if kind == "finetunejob":
        attempts = [entry["number"] for entry in status.get("attempts", [])]
        return str(max(attempts, default=0) + 1)
    number = status.get("rollout", {}).get("number")
    if number is None:
        raise click.ClickException(f"{seen['metadata']['name']} has not started a rollout yet: see `tunebird status`")
    return f"{number}/{status.get('step', {}).get('index', 0)}/{secrets.token_hex(3)}"
