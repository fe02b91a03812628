"""`tunebird` and `kubectl tunebird`: what every command shares, and the list of them."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any, NoReturn

import click

from tunebird import __version__
from tunebird.cli import demo, dev, explain, files, show, verbs, waiting
from tunebird.cli.kubectl import Kubectl

# What shells say of a program that Ctrl-C ended.
INTERRUPTED = 128 + signal.SIGINT


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


class Interruptible(click.Group):
    """Ctrl-C ends a command with one line and its own exit code; SIGTERM too leaves the terminal as it was."""

    def invoke(self, context: click.Context) -> Any:
        previous = signal.signal(signal.SIGTERM, _terminated)
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            click.echo("\ninterrupted", err=True)
            context.exit(INTERRUPTED)
        finally:
            signal.signal(signal.SIGTERM, previous)


def _narrow(context: click.Context, option: click.Parameter, value: str) -> str:
    """Which cluster, said after the command instead of before it."""
    if value and isinstance(context.obj, Kubectl):
        context.obj = replace(context.obj, **{str(option.name): value})
    return value


def _options(**common: Any) -> list[click.Option]:
    return [
        click.Option(("-n", "--namespace"), default="", help="Namespace; the context's own when left out.", **common),
        click.Option(("--context",), default="", help="Context of the kubeconfig.", **common),
        click.Option(("--kubeconfig",), default="", help="Path of the kubeconfig.", **common),
    ]


@click.group(cls=Interruptible, context_settings={"help_option_names": ["-h", "--help"]}, params=_options())
@click.version_option(__version__, prog_name="tunebird")
@click.pass_context
def main(context_: click.Context, namespace: str, context: str, kubeconfig: str) -> None:
    """Fine-tune a language model and bring it to production on Kubernetes."""
    context_.obj = Kubectl(namespace, context, kubeconfig)


main.add_command(dev.dev)
main.add_command(demo.demo)
main.add_command(files.plan)
main.add_command(files.lint)
for of_cluster in (show.status, show.list_, explain.explain, show.logs, waiting.wait, *verbs.commands()):
    of_cluster.params.extend(_options(expose_value=False, callback=_narrow))
    main.add_command(of_cluster)


if __name__ == "__main__":
    main()
