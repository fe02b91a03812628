"""From the checkpoint that a run chose to a published artifact: its forms written aside and verified, evaluated as
they will be served, described, and then published whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_trainer.artifacts import answering, forms
from tunebird_trainer.artifacts.card import card, servable
from tunebird_trainer.config import Form, as_json
from tunebird_trainer.stores import outputs, sources, storage
from tunebird_trainer.stores.objects import MANIFEST
from tunebird_trainer.training import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.prepared import Prepared
    from tunebird_trainer.evaluation import EvaluationReport
    from tunebird_trainer.survival.checkpoints import Saved

CURVES = "curves.jsonl"
# Of the curves, what the run computed: times differ from run to run, and the same run makes the same artifact.
_COMPUTED = (
    "step", "epoch", "loss", "gradientNorm", "learningRate", "clippedShare", "tokens", "evalLoss", "entropy",
    "tokenAccuracy", "rewardChosen", "rewardRejected", "rewardMargin", "rewardAccuracy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What the artifact tells about how it came to be."""

    config: Config
    base: Path
    base_digest: str
    config_digest: str
    code_digest: str
    environment: dict[str, str]
    data: Prepared
    saved: Saved
    evaluate: Callable[[Path, Path], EvaluationReport]  # the model as served, and where failing cases go
    doing: Callable[[str], None]  # is told what is done now


@dataclass(frozen=True, slots=True)
class Staged:
    """An artifact that lies aside: its directory, the form that is served, and what verifying it showed."""

    directory: Path
    served: Path
    checks: dict[str, Any]


def publish(run: Run) -> dict[str, Any]:
    """Stage, evaluate, describe, publish. Returns the manifest, which is `tunebird.json`."""
    directory = outputs.staging(run.config.output.uri)
    try:
        with storage.writing(directory.parent):
            made = staged(run, directory)
            report = run.evaluate(made.served, made.directory)
            manifest = described(run, made, report)
            run.doing("putting the artifact in place")
            outputs.publish(made.directory, run.config.output.uri, run.config.job.uid)
    except BaseException:
        storage.discard(directory)
        raise
    return manifest


def staged(run: Run, directory: Path) -> Staged:
    """Every form on disk, loaded again and compared with what was trained; then a few prompts, which must end."""
    checks = forms.write(run.config, run.base, run.saved.path, run.data, directory, run.doing)
    served = directory / (Form.MERGED if Form.MERGED in run.config.output.forms else forms.CHECKED)
    checks["answers"] = answering.ended(run.base, served, run.data, run.doing)
    _copy_curves(run, directory / CURVES)
    return Staged(directory, served, checks)


def described(run: Run, made: Staged, report: EvaluationReport) -> dict[str, Any]:
    """Write card and manifest."""
    run.doing("digests of the artifact's files")
    storage.discard(made.directory / forms.CHECKED)
    told = {form: _form(made.directory / form) for form in run.config.output.forms}
    facts = {**_facts(run, made.checks), "gatesPassed": _gates(report), "evaluation": report.manifest()}
    (made.directory / "README.md").write_text(card(run.config, facts, run.data))
    manifest = {**facts, "digest": storage.directory_digest(made.directory), "forms": told}
    (made.directory / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def summary(manifest: dict[str, Any], uri: str) -> dict[str, Any]:
    """The part that goes into the termination message."""
    told = {name: {"path": form["path"], "digest": form["digest"]} for name, form in manifest["forms"].items()}
    return {
        "uri": uri, "digest": manifest["digest"], "forms": told, "baseDigest": manifest["base"]["digest"],
        "dataDigest": manifest["data"]["digest"], "configDigest": manifest["configDigest"],
        "codeDigest": manifest["codeDigest"],
    }  # fmt: skip


def _gates(report: EvaluationReport) -> bool | None:
    """Null where there were no gates: nothing was shown."""
    return None if report.status == "Ungated" else report.gates_passed


def _copy_curves(run: Run, target: Path) -> None:
    source = sources.place(run.config.checkpoint.uri) / CURVES
    if not source.exists():
        return
    records = [json.loads(line) for line in source.read_text().splitlines() if line.strip()]
    kept = [{key: record[key] for key in _COMPUTED if key in record} for record in records]
    target.write_text("".join(json.dumps(record) + "\n" for record in kept if record.get("step", 0) <= run.saved.step))


def _form(directory: Path) -> dict[str, Any]:
    digests = storage.file_digests(directory)
    return {"path": directory.name, "digest": storage.digest_of(digests), "files": digests}


def _facts(run: Run, checks: dict[str, Any]) -> dict[str, Any]:
    metrics = {key: value for key, value in run.saved.facts.items() if value is not None}
    return {
        "version": 1,
        "job": as_json(run.config.job),
        "base": {"uri": run.config.model.uri, "revision": run.config.model.revision, "digest": run.base_digest},
        "data": {
            "digest": run.data.digest, "train": len(run.data.train), "validation": len(run.data.validation),
            "tokens": run.data.tokens, "datasets": [as_json(counts) for counts in run.data.counts],
            "report": run.data.report,
        },
        "config": as_json(run.config), "configDigest": run.config_digest, "codeDigest": run.code_digest,
        "environment": run.environment, "hardware": _hardware(run), "steps": run.saved.step, "metrics": metrics,
        "checks": checks, "servable": servable(run.config),
    }  # fmt: skip


def _hardware(run: Run) -> dict[str, Any]:
    """What it ran on and how long; energy is not measured."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    world = run.config.distributed.world_size
    seconds = float(run.saved.facts.get("seconds") or 0)
    return {"device": device, "processes": world, "secondsTrained": round(seconds, 1),
            "processSeconds": round(seconds * world, 1), "peakBytes": environment.peak_bytes()}  # fmt: skip
