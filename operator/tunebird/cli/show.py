"""`tunebird status`, `list` and `logs`: one object as a tree that follows it, all objects as a table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tunebird.cli.kubectl import KINDS, Kubectl, Object, resolve
from tunebird.cli.lookout import Lookout, silence, unseen
from tunebird.cli.waiting import judge
from tunebird.kube.meta import FINETUNEJOB, MODELROLLOUT

UNBROKEN = 10_000
GOOD, BAD, BUSY = "green", "red", "yellow"
COLOURS = {"Succeeded": GOOD, "Healthy": GOOD, "Failed": BAD, "RolledBack": BAD, "Degraded": BAD, "RollingBack": BAD}


@click.command()
@click.argument("name")
@click.option("--watch", "-w", is_flag=True, help="Follow it until it has ended or Ctrl-C.")
@click.pass_obj
def status(kubectl: Kubectl, name: str, watch: bool) -> None:
    """A job or rollout at a glance: where it is, what it waits for, and why."""
    kind, seen = resolve(kubectl, name)
    console = _console()
    if not watch or judge(kind, seen) is not None:
        console.print(_present(Lookout(kubectl), kind, seen))
        return
    try:
        _follow(console, kubectl, kind, seen)
    finally:
        if not console.is_terminal:
            console.line()  # which Live leaves out there


def _follow(console: Console, kubectl: Kubectl, kind: str, seen: Object) -> None:
    lookout = Lookout(kubectl)
    with Live(_present(lookout, kind, seen), console=console, auto_refresh=False) as live:
        while judge(kind, seen) is None:
            time.sleep(1)
            kind, seen = resolve(kubectl, f"{kind}/{seen['metadata']['name']}")
            live.update(_present(lookout, kind, seen), refresh=True)


def _console() -> Console:
    """A terminal's own width; elsewhere lines stay whole, so that a path can be searched for and copied."""
    console = Console()
    return console if console.is_terminal else Console(width=UNBROKEN)


def _present(lookout: Lookout, kind: str, seen: Object) -> Tree:
    """The tree; of an object that is to go on, also what the operator has not seen yet and whether it is there."""
    shown = tree(kind, seen)
    if waits := unseen(seen):
        shown.add(f"waits for {waits}")
    if needs_operator(kind, seen) and (silent := lookout.silence()):
        shown.add(Text(silent, style=BAD))
    return shown


def needs_operator(kind: str, seen: Object) -> bool:
    """A rollout always does: for its route and its servers, and to tell of them. A job does until it has ended."""
    return kind == "modelrollout" or bool(unseen(seen)) or judge(kind, seen) is None


@click.command("list")
@click.option("-A", "--all-namespaces", is_flag=True)
@click.pass_obj
def list_(kubectl: Kubectl, all_namespaces: bool) -> None:
    """All jobs and rollouts."""
    options = ["--all-namespaces"] if all_namespaces else []
    table = Table("KIND", "NAMESPACE", "NAME", "PHASE", "MESSAGE", box=None)
    needed = False
    for kind, resource in KINDS.items():
        for seen in kubectl.items(resource, *options):
            meta, state = seen["metadata"], seen.get("status", {})
            table.add_row(kind, meta["namespace"], meta["name"], _phase(state), str(state.get("message", "")))
            needed = needed or needs_operator(kind, seen)
    Console().print(table)
    if needed and (silent := silence(kubectl)):
        click.echo(silent, err=True)


@click.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Stream new lines.")
@click.option("--tail", default=-1, help="Last lines only [default: all].")
@click.pass_obj
def logs(kubectl: Kubectl, name: str, follow: bool, tail: int) -> None:
    """Logs of a job's newest attempt, or of all of a rollout's servers."""
    kind, seen = resolve(kubectl, name)
    label = FINETUNEJOB if kind == "finetunejob" else MODELROLLOUT
    selector = f"{label}={seen['metadata']['name']}"
    pods = kubectl.items("pods", f"--selector={selector}", "--sort-by=.metadata.creationTimestamp")
    if not pods:
        raise click.ClickException(f"{seen['metadata']['name']} has no pods (yet): `tunebird status {name}` says why")
    if kind == "finetunejob":
        target = [f"pod/{pods[-1]['metadata']['name']}"]
    else:
        target = [f"--selector={selector}", "--prefix", f"--max-log-requests={max(5, len(pods))}"]
    argv = kubectl.argv("logs", *target, f"--tail={tail}", *(["--follow"] if follow else []))
    os.execv(argv[0], argv)  # noqa: S606 (kubectl itself streams, and gets Ctrl-C)


