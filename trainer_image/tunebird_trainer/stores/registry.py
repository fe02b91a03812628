"""Artifacts in an OCI registry, `oci://host/repository:tag`. An artifact is an image whose layers are its forms, so
that Kubernetes can mount it as an image volume too; its config carries the manifest `tunebird.json`."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import objects, storage
from tunebird_trainer.stores.objects import MANIFEST, Subject
from tunebird_trainer.stores.registry_session import Address, Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARTIFACT_TYPE = "application/vnd.tunebird.model.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_IMAGE = "application/vnd.oci.image.manifest.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHUNK_BYTES = 8 * 1024 * 1024
_EPOCH = "1970-01-01T00:00:00Z"  # the same artifact is the same image, whenever it is pushed
_KEYS = "REGISTRY_USERNAME and REGISTRY_PASSWORD"


def published(uri: str) -> dict[str, Any] | None:
    """The `tunebird.json` of the artifact at this address; None when there is none."""
    address = Address.of(uri)
    with _told(uri, Subject(f"output {uri}", Reason.INVALID_CONFIG)):
        manifest = _manifest(address)
        if manifest is None:
            return None
        record = Session(address).ask("GET", address.url("blobs", manifest["config"]["digest"]))
        return _own(uri, _checked(record).json())


def publish(directory: Path, uri: str, scratch: Path) -> str:
    """Push the blobs, then the manifest that makes them an artifact. Returns the manifest's digest. Registries have no
    conditional put: another artifact under the tag is looked for first, and two pushes at once are won by the later.
    """
    address = Address.of(uri)
    record = json.loads((directory / MANIFEST).read_text())
    with _told(uri, Subject(f"output {uri}", Reason.INVALID_CONFIG)):
        layers = [_push_layer(address, directory, part, scratch) for part in _parts(directory)]
        config = _push_bytes(address, _image_config(record, layers), scratch)
        manifest = {
            "schemaVersion": 2, "mediaType": _IMAGE, "artifactType": ARTIFACT_TYPE,
            "config": {"mediaType": _CONFIG, **config}, "layers": layers,
            "annotations": {"dev.tunebird.digest": record["digest"], "org.opencontainers.image.created": _EPOCH},
        }  # fmt: skip
        body = json.dumps(manifest, sort_keys=True).encode()
        theirs = published(uri)
        if theirs is not None and theirs["digest"] != record["digest"]:
            remedy = "nothing of it was changed, choose another tag"
            raise Failure(Reason.INVALID_CONFIG, f"output {uri} was published by another run meanwhile; {remedy}")
        url = address.url("manifests", address.reference)
        _checked(Session(address).ask("PUT", url, data=body, headers={"Content-Type": _IMAGE}))
    return _sha256(body)


def fetch(uri: str, subject: Subject) -> Path:
    """The artifact unpacked in the cache, each layer checked against its digest."""
    from filelock import FileLock

    address = Address.of(uri)
    with _told(uri, subject), storage.writing(objects.cache()):
        manifest = _manifest(address)
        if manifest is None:
            raise Failure(subject.absent, f"{subject.name}: nothing is at {uri}; push it there or correct the URI")
        final = objects.cache() / "oci" / manifest["config"]["digest"].removeprefix("sha256:")[:32]
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_suffix(".lock")):
            if not final.exists():
                _unpack(address, manifest, final)
    return final


def _unpack(address: Address, manifest: dict[str, Any], final: Path) -> None:
    aside = final.with_suffix(".partial")
    storage.discard(aside)
    aside.mkdir()
    for layer in manifest["layers"]:
        blob = aside / ".layer"
        _pull_blob(address, layer["digest"], blob)
        with tarfile.open(blob) as archive:
            archive.extractall(aside, filter="data")
        blob.unlink()
    aside.rename(final)


def _pull_blob(address: Address, digest: str, target: Path) -> None:
    with _checked(Session(address).ask("GET", address.url("blobs", digest), stream=True)) as answer:
        seen = hashlib.sha256()
        with target.open("wb") as stream:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                seen.update(chunk)
                stream.write(chunk)
    if f"sha256:{seen.hexdigest()}" != digest:
        raise ConnectionError(f"blob {digest} came damaged")


def _parts(directory: Path) -> list[list[str]]:
    """The files of each layer: one for each directory (a form, the evaluation), one for the rest."""
    parts: dict[str, list[str]] = {}
    for path in storage.files_in(directory):
        name = path.relative_to(directory).as_posix()
        parts.setdefault(name.partition("/")[0] if "/" in name else "", []).append(name)
    return [parts[part] for part in sorted(parts)]


def _push_layer(address: Address, directory: Path, names: list[str], scratch: Path) -> dict[str, Any]:
    """A tar without times and owners: the same files are the same layer, which a registry stores once."""
    archive = scratch / f".layer-{os.getpid()}.tar"
    try:
        with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in names:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = (directory / name).stat().st_size, 0o644
                with (directory / name).open("rb") as stream:
                    tar.addfile(entry, stream)
        digest = f"sha256:{storage.file_digest(archive)}"
        layer = {"digest": digest, "size": archive.stat().st_size}
        _push_file(address, archive, digest)
    finally:
        archive.unlink(missing_ok=True)
    title = names[0].partition("/")[0] if "/" in names[0] else "card"
    return {"mediaType": _LAYER, **layer, "annotations": {"org.opencontainers.image.title": title}}


def _push_file(address: Address, path: Path, digest: str) -> None:
    session = Session(address)
    if session.ask("HEAD", address.url("blobs", digest)).status_code == 200:
        return
    begun = _checked(session.ask("POST", address.url("blobs", "uploads/")))
    place = urljoin(begun.url, begun.headers["Location"])
    place += ("&" if "?" in place else "?") + f"digest={quote(digest)}"
    headers = {"Content-Type": "application/octet-stream"}
    with path.open("rb") as stream:  # streamed, not read whole
        _checked(session.ask("PUT", place, data=stream, headers=headers))


def _push_bytes(address: Address, content: bytes, scratch: Path) -> dict[str, Any]:
    digest = _sha256(content)
    path = scratch / f".blob-{os.getpid()}"
    path.write_bytes(content)
    try:
        _push_file(address, path, digest)
    finally:
        path.unlink()
    return {"digest": digest, "size": len(content)}


def _image_config(record: dict[str, Any], layers: list[dict[str, Any]]) -> bytes:
    """An image config that container runtimes accept; they ignore keys they don't know, as the specification asks."""
    config = {
        "architecture": "amd64", "os": "linux", "created": _EPOCH,
        "config": {"Labels": {"dev.tunebird.digest": record["digest"]}},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        "tunebird": record,
    }  # fmt: skip
    return json.dumps(config, sort_keys=True).encode()


