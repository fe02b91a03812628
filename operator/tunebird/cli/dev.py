"""`tunebird dev`: a cluster on this machine, without Docker."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import yaml

from tunebird.cli import kubeconfig, local, programs
from tunebird.cli.story.load import RATE, Load, Sample, Target

# What `dev logs` calls them → the program that writes the log.
PROGRAMS = {"operator": "operator", "devplane": "devplane", "gateway": "traefik", "traefik": "traefik"}


@click.group()
def dev() -> None:
    """A cluster on this machine: control plane, gateway and operator, all on loopback."""


def _home(context: click.Context, _parameter: click.Parameter, value: str | None) -> Path:
    return Path(value).resolve() if value else local.default_home()


home_option = click.option(
    "--home", callback=_home, help="Folder of the cluster's state [default: $TUNEBIRD_HOME or ~/.tunebird]."
)


def _images(_context: click.Context, parameter: click.Parameter, value: Path | None) -> tuple[dict[str, Any], ...]:
    """A user's image table; devplane checks its entries."""
    try:
        table = yaml.safe_load(value.read_text()) if value else {"images": []}
    except OSError as error:
        raise click.BadParameter(f"{value}: {error.strerror}; give the path of a YAML file", param=parameter) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = f"it is not YAML: {' '.join(str(error).split())}"
        raise click.BadParameter(f"{value}: {why} (docs/devplane.md shows one)", param=parameter) from error
    entries = table.get("images") if isinstance(table, dict) else None
    if not isinstance(entries, list):
        raise click.BadParameter(f"{value}: holds no list `images` (docs/devplane.md shows one)", param=parameter)
    return tuple(entries)


@dev.command()
@home_option
@click.option("--nodes", default=1, show_default=True, type=click.IntRange(1, 100), help="How many nodes there are.")
@click.option(
    "--gpus",
    default=0,
    show_default=True,
    type=click.IntRange(0, 1024),
    help="Declared (fake) nvidia.com/gpu devices of each node.",
)
@click.option("--env", "environment", multiple=True, metavar="K=V", help="Environment of every container.")
@click.option("--images", type=click.Path(path_type=Path), callback=_images, help="YAML table of further images.")
@click.option(
    "--merge-kubeconfig",
    is_flag=True,
    help=f"Add the context {kubeconfig.CONTEXT} to your own kubeconfig until `down`.",
)
def up(
    home: Path,
    nodes: int,
    gpus: int,
    environment: tuple[str, ...],
    images: tuple[dict[str, Any], ...],
    merge_kubeconfig: bool,
) -> None:
    """Start the local cluster, or those of its programs that ended; what was stored in its folder is still there."""
    for entry in environment:
        if "=" not in entry:
            raise click.BadParameter(f"{entry}: write it as NAME=VALUE", param_hint="--env")
    pairs = dict(entry.split("=", 1) for entry in environment)
    options = local.Options(home, gpus, pairs, nodes=nodes, merge_kubeconfig=merge_kubeconfig, images=images)
    _tell(local.up(options, say=click.echo), is_merged=merge_kubeconfig)


def _tell(running: local.Local, *, is_merged: bool) -> None:
    use = (
        f"kubectl --context {kubeconfig.CONTEXT} get nodes" if is_merged else f"export KUBECONFIG={running.kubeconfig}"
    )
    click.echo(f"\n{use}")
    click.echo(f"# routes of the Gateway default/public are served at {running.gateway}")


@dev.command()
@home_option
def down(home: Path) -> None:
    """Stop everything; what was stored stays for the next `up`."""
    ended = local.down(home)
    click.echo(f"stopped {', '.join(ended)}" if ended else f"nothing is running in {home}")


@dev.command()
@home_option
@click.option("--yes", is_flag=True, help="Don't ask.")
def reset(home: Path, yes: bool) -> None:
    """Stop, forget all objects, volumes and models, and start again with the options of the last `up`."""
    options = local.last_options(home)
    if options is None:
        raise click.ClickException(f"no cluster was ever up in {home}: `tunebird dev up` starts one")
    if not yes:
        click.confirm(f"Delete everything that the cluster in {home} stored, trained models too?", abort=True)
    _tell(local.reset(options, say=click.echo), is_merged=options.merge_kubeconfig)


