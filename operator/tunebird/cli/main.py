"""`tunebird` and `kubectl tunebird`: what every command shares, and the list of them."""

from __future__ import annotations

import signal
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


@click.group(cls=Interruptible, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tunebird")
@click.option("-n", "--namespace", default="", help="Namespace; the context's own when left out.")
@click.option("--context", "context_name", default="", help="Context of the kubeconfig.")
@click.option("--kubeconfig", default="", help="Path of the kubeconfig.")
@click.pass_context
def main(context: click.Context, namespace: str, context_name: str, kubeconfig: str) -> None:
    """Fine-tune a language model and bring it to production on Kubernetes."""
    context.obj = Kubectl(namespace, context_name, kubeconfig)


main.add_command(dev.dev)
main.add_command(demo.demo)
main.add_command(show.status)
main.add_command(show.list_)
main.add_command(explain.explain)
main.add_command(show.logs)
main.add_command(waiting.wait)
main.add_command(files.plan)
main.add_command(files.lint)
for verb in verbs.commands():
    main.add_command(verb)


if __name__ == "__main__":
    main()
