"""The cluster as the command line sees it: through kubectl, which knows every way to log in."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from tunebird.cli import programs

Object = Mapping[str, Any]
KINDS = {"finetunejob": "finetunejobs.tunebird.dev", "modelrollout": "modelrollouts.tunebird.dev"}
SHORT = {"ftj": "finetunejob", "mro": "modelrollout", "finetunejobs": "finetunejob", "modelrollouts": "modelrollout"}


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with the user's choice of cluster. `namespace` empty means the context's own."""

    namespace: str = ""
    context: str = ""
    kubeconfig: str = ""

    def argv(self, *arguments: str) -> list[str]:
        """The whole command line of a kubectl call."""
        program = programs.find("kubectl", "install it (https://kubernetes.io/docs/tasks/tools/) and put it on PATH")
        options = {"--namespace": self.namespace, "--context": self.context, "--kubeconfig": self.kubeconfig}
        given = [f"{name}={value}" for name, value in options.items() if value]
        return [program, *given, *arguments]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Its output; raises click.ClickException with kubectl's own message."""
        done = subprocess.run(self.argv(*arguments), input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise click.ClickException(_said(done.stderr) or f"kubectl {' '.join(arguments)} failed")
        return done.stdout

    def get(self, kind: str, name: str) -> Object | None:
        """The object, or None where there is none."""
        text = self.run("get", KINDS[kind], name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else None

    def items(self, resource: str, *options: str) -> list[Object]:
        """All objects of a resource that the options select."""
        return list(json.loads(self.run("get", resource, "-o", "json", *options))["items"])


def _said(stderr: str) -> str:
    """What kubectl wants to say, without its log lines; a server that can't be reached gets a remedy."""
    lines = [line for line in stderr.strip().splitlines() if not re.match(r"[EWI][0-9]{4} ", line)]
    text = "\n".join(lines)
    if "was refused" in text or "Unable to connect" in text:
        text += "\nIs KUBECONFIG set to a cluster that runs? `tunebird dev status` tells of the local one."
    return text


def resolve(kubectl: Kubectl, name: str) -> tuple[str, Object]:
    """The kind and the object that a user means by `NAME`, `ftj/NAME` or `mro/NAME`.

    Raises:
        click.ClickException: there is none of that name, or one of each kind.
    """
    prefix, _, rest = name.rpartition("/")
    kinds = (_kind(prefix),) if prefix else tuple(KINDS)
    found = [(kind, seen) for kind in kinds if (seen := kubectl.get(kind, rest)) is not None]
    if len(found) > 1:
        raise click.ClickException(f"{rest} is a FineTuneJob and a ModelRollout: say ftj/{rest} or mro/{rest}")
    if not found:
        where = kubectl.namespace or "the current namespace"
        raise click.ClickException(
            f"no {' or '.join(kinds)} named {rest} in {where}: `tunebird list` shows what is there"
        )
    return found[0]


def _kind(prefix: str) -> str:
    kind = SHORT.get(prefix.lower(), prefix.lower())
    if kind not in KINDS:
        raise click.ClickException(f"unknown kind {prefix}: use ftj (FineTuneJob) or mro (ModelRollout)")
    return kind