def _nothing(home: Path) -> str:
    """Which sentence and which command help somebody whose cluster does not run, or not all of it."""
    command = "tunebird dev up" + ("" if home == local.default_home() else f" --home {home}")
    gone = " and ".join(local.ended(home))
    if gone:
        return f"{gone} ended: `{command}` starts {gone} again and leaves what runs alone"
    return f"no cluster is up in {home}: `{command}` starts one"


@dev.command("status")
@home_option
@click.pass_context
def status_(context: click.Context, home: Path) -> None:
    """Which programs run; exit code 1 when one of them does not."""
    for program in programs.recall(home):
        state = f"running, pid {program.pid}" if program.alive() else "not running"
        click.echo(f"{program.name:<10} {state:<22} {program.log}")
    reached = local.read(home, "devplane")
    if reached is not None:
        click.echo(f"gateway    {reached.gateway}")
        click.echo(f"export KUBECONFIG={reached.kubeconfig}")
    if local.read(home) is None:
        click.echo(_nothing(home))
        context.exit(1)


@dev.command("load")
@home_option
@click.option("--host", required=True, help="One of the rollout's hostnames.")
@click.option("--model", required=True, help="Name that the model is served under: the rollout's.")
@click.option("--rate", default=5.0, show_default=True, type=RATE, help="Requests a second, every second one streamed.")
@click.option(
    "--seconds", default=120.0, show_default=True, type=click.FloatRange(0), help="How long; Ctrl-C ends it earlier."
)
def load_(home: Path, host: str, model: str, rate: float, seconds: float) -> None:
    """Send chat requests through the local gateway, and count the answers of each version."""
    running = local.read(home, "traefik")
    if running is None:
        raise click.ClickException(_nothing(home))
    with Load(Target(running.gateway, model, host), rate) as load, suppress(KeyboardInterrupt):
        while load.now() < seconds:
            time.sleep(min(10.0, max(0.0, seconds - load.now())))
            click.echo(f"{load.now():4.0f} s  {_answers(load.samples)}")
    click.echo(f"total   {_answers(load.samples)}")


def _answers(samples: list[Sample]) -> str:
    """How many answers each version gave: ``f864aa5766 120 (2 failed: 503 overloaded)``."""
    every = Counter(sample.version or "no version" for sample in samples)
    return ", ".join(f"{name} {count}{_failures(name, samples)}" for name, count in every.items()) or "no answer yet"


def _failures(name: str, samples: list[Sample]) -> str:
    """How many of a version's failed, and what was said most often."""
    failed = Counter(_said(sample) for sample in samples if sample.failed and (sample.version or "no version") == name)
    return f" ({failed.total()} failed: {failed.most_common(1)[0][0]})" if failed else ""


def _said(sample: Sample) -> str:
    said = " ".join(sample.error.split())[:100] or ("the stream was cut" if sample.cut else "")
    hint = "; no route for this host (yet)" if sample.status == 404 and not sample.version else ""
    return f"{sample.status} {said.removeprefix(f'{sample.status} ')}".removeprefix("0 ").strip() + hint


@dev.command("logs")
@home_option
@click.argument("program", type=click.Choice(list(PROGRAMS)), default="operator")
@click.option("--lines", default=100, show_default=True, type=click.IntRange(1), help="How many of its last lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged from now on; Ctrl-C ends it.")
def logs_(home: Path, program: str, lines: int, follow: bool) -> None:
    """The end of a program's log: the operator's, the control plane's own, or the gateway's."""
    log = home / f"{PROGRAMS[program]}.log"
    if not log.exists():
        raise click.ClickException(f"{log} does not exist: `tunebird dev up` starts {program}")
    if not follow:
        click.echo(programs.tail(str(log), lines))
        return
    with suppress(KeyboardInterrupt):
        for line in programs.follow(log, lines):
            click.echo(line, nl=False)
