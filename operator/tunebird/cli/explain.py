"""`tunebird explain NAME`: why an object waits or how it ended, in the words of its status and its last warnings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import click
import yaml

from tunebird.cli.kubectl import Kubectl, Object, resolve
from tunebird.cli.lookout import silence, unseen
from tunebird.cli.show import complaints, needs_operator
from tunebird.cli.waiting import NEEDS_SOMEBODY, judge, sentence

WARNINGS = 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is, what it waits for (empty when it has ended), what stands in the way, and what was warned of last."""

    name: str
    phase: str
    message: str
    waiting_for: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        yield f"{self.name}: {self.phase}. {self.message}".strip()
        if self.waiting_for:
            yield f"waits for: {self.waiting_for}"
        yield from (f"because: {reason}" for reason in self.reasons)
        yield from (f"warning: {warning}" for warning in self.warnings)

    def document(self) -> dict[str, object]:
        """With the API's spelling of names."""
        fields = asdict(self)
        return {"waitingFor" if name == "waiting_for" else name: value for name, value in fields.items()}


@click.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True)
@click.pass_obj
def explain(kubectl: Kubectl, name: str, output: str) -> None:
    """Why a job or rollout waits, or how it ended."""
    kind, seen = resolve(kubectl, name)
    about = f"--field-selector=involvedObject.uid={seen['metadata']['uid']},type=Warning"
    silent = silence(kubectl) if needs_operator(kind, seen) else ""
    explained = explanation(kind, seen, kubectl.items("events", about), silent)
    if output == "text":
        for line in explained.lines():
            click.echo(line)
    elif output == "json":
        click.echo(json.dumps(explained.document(), indent=2))
    else:
        click.echo(yaml.safe_dump(json.loads(json.dumps(explained.document())), sort_keys=False), nl=False)


def explanation(kind: str, seen: Object, events: Iterable[Object], silent: str = "") -> Explanation:
    """Pure: what the object, the events about it and the operator's silence tell."""
    status, message = seen.get("status", {}), sentence(seen)
    return Explanation(
        name=seen["metadata"]["name"],
        phase=str(status.get("phase", "Pending")),
        message=message,
        waiting_for=_waiting_for(kind, seen),
        reasons=tuple(reason for reason in (silent, *complaints(status, frozenset({message}))) if reason),
        warnings=tuple(_told(event) for event in sorted(events, key=_when)[-WARNINGS:]),
    )


def _waiting_for(kind: str, seen: Object) -> str:
    status = seen.get("status", {})
    if waits := unseen(seen):
        return waits
    outcome = judge(kind, seen)
    if outcome is not None and outcome.code != NEEDS_SOMEBODY:
        return ""
    step = status.get("step") or {}
    if step.get("waitingFor"):
        return f"{step['waitingFor']} (step {step['index']} of {step['of']})"
    return "" if outcome is None else "a person"


def _when(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", ""))


def _told(event: Object) -> str:
    count = int(event.get("count") or 1)
    often = f" ({count} times)" if count > 1 else ""
    return f"{event['reason']}{often}: {event.get('message', '')}"
