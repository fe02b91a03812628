"""What a person may say to a running object: annotations, so that Git stays the owner of `spec`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
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
        click.echo(f"{seen['metadata']['name']}: {verb} {value}")

    return run


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
