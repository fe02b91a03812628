"""Where a job's data, models and results lie: every place that the spec names, and which kinds may be there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from tunebird.api.base import StorageRef
from tunebird.api.finetunejob import FineTuneJobSpec
from tunebird.api.jobstatus import ReferenceStatus
from tunebird.finetune.credentials import KEYS, Credential, several

_REPOSITORY = re.compile(r"oci://[^/]+/[a-z0-9]([a-z0-9._/-]*[a-z0-9])?")
_READ = ("hf", "s3", "gs", "https", "pvc")
_SCHEMES: Mapping[str, tuple[str, ...]] = {
    "model": ("hf", "s3", "gs", "oci", "pvc"),
    "method": ("hf", "s3", "gs", "oci", "pvc"),
    "datasets": _READ,
    "evaluation": _READ,
    "checkpoint": ("pvc",),
    "output": ("s3", "gs", "oci", "pvc"),
}


def storages(spec: FineTuneJobSpec) -> Iterator[tuple[str, StorageRef]]:
    """Every place that the spec names, with the path of its field under spec."""
    if spec.model.source is not None:
        yield "model.source", spec.model.source
    for dataset in spec.datasets:
        yield f"datasets[{dataset.name}].source", dataset.source
    if spec.method.dpo is not None and spec.method.dpo.reference is not None:
        yield "method.dpo.reference", spec.method.dpo.reference
    for suite in spec.evaluation.suites if spec.evaluation is not None else ():
        yield f"evaluation.suites[{suite.name}].source", suite.source
    if spec.checkpoint is not None:
        yield "checkpoint.storage", spec.checkpoint.storage
    yield "output.storage", spec.output.storage


def template_uri(spec: FineTuneJobSpec) -> str:
    """Where the chat template's file lies, if it is one."""
    return spec.model.chat_template if "://" in spec.model.chat_template else ""


def claims(spec: FineTuneJobSpec, *others: str) -> tuple[str, ...]:
    """Every PersistentVolumeClaim that the spec and other places name, sorted."""
    uris = [*(ref.uri for _, ref in storages(spec)), template_uri(spec), *others]
    return tuple(sorted({uri.removeprefix("pvc://").partition("/")[0] for uri in uris if uri.startswith("pvc://")}))


def run_uri(output: str, run: str) -> str:
    """Where one run's artifact goes: a folder of its own, in a registry a tag."""
    return f"{output}:{run}" if scheme(output) == "oci" else f"{output.rstrip('/')}/{run}"


def scheme(uri: str) -> str:
    """The part before ``://``."""
    return uri.partition("://")[0]


def credentials(spec: FineTuneJobSpec, references: Iterable[ReferenceStatus] = ()) -> tuple[Credential, ...]:
    """Each Secret with the kind of store that it is for; for another job's result, the one that it was written with."""
    named = {
        Credential(scheme(ref.uri), ref.secret_ref.name) for _, ref in storages(spec) if ref.secret_ref is not None
    }
    own = {credential.scheme for credential in named}
    others = {
        Credential(scheme(other.uri), other.secret)
        for other in references
        if other.secret and scheme(other.uri) in KEYS
    }
    return tuple(sorted({*named, *(other for other in others if other.scheme not in own)}))


def judge_secrets(spec: FineTuneJobSpec) -> tuple[str, ...]:
    """Secrets with the key of a judge's endpoint."""
    suites = spec.evaluation.suites if spec.evaluation is not None else ()
    judges = (suite.judge for suite in suites if suite.judge is not None)
    return tuple(sorted({judge.secret_ref.name for judge in judges if judge.secret_ref is not None}))


def place_problems(spec: FineTuneJobSpec, *, allow_file_uris: bool) -> Iterator[str]:
    """What is wrong with places and their credentials."""
    for field, ref in storages(spec):
        yield from _storage_problems(field, ref, allow_file_uris)
    yield from _template_problems(spec, allow_file_uris)
    yield from _output_problems(spec)
    yield from several(credentials(spec))
    if len(judge_secrets(spec)) > 1:
        names = ", ".join(judge_secrets(spec))
        yield f"spec.evaluation.suites: judges name different Secrets ({names}); a pod has one key: use one Secret"


def _storage_problems(field: str, ref: StorageRef, allow_file_uris: bool) -> Iterator[str]:
    kind = scheme(ref.uri)
    supported = _SCHEMES[field.partition(".")[0].partition("[")[0]]
    if kind == "file" and not allow_file_uris:
        yield f"spec.{field}.uri ({ref.uri}): file:// is for the embedded control plane only; use pvc://claim/path"
    elif kind not in (*supported, "file"):
        names = " or ".join(f"{name}://" for name in supported)
        yield f"spec.{field}.uri ({ref.uri}): {kind}:// is not supported here by this version; use {names}"
    if ".." in ref.uri.partition("://")[2].split("/"):
        yield f"spec.{field}.uri ({ref.uri}): .. is not allowed in a path"
    if ref.secret_ref is not None and kind not in KEYS:
        yield f"spec.{field}.secretRef ({ref.secret_ref.name}): {kind}:// takes no credentials; remove it"


def _template_problems(spec: FineTuneJobSpec, allow_file_uris: bool) -> Iterator[str]:
    uri = template_uri(spec)
    if uri and not uri.startswith("pvc://") and not (uri.startswith("file://") and allow_file_uris):
        yield f"spec.model.chatTemplate ({uri}): a file is read from pvc://claim/path only; copy it there"


def _output_problems(spec: FineTuneJobSpec) -> Iterator[str]:
    uri = spec.output.storage.uri
    if scheme(uri) == "oci" and not _REPOSITORY.fullmatch(uri):
        yield f"spec.output.storage.uri ({uri}): write oci://host/repository in lower case; each run is a tag of it"
    if spec.checkpoint is None and scheme(uri) not in ("pvc", "file"):
        yield f"spec.checkpoint: {uri} can't hold checkpoints; name a volume, e.g. checkpoint.storage.uri pvc://checkpoints"
