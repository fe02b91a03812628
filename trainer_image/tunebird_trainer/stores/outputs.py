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
    """The manifest of the artifact that an earlier try of this run published, once every file was found as it says.

    Raises:
        Failure: InvalidConfig when something else lies there.
    """
    manifest = own(config, config_digest)
    if manifest is None or _is_whole(config.output.uri, manifest):
        return manifest
    raise _in_the_way(config.output.uri, "damaged")


def own(config: Config, config_digest: str) -> dict[str, Any] | None:
    """The same by what the manifest says alone: no file is read but that."""
    uri = config.output.uri
    manifest, is_empty = _manifest(uri)
    if is_empty:
        return None
    job = manifest.get("job") or {}
    if job.get("uid") == config.job.uid and manifest.get("configDigest") == config_digest:
        return manifest
    raise _in_the_way(uri, "not of this run")


def _in_the_way(uri: str, what: str) -> Failure:
    return Failure(Reason.INVALID_CONFIG, f"output {uri} exists and is {what}; remove it or choose another output.uri")


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


def _manifest(uri: str) -> tuple[dict[str, Any], bool]:
    """The manifest there, empty where it can't be read, and whether the place is empty."""
    match _kind(uri):
        case "pvc" | "file":
            final = sources.place(uri)
            return _read(final / MANIFEST), not final.exists()
        case "s3" | "gs":
            found = objects.read_json(f"{uri}/{MANIFEST}", Subject(f"output {uri}", Reason.INVALID_CONFIG))
        case _:
            found = registry.published(uri)
    return found or {}, found is None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_whole(uri: str, manifest: dict[str, Any]) -> bool:
    """Whether all is there as the manifest says."""
    match _kind(uri):
        case "pvc" | "file":
            try:
                found = storage.directory_digest(sources.place(uri), leave_out=[MANIFEST])
            except OSError:
                return False
            return bool(found == manifest.get("digest"))
        case "s3" | "gs":
            return objects.is_whole(uri, _files(manifest))
        case _:  # a registry keeps blobs by digest, and a manifest only with all its blobs
            return True


def _files(manifest: dict[str, Any]) -> dict[str, str]:
    forms = manifest.get("forms") or {}
    return {f"{form['path']}/{name}": digest for form in forms.values() for name, digest in form["files"].items()}