def _own(uri: str, config: dict[str, Any]) -> dict[str, Any]:
    record = config.get("tunebird")
    if not isinstance(record, dict):
        remedy = "choose another tag"
        raise Failure(Reason.INVALID_CONFIG, f"{uri} holds something else than an artifact of Tunebird; {remedy}")
    return record


def _manifest(address: Address) -> dict[str, Any] | None:
    url = address.url("manifests", address.reference)
    answer = Session(address).ask("GET", url, headers={"Accept": _IMAGE})
    if answer.status_code == 404:
        return None
    content: bytes = _checked(answer).content
    if address.reference.startswith("sha256:") and _sha256(content) != address.reference:
        raise ConnectionError(f"the manifest {address.reference} came damaged")
    loaded: dict[str, Any] = json.loads(content)
    return loaded


def _checked(answer: Any) -> Any:
    answer.raise_for_status()
    return answer


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@contextmanager
def _told(uri: str, subject: Subject) -> Iterator[None]:
    import requests

    try:
        yield
    except requests.HTTPError as error:
        raise _answered(uri, subject, error) from error
    except (requests.RequestException, ConnectionError, ValueError) as error:
        said = str(error).splitlines()[0][:300]
        raise Failure(
            Reason.STORAGE_UNAVAILABLE, f"{subject.name}: {uri} can't be reached: {said}; the run is retried"
        ) from error


def _answered(uri: str, subject: Subject, error: Any) -> Failure:
    status = error.response.status_code
    if status in (401, 403):
        remedy = f"give them in the Secret of secretRef ({_KEYS})"
        return Failure(subject.forbidden, f"{subject.name}: {uri} is refused to these credentials; {remedy}")
    if status == 404:
        return Failure(subject.absent, f"{subject.name}: nothing is at {uri}; correct the URI")
    return Failure(Reason.STORAGE_UNAVAILABLE, f"{subject.name}: {uri} answered {status}; the run is retried")
