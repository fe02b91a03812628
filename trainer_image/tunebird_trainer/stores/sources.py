"""Where data, models, checkpoints and artifacts are read: every address becomes a local directory or file. Volumes are
looked at where they are mounted; the rest is fetched (`objects.py`, `registry.py`) or kept in the hub's cache."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tunebird_trainer.config import Dataset
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import objects, registry, storage
from tunebird_trainer.stores.objects import MANIFEST, Subject
from tunebird_trainer.stores.storage import directory_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunebird_trainer.config import Model, Suite

# Weights only as safetensors: a pickle can run code when it is opened.
MODEL_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model", "chat_templates/*"]
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
DATA_FILES = ["*.jsonl", "*.json", "*.csv", "*.parquet", "*.txt", "*.md"]


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
    raise Failure(Reason.INVALID_CONFIG, f"{uri!r} is no place on a volume; use pvc://CLAIM/PATH or file:///PATH")


def fetch_suite(suite: Suite) -> Path:
    """The local file of an evaluation's suite."""
    return fetch_dataset(Dataset(suite.name, suite.uri), f"evaluation.suites: suite {suite.name}")


def fetch_dataset(dataset: Dataset, called: str = "") -> Path:
    """The local file or directory of a dataset, or of what is `called` otherwise."""
    name = called or f"dataset {dataset.name}"
    if dataset.uri.startswith("hf://"):
        return _hub_dataset(dataset)
    if objects.scheme(dataset.uri) in objects.READ:
        return objects.fetch(dataset.uri, Subject(name, Reason.DATASET_NOT_FOUND))
    path = _located(dataset.uri, Reason.DATASET_NOT_FOUND)
    if not path.exists():
        raise Failure(
            Reason.DATASET_NOT_FOUND,
            f"{name}: {dataset.uri} is absent (looked at {path}); copy it there or correct the URI",
        )
    return path


def fetch_model(model: Model) -> Path:
    """The local directory of a base model, checked against its digest when one is given. Of an artifact with several
    forms it is the merged one."""
    found = fetch_directory(model)
    path = merged_form(found)
    if model.digest and model.digest not in (digest := directory_digest(path), directory_digest(found, [MANIFEST])):
        raise Failure(
            Reason.MODEL_MISMATCH,
            f"model {model.uri} has digest {digest}, not {model.digest}; it changed since it was pinned",
        )
    _check_loadable(path, f"model {model.uri}")
    return path


def check_model(model: Model) -> None:
    """Whether a directory that can be a model lies at the address; nothing is loaded, no digest computed."""
    _check_weights(merged_form(fetch_directory(model)), f"model {model.uri}")


def fetch_directory(model: Model) -> Path:
    """What lies at a model's address, an artifact or a bare model, as it is."""
    subject = Subject(f"model {model.uri}", Reason.MODEL_NOT_FOUND, Reason.GATED_MODEL)
    match objects.scheme(model.uri):
        case "hf":
            return _hub_model(model)
        case "oci":
            return registry.fetch(model.uri, subject)
        case "s3" | "gs":
            path = objects.fetch(model.uri.rstrip("/") + "/", subject)
        case "https":
            remedy = "a web server lists no directory; use hf://, s3://, gs://, oci:// or a volume"
            raise Failure(Reason.MODEL_NOT_FOUND, f"{subject.name}: {remedy}")
        case _:
            path = _located(model.uri, Reason.MODEL_NOT_FOUND)
    if not path.is_dir():
        remedy = "name the directory that holds config.json and *.safetensors"
        if path.name == "merged" and not path.parent.exists():
            remedy = f"{path.parent} looks like an artifact's place: start the run that publishes it first"
        raise Failure(Reason.MODEL_NOT_FOUND, f"{subject.name}: {path} is no directory; {remedy}")
    return path


def merged_form(path: Path) -> Path:
    """Of an artifact with several forms, the directory to load; a bare model's directory is returned as it is."""
    record = path / MANIFEST
    if not record.is_file():
        return path
    try:
        forms = json.loads(record.read_text(encoding="utf-8")).get("forms", {})
    except ValueError as error:
        raise Failure(Reason.MODEL_NOT_FOUND, f"{record} is not JSON: {error}; publish the model again") from error
    if "merged" not in forms:
        remedy = "publish the form `merged` to load it"
        raise Failure(Reason.MODEL_NOT_FOUND, f"{path} has the forms {sorted(forms)}; {remedy}")
    return path / str(forms["merged"]["path"])


def _check_loadable(path: Path, name: str) -> None:
    """Safetensors, and an architecture that transformers itself knows: nothing that runs code from a repository."""
    _check_weights(path, name)
    _check_no_code(path, name)


def _check_weights(path: Path, name: str) -> None:
    if not (path / "config.json").exists():
        remedy = "name the directory that holds config.json and *.safetensors"
        raise Failure(Reason.MODEL_NOT_FOUND, f"{name}: no config.json in {path}; {remedy}")
    if not any(path.glob("*.safetensors")):
        pickles = sorted(file.name for pattern in PICKLES for file in path.glob(pattern))
        held = f"only {pickles[0]}, a pickle that can run code when it is opened" if pickles else "no weights in it"
        remedy = "convert the weights with save_pretrained, or choose a revision that has safetensors"
        raise Failure(Reason.MODEL_NOT_FOUND, f"{name}: no *.safetensors in {path}, {held}; {remedy}")


def _check_no_code(path: Path, name: str) -> None:
    from transformers import CONFIG_MAPPING

    try:
        config = json.loads((path / "config.json").read_text())
    except ValueError as error:
        raise Failure(Reason.MODEL_NOT_FOUND, f"{name}: config.json is not JSON: {error}; fetch it again") from error
    if config.get("auto_map") and config.get("model_type") not in CONFIG_MAPPING:
        code = ", ".join(sorted({str(each).split(".")[0] + ".py" for each in config["auto_map"].values()}))
        remedy = "code from a repository is never run; choose a model that transformers knows by itself"
        raise Failure(Reason.MODEL_NOT_FOUND, f"{name}: it needs its own code ({code}); {remedy}")


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
        lambda: snapshot_download(
            repository, repo_type="dataset", revision=dataset.revision or None, allow_patterns=patterns
        ),
        f"dataset {dataset.name}: {dataset.uri}" + (f" at revision {dataset.revision}" if dataset.revision else ""),
        Reason.DATASET_NOT_FOUND,
    )
    if not (root / inside).exists():
        raise Failure(
            Reason.DATASET_NOT_FOUND, f"dataset {dataset.name}: {repository} has no {inside}; correct the URI"
        )
    return root / inside


def _from_hub(download: Callable[[], str], what: str, absent: Reason) -> Path:
    """One download with the hub's many errors told apart: absent, gated, offline, or a network that may come back."""
    from huggingface_hub import constants, errors

    try:
        with storage.writing(Path(constants.HF_HUB_CACHE)):
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
