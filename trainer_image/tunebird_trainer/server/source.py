"""From a model's URI to the directory to load, whose digest is the one that was promised."""

from pathlib import Path

from tunebird_trainer.config import Model
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import preflight, sources
from tunebird_trainer.stores.objects import MANIFEST
from tunebird_trainer.stores.sources import fetch_directory
from tunebird_trainer.stores.storage import directory_digest


def check(uri: str) -> None:
    """Whether a model lies at an address on a volume, told before torch is imported. Raises Failure."""
    if preflight.is_local(uri):
        merged_form(directory(uri))


def directory(uri: str) -> Path:
    """What lies at the address, fetched where it is not on a volume. Raises Failure if nothing can be read there."""
    name, revision = uri, ""
    if uri.startswith("hf://"):
        name, _, revision = uri.partition("@")
    return fetch_directory(Model(name, revision, "", "model"))


def verified(uri: str, path: Path, promised: str) -> str:
    """The digest found. Raises Failure unless it is the promised one; an empty promise accepts any."""
    found = directory_digest(path, leave_out=[MANIFEST])
    if promised and promised != found:
        raise Failure(
            Reason.MODEL_MISMATCH,
            f"{uri} has digest {found}, but {promised} was promised: the files were changed or replaced; "
            "publish the model again, or point the rollout at the digest that is there",
        )
    return found


def merged_form(path: Path) -> Path:
    """Of an artifact with several forms, the directory to serve; a plain model directory is returned as it is."""
    return _checked(sources.merged_form(path))


def _checked(path: Path) -> Path:
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        remedy = "publish the form `merged` and serve that"
        raise Failure(Reason.MODEL_NOT_FOUND, f"{path} is an adapter without its base model; {remedy}")
    if not (path / "config.json").is_file():
        raise Failure(Reason.MODEL_NOT_FOUND, f"{path} has no config.json; name the directory that holds the model")
    if not any(path.glob("*.safetensors")):
        raise Failure(Reason.MODEL_NOT_FOUND, f"{path} has no *.safetensors; other weight formats are not loaded")
    return path
