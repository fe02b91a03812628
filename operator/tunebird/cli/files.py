"""`tunebird plan -f` and `tunebird lint -f`: what a manifest means, before anything is applied."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from tunebird.kube.meta import GROUP

file_option = click.option(
    "-f", "--filename", required=True, type=click.Path(exists=True, allow_dash=True), help="YAML file; - reads stdin."
)


def documents(filename: str) -> Iterator[dict[str, Any]]:
    """The objects of a manifest file; raises click.ClickException where it is not YAML."""
    text = sys.stdin.read() if filename == "-" else Path(filename).read_text()
    try:
        for document in yaml.safe_load_all(text):
            if isinstance(document, dict):
                yield document
    except yaml.YAMLError as error:
        raise click.ClickException(f"{filename} is not YAML: {error}") from error


def problems(document: dict[str, Any]) -> list[str]:
    """Everything that is wrong with one of our objects, each with its path."""
    from tunebird.api.finetunejob import FineTuneJob
    from tunebird.api.modelrollout import ModelRollout

    models: dict[str, type[FineTuneJob] | type[ModelRollout]] = {
        "FineTuneJob": FineTuneJob,
        "ModelRollout": ModelRollout,
    }
    model = models.get(document.get("kind", ""))
    if model is None:
        return [f"kind: {document.get('kind')!r} is not FineTuneJob or ModelRollout"]
    try:
        model.model_validate(document)
    except ValidationError as error:
        return [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
    return []


@click.command()
@file_option
@click.pass_context
def lint(context: click.Context, filename: str) -> None:
    """Check manifests without a cluster; exit code 1 when something is wrong."""
    wrong = 0
    for document in documents(filename):
        if not str(document.get("apiVersion", "")).startswith(f"{GROUP}/"):
            continue
        name = document.get("metadata", {}).get("name", "?")
        found = problems(document)
        wrong += len(found)
        for line in found:
            click.echo(f"{name}: {line}", err=True)
        if not found:
            click.echo(f"{name}: ok")
    context.exit(1 if wrong else 0)


@click.command()
@file_option
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True)
def plan(filename: str, output: str) -> None:
    """How a FineTuneJob would be trained: every resolved value, and why."""
    from tunebird.finetune import plan as planning

    jobs = [document for document in documents(filename) if document.get("kind") == "FineTuneJob"]
    if not jobs:
        raise click.ClickException(f"{filename} holds no FineTuneJob")
    for document in jobs:
        if found := problems(document):
            raise click.ClickException("\n".join(found))
        explained = planning.explain(document)
        if output == "json":
            click.echo(json.dumps(explained.as_dict(), indent=2))
        elif output == "yaml":
            click.echo(yaml.safe_dump(explained.as_dict(), sort_keys=False), nl=False)
        else:
            click.echo(explained.text())
