"""Where data, models, checkpoints and artifacts lie: `pvc://`, `file://` and `hf://` become local directories or
files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.storage import directory_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunebird_trainer.config import Dataset, Model

# Weights only as safetensors: a pickle can run code when it is opened.
MODEL_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model", "chat_templates/*"]
DATA_FILES = ["*.jsonl", "*.json", "*.csv", "*.parquet"]


def place(uri: str) -> Path:
    """The local path of a `pvc://` or `file://` URI; it need not exist.

    Raises:
        Failure: StorageUnavailable when the claim is not mounted, InvalidConfig for another scheme.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "file" and rest.startswith("/"):
        return Path(rest)
    if scheme == "pvc":
        claim, _, below = rest.partition("/")
        return _volume(claim, uri) / _inside(below, uri)
    raise Failure(Reason.INVALID_CONFIG, f"{uri!r} is not a place this version reads; use pvc://, file:/// or hf://")


def fetch_dataset(dataset: Dataset) -> Path:
    """The local file or directory of a dataset."""
    if dataset.uri.startswith("hf://"):
        return _hub_dataset(dataset)
    path = _located(dataset.uri, Reason.DATASET_NOT_FOUND)
    if not path.exists():
        raise Failure(
            Reason.DATASET_NOT_FOUND,
            f"dataset {dataset.name}: {dataset.uri} is absent (looked at {path}); copy it there or correct the URI",
        )
    return path


def fetch_model(model: Model) -> Path:
    """The local directory of a base model, checked against its digest when one is given."""
    path = _hub_model(model) if model.uri.startswith("hf://") else _local_model(model)
    if model.digest:
        found = directory_digest(path)
        if found != model.digest:
            raise Failure(
                Reason.MODEL_MISMATCH,
                f"model {model.uri} has digest {found}, not {model.digest}; it changed since it was pinned",
            )
    return path


def _local_model(model: Model) -> Path:
    path = _located(model.uri, Reason.MODEL_NOT_FOUND)
    if not (path / "config.json").exists():
        raise Failure(
            Reason.MODEL_NOT_FOUND,
            f"model {model.uri}: no config.json in {path}; name the directory that holds config.json and *.safetensors",
        )
    if not any(path.glob("*.safetensors")):
        raise Failure(
            Reason.MODEL_NOT_FOUND, f"model {model.uri}: no *.safetensors in {path}; convert the weights first"
        )
    return path


def _located(uri: str, reason: Reason) -> Path:
    try:
        return place(uri)
    except Failure as failure:
        raise Failure(reason, failure.message) from failure


def _volume(claim: str, uri: str) -> Path:
    mounted = json.loads(os.environ.get("TUNEBIRD_VOLUMES") or "{}")
    if claim not in mounted:
        known = ", ".join(sorted(mounted)) or "none"
        raise Failure(
            Reason.STORAGE_UNAVAILABLE, f"{uri}: claim {claim!r} is not mounted (TUNEBIRD_VOLUMES has: {known})"
        )
    return Path(mounted[claim])


def _inside(below: str, uri: str) -> Path:
    path = Path(below)
    if path.is_absolute() or ".." in path.parts:
        raise Failure(Reason.INVALID_CONFIG, f"{uri}: the path leaves its volume; use one without '..'")
    return path


def _hub_model(model: Model) -> Path:
    from huggingface_hub import snapshot_download

    repository = model.uri.removeprefix("hf://").strip("/")
    revision = model.revision or None
    return _from_hub(
        lambda: snapshot_download(repository, revision=revision, allow_patterns=MODEL_FILES),
        f"model {model.uri}" + (f" at revision {model.revision}" if model.revision else ""),
        Reason.MODEL_NOT_FOUND,
    )


def _hub_dataset(dataset: Dataset) -> Path:
    from huggingface_hub import snapshot_download

    organisation, name, *below = dataset.uri.removeprefix("hf://").strip("/").split("/")
    inside = "/".join(below)
    patterns = [inside, f"{inside}/*"] if inside else DATA_FILES
    repository = f"{organisation}/{name}"
    root = _from_hub(
        lambda: snapshot_download(repository, repo_type="dataset", allow_patterns=patterns),
        f"dataset {dataset.name}: {dataset.uri}",
        Reason.DATASET_NOT_FOUND,
    )
    if not (root / inside).exists():
        raise Failure(
            Reason.DATASET_NOT_FOUND, f"dataset {dataset.name}: {repository} has no {inside}; correct the URI"
        )
    return root / inside


def _from_hub(download: Callable[[], str], what: str, absent: Reason) -> Path:
    """One download with the hub's many errors told apart: absent, gated, offline, or a network that may come back."""
    from huggingface_hub import errors

    try:
        return Path(download())
    except errors.GatedRepoError as error:
        remedy = "accept its terms on the hub and give a token that may read it (secretRef with HF_TOKEN)"
        raise Failure(Reason.GATED_MODEL, f"{what} is gated: {remedy}") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        remedy = "check the name and revision; a private one needs a token (secretRef with HF_TOKEN)"
        raise Failure(absent, f"{what} is not on the hub: {remedy}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise _unreachable(what, absent) from error
    except (errors.HfHubHTTPError, ConnectionError, TimeoutError) as error:
        raise Failure(
            Reason.STORAGE_UNAVAILABLE, f"{what} could not be downloaded: {error}; the run is retried"
        ) from error


def _unreachable(what: str, absent: Reason) -> Failure:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        remedy = "HF_HUB_OFFLINE is set; put it into the cache first or allow the network"
        return Failure(absent, f"{what} is not in the local cache {constants.HF_HUB_CACHE}: {remedy}")
    return Failure(Reason.STORAGE_UNAVAILABLE, f"{what}: the hub is not reachable; check network and proxy")