def _phase(state: Object) -> Text:
    phase = str(state.get("phase", "Pending"))
    return Text(phase, style=COLOURS.get(phase, BUSY))


def tree(kind: str, seen: Object) -> Tree:
    """The object as a tree of short lines."""
    state = seen.get("status", {})
    head = Text.assemble((seen["metadata"]["name"], "bold"), f"  {seen['kind']}  ", _phase(state))
    root = Tree(head)
    for line in _job_lines(state) if kind == "finetunejob" else _rollout_lines(state):
        root.add(line)
    if state.get("phase") not in ("Succeeded", "Healthy") and (waiting := [*complaints(state, _told(state))]):
        branch = root.add("why")
        for line in waiting:
            branch.add(line)
    return root


def _told(state: Object) -> frozenset[str]:
    """Messages that the lines above say already: a rollout's, and those of a job's attempts."""
    said = (str(one["message"]) for one in (state, *state.get("attempts", [])) if one.get("message"))
    return frozenset(said)


def _job_lines(state: Object) -> Iterator[str]:
    plan, progress, artifact = state.get("plan", {}), state.get("progress", {}), state.get("artifact", {})
    if plan:
        yield f"plan      {plan.get('summary', plan.get('tuning', ''))}"
    if progress.get("of"):
        yield f"progress  {_bar(progress.get('step', 0), progress['of'])}{_figures(progress)}"
    for attempt in state.get("attempts", []):
        now = attempt.get("reason") or state.get("phase", "Pending")
        yield _words(f"attempt {attempt['number']}", now, attempt.get("message"))
    for metric in state.get("evaluation", []):
        yield _metric(metric)
    if artifact:
        yield _words("artifact", artifact.get("uri"), artifact.get("digest", "")[:19], artifact.get("gatesReason"))


def _metric(found: Object) -> str:
    passed = found.get("passed")
    verdict = "" if passed is None else ("passed" if passed else "failed")
    interval = f"({found.get('low', '')} to {found.get('high', '')})"
    limit = f"{found.get('bound', 'limit')} {found['limit']}" if found.get("limit") else ""
    return _words(f"gate      {found['metric']}", verdict, found.get("value"), interval, limit)


def _words(*parts: object) -> str:
    return "  ".join(str(part) for part in parts if part)


def _figures(progress: Object) -> str:
    names = {"loss": "loss", "evalLoss": "eval loss", "tokensPerSecond": "tokens/s", "etaSeconds": "s left"}
    shown = [f"{label} {progress[name]}" for name, label in names.items() if progress.get(name) not in (None, "")]
    return "  ".join(["", *shown])


def _bar(step: int, of: int, width: int = 24) -> str:
    filled = round(width * step / of) if of else 0
    return f"\\[{'#' * filled}{'.' * (width - filled)}] {step}/{of}"


def _rollout_lines(state: Object) -> Iterator[str]:
    if state.get("message"):
        yield str(state["message"])
    for role in ("stable", "canary"):
        arm = state.get(role) or {}
        if arm.get("revision"):
            yield _words(
                f"{role:<7}", arm["revision"], f"weight {arm.get('weight', 0)}", f"ready {arm.get('readyReplicas', 0)}"
            )
    step = state.get("step") or {}
    if step:
        place = f"step    {step.get('index', 0)}/{step.get('of', '?')}"
        yield _words(place, step.get("kind"), step.get("waitingFor"))
    for sli in state.get("analysis", []):
        yield _words(f"SLI     {sli['name']}", sli.get("verdict"), sli.get("reason"), sli.get("message"))


def complaints(state: Object, told: frozenset[str] = frozenset()) -> Iterator[str]:
    """Conditions that say why it does not go on: those that say the same in one line, without what was `told`."""
    same: dict[tuple[str, str], list[str]] = {}
    for one in filter(_complains, state.get("conditions", [])):
        same.setdefault((one.get("reason", ""), one.get("message", "")), []).append(f"{one['type']}={one['status']}")
    for (reason, message), types in same.items():
        yield f"{', '.join(types)} {reason}" + (f": {message}" if message and message not in told else "")


def _complains(condition: Object) -> bool:
    bad_when_true = ("Stalled", "Failed", "RouteShadowed")
    bad_when_false = ("DataReady", "Planned", "PodsReady", "Ready", "TrafficAccepted", "AnalysisPassing")
    kind, value = condition["type"], condition["status"]
    has_ended = (kind, condition.get("reason")) == ("PodsReady", "Finished")
    return not has_ended and (
        (kind in bad_when_true and value == "True") or (kind in bad_when_false and value == "False")
    )
