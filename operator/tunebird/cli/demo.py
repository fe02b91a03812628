"""`tunebird demo`: the whole story on this machine, from a data set to a rolled-back canary."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tunebird.cli import local
from tunebird.cli.kubectl import Object
from tunebird.cli.story import picture, play
from tunebird.cli.story.load import RATE, Load, Sample, Target
from tunebird.cli.waiting import judge

CHAT_HOST = "chat.example.com"


@click.command()
@click.option("--home", default=None, help="Folder of its state [default: .tunebird/demo in the clone].")
@click.option("--rate", default=8.0, show_default=True, type=RATE, help="Chat requests a second during the rollouts.")
@click.option("--keep", is_flag=True, help="Leave the cluster running at the end, to look around.")
@click.option("--small", is_flag=True, help="Without SmolLM2: only the tiny models (a minute less).")
def demo(home: str | None, rate: float, keep: bool, small: bool) -> None:
    """Train, serve, roll out a good version and a bad one: with real kubectl, a real gateway and real models."""
    console = Console(soft_wrap=True)
    root = play.project_root()
    folder = Path(home).resolve() if home else root / ".tunebird" / "demo"
    started = time.monotonic()
    with cluster(folder, root, console, keep=keep) as stage:
        with play.Events(stage) as events:
            train(stage, console, small=small)
            samples = roll_out(stage, console, events, rate)
        tell(stage, console, samples, events, time.monotonic() - started)
        if keep or console.is_terminal:
            look_around(stage, console)
        else:
            console.print("\n`tunebird demo --keep` leaves the cluster running, to look around", highlight=False)
        if not keep and console.is_terminal:
            click.pause("Press a key to stop the cluster and end …")


@contextmanager
def cluster(folder: Path, root: Path, console: Console, *, keep: bool) -> Iterator[play.Stage]:
    """A fresh local cluster in `folder`, stopped at the end; an interrupt stops it in spite of `keep`."""
    local.down(folder)
    shutil.rmtree(folder / "devplane", ignore_errors=True)
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    stays = False
    try:
        running = local.up(local.Options(folder, environment=environment), console.print)
        try:
            yield play.Stage(running, root / "examples", console.print)
        except Exception:
            stays = keep  # to see what went wrong
            raise
        stays = keep
    finally:
        if not stays:
            console.print(f"stopped {', '.join(local.down(folder)) or 'nothing'}")
        signal.signal(signal.SIGTERM, previous)


def train(stage: play.Stage, console: Console, *, small: bool) -> None:
    """Scene one: data, a base model, and the fine-tuning jobs."""
    console.rule("1. data and training")
    play.bring_data(stage)
    if not small:
        play.bring_smollm2(stage)
    jobs = ["21-tiny-v1.yaml", "22-tiny-v2.yaml"] + ([] if small else ["20-support-bot.yaml"])
    for name in jobs:
        stage.apply(name)
        job = name.removesuffix(".yaml").split("-", 1)[1]
        with _training(console, job) as show:
            play.follow(stage, "finetunejob", job, 420, show)
    stage.command("get", "finetunejobs")
    if not small:
        stage.apply("30-support.yaml")
        play.follow(stage, "modelrollout", "support", 120, lambda _: None)
        question = "How do I see why a pod is pending?"
        answer = play.asked(stage, "support.example.com", "support", question)
        console.print(f"  [bold]{question}[/]\n  SmolLM2, fine-tuned: {escape(answer)}")
        stage.command("delete", "modelrollout", "support")


@contextmanager
def _training(console: Console, name: str) -> Iterator[Callable[[Object], None]]:
    columns = (
        TextColumn("  {task.description:<12}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=False) as bar:
        task = bar.add_task(name, total=None, text="Pending")

        def show(seen: Object) -> None:
            state = seen.get("status", {})
            progress = state.get("progress", {})
            text = f"{state.get('phase', 'Pending')} {progress.get('step', 0)}/{progress.get('of', '?')}"
            loss = f" loss {progress['loss']}" if progress.get("loss") else ""
            now = f", {progress['activity']}" if progress.get("activity") and judge("finetunejob", seen) is None else ""
            bar.update(task, total=progress.get("of"), completed=progress.get("step", 0), text=text + loss + now)

        yield show


def roll_out(stage: play.Stage, console: Console, events: play.Events, rate: float) -> list[Sample]:
    """Scene two: first version, a good second one, a bad third one, all under one steady load."""
    console.rule("2. rollouts under load")
    stage.apply("41-chat-v1.yaml")
    play.follow(stage, "modelrollout", "chat", 120, lambda _: None)
    target = Target(stage.cluster.gateway, "chat", CHAT_HOST)
    with Load(target, rate) as load:
        events.load = load
        time.sleep(5)
        stage.apply("42-chat-v2.yaml")
        play.follow(stage, "modelrollout", "chat", 240, lambda _: None)
        stage.command("get", "modelrollouts")
        time.sleep(5)
        stage.apply("43-chat-v3.yaml")
        play.rolled_back(stage, "chat", 120)
        time.sleep(5)
    stage.command("get", "modelrollouts")
    return load.samples


def tell(stage: play.Stage, console: Console, samples: list[Sample], events: play.Events, seconds: float) -> None:
    """The end: a picture, the figures, and where to look next."""
    console.rule("3. what the clients saw")
    console.print(picture.terminal(samples, events.marks), highlight=False, markup=False)
    target = stage.cluster.home / "rollout.png"
    picture.png(samples, events.marks, target)
    console.print()
    for version in picture.versions(samples):
        own = [sample for sample in samples if sample.version == version]
        console.print(f"  {version}: {len(own)} requests, {sum(sample.failed for sample in own)} failed")
    unanswered = sum(not sample.version for sample in samples)
    console.print(f"  no answer from any version: {unanswered}")
    console.print(f"picture: {target}    took {seconds:.0f} s")


def look_around(stage: play.Stage, console: Console) -> None:
    """What to type next, in another terminal."""
    console.print(f"\nlook around:\n  export KUBECONFIG={stage.cluster.kubeconfig}", highlight=False)
    console.print(f"  export PATH={Path(sys.executable).parent}:$PATH", highlight=False)
    for line in ("kubectl get ftj,mro", "kubectl events --for modelrollout/chat", "tunebird status mro/chat"):
        console.print(f"  {line}", highlight=False)
