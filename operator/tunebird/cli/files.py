"""`tunebird plan -f` and `tunebird lint -f`: what a manifest means, before anything is applied."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from tunebird.kube.meta import GROUP

file_option = click.option(
    "-f",
    "--filename",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="YAML file; - reads stdin.",
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
    """Everything that is wrong with one of our objects, each with its path: what the API server would refuse, and if
    it is nothing, what the operator would."""
    from tunebird.api.crds import RESOURCES, openapi

    resource = next((known for known in RESOURCES if known.kind == document.get("kind")), None)
    if resource is None:
        return [f"kind: {document.get('kind')!r} is not FineTuneJob or ModelRollout"]
    unknown = [*_unknown(openapi(resource.model)["properties"]["spec"], document.get("spec", {}), "spec")]
    try:
        resource.model.model_validate(document)
    except ValidationError as error:
        known = [entry for entry in error.errors() if not (unknown and entry["type"] == "extra_forbidden")]
        return unknown + [_sentence(dict(entry)) for entry in known]
    return unknown or _refusals(document)


def _unknown(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    """Fields that the schema doesn't have; the server's strict decoding refuses them too."""
    known = schema.get("properties")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(schema.get("items", {}), item, f"{path}[{index}]")
    elif isinstance(value, dict) and known and not schema.get("x-kubernetes-preserve-unknown-fields"):
        for name, inner in value.items():
            if name in known:
                yield from _unknown(known[name], inner, f"{path}.{name}")
            else:
                yield f"{path}.{name}: unknown field{_meant(name, known)}"


def _meant(name: str, known: Iterable[str]) -> str:
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"; did you mean {lowered[close[0]]}?" if close else ""


def _sentence(entry: dict[str, Any]) -> str:
    """One error of pydantic as the API server would put it: path, value, what is wrong."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in entry["loc"]).lstrip(".")
    value = entry.get("input")
    shown = f" (it is {value!r})" if isinstance(value, str | int | float) else ""
    return f"{path}: {entry['msg'].removeprefix('Value error, ')}{shown}"


def _refusals(document: dict[str, Any]) -> list[str]:
    """What this version can't carry out, as the operator would say it in the condition `Stalled`."""
    from tunebird.finetune import plan as jobs
    from tunebird.rollout import resolve as rollouts

    if document["kind"] == "FineTuneJob":
        return [*jobs.explain(document).refusals]
    try:
        rollouts.plan(document)
    except rollouts.InvalidSpec as error:
        return [*error.problems]
    return []


def _claimed(document: dict[str, Any], before: list[dict[str, Any]]) -> Iterator[str]:
    """What a rollout of the same file claims already; `before` gets this one's route too."""
    from tunebird.rollout import resolve
    from tunebird.rollout.manifests import target
    from tunebird.traffic.gateway_api import GatewayAPI
    from tunebird.traffic.overlap import shared

    if document["kind"] != "ModelRollout":
        return
    named = {**document, "metadata": {"uid": "", "namespace": "default", **document["metadata"]}}
    (route,) = GatewayAPI().manifests(target(named, resolve.plan(named)), ())
    for other in before:
        is_another = other["metadata"]["name"] != route["metadata"]["name"]
        if is_another and (claim := shared(route, other)):
            theirs = other["metadata"]["name"]
            yield f"spec.traffic.gatewayAPI: {claim} is {theirs}'s too; give one of them another hostname or match"
    before.append(dict(route))


@click.command()
@file_option
@click.pass_context
def lint(context: click.Context, filename: str) -> None:
    """Check manifests without a cluster; exit code 1 when something is wrong."""
    wrong, routes = 0, list[dict[str, Any]]()
    for document in documents(filename):
        if not str(document.get("apiVersion", "")).startswith(f"{GROUP}/"):
            continue
        name = document.get("metadata", {}).get("name", "?")
        found = problems(document) or [*_claimed(document, routes)]
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
