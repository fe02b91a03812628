"""Where an artifact goes: a directory, an object store or a registry. It appears there whole or not at all."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import objects, registry, sources, storage
from tunebird_trainer.stores.objects import MANIFEST, Subject

if TYPE_CHECKING:
    from pathlib import Path

    from tunebird_trainer.config import Config

SCHEMES = ("pvc", "file", "s3", "gs", "oci")


def existing(config: Config, config_digest: str) -> dict[str, Any] | None:
    """The manifest of the artifact that an earlier try of this run published, if it is whole.

    Raises:
        Failure: InvalidConfig when something else lies there.
    """
    uri = config.output.uri
    manifest, whole = _found(uri)
    if manifest is None and whole:
        return None
    job = (manifest or {}).get("job") or {}
    same = job.get("uid") == config.job.uid and (manifest or {}).get("configDigest") == config_digest
    if manifest is not None and same and whole:
        return manifest
    what = "damaged" if same else "not of this run"
    raise Failure(Reason.INVALID_CONFIG, f"output {uri} exists and is {what}; remove it or choose another output.uri")


def check_writable(uri: str) -> None:
    """Fail before hours of training rather than after them. A registry is asked only for what is there already: a
    push is the only proof of the right to push."""
    match _kind(uri):
        case "pvc" | "file":
            storage.check_writable(sources.place(uri).parent, f"output.uri {uri}")
        case "s3" | "gs":
            objects.check_writable(uri, f"output {uri}")
        case _:
            registry.published(uri)


def check_room(uri: str, needed: int) -> None:
    """Whether forms of `needed` bytes fit where they are written."""
    storage.check_room(_staging_place(uri)[0], needed, f"output.uri {uri}: its forms take")


def staging(uri: str) -> Path:
    """A fresh directory to write the artifact in, on the volume where it will lie. What an earlier try left is gone."""
    parent, name = _staging_place(uri)
    for stale in parent.glob(f".partial-{name}-*"):
        storage.discard(stale)
    aside = parent / f".partial-{name}-{os.getpid()}"
    aside.mkdir(parents=True)
    return aside


def publish(staged: Path, uri: str, job: str) -> None:
    """Make the staged directory, manifest and all, appear at `uri`; then it is gone from where it was staged."""
    match _kind(uri):
        case "pvc" | "file":
            storage.share(staged)
            storage.publish(staged, sources.place(uri))
        case "s3" | "gs":
            objects.publish(staged, uri, job)
        case _:
            registry.publish(staged, uri, staged.parent)
    storage.discard(staged)


def _staging_place(uri: str) -> tuple[Path, str]:
    """The directory that the artifact is staged in, and its name there."""
    if _kind(uri) in ("pvc", "file"):
        final = sources.place(uri)
        return final.parent, final.name
    return objects.cache() / "staged", storage.text_digest(uri)[:16]


def _kind(uri: str) -> str:
    kind = objects.scheme(uri)
    if kind not in SCHEMES:
        known = ", ".join(f"{each}://" for each in SCHEMES)
        raise Failure(Reason.INVALID_CONFIG, f"output.uri: {uri!r} is no place to write to; use one of {known}")
    return kind


def _found(uri: str) -> tuple[dict[str, Any] | None, bool]:
    """The manifest there, and whether all is as it says; (None, True) is an empty place."""
    match _kind(uri):
        case "pvc" | "file":
            return _found_directory(sources.place(uri))
        case "s3" | "gs":
            manifest = objects.read_json(f"{uri}/{MANIFEST}", Subject(f"output {uri}", Reason.INVALID_CONFIG))
            return manifest, manifest is None or objects.is_whole(uri, _files(manifest))
        case _:  # a registry keeps blobs by digest, and a manifest only with all its blobs
            return registry.published(uri), True


def _found_directory(final: Path) -> tuple[dict[str, Any] | None, bool]:
    if not final.exists():
        return None, True
    try:
        manifest: dict[str, Any] = json.loads((final / MANIFEST).read_text())
        return manifest, manifest["digest"] == storage.directory_digest(final, leave_out=[MANIFEST])
    except (OSError, ValueError, KeyError, TypeError):
        return None, False


def _files(manifest: dict[str, Any]) -> dict[str, str]:
    forms = manifest.get("forms") or {}
    return {f"{form['path']}/{name}": digest for form in forms.values() for name, digest in form["files"].items()}
