"""Object stores and web servers: `s3://`, `gs://` and `https://`. Files come down into a cache that knows their
entity tags; a directory goes up file by file, and what makes it an artifact, its manifest, last and only once."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import storage

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "tunebird.json"
CLAIM = ".tunebird-claim.json"  # who is publishing here; gone when the manifest is there
READ = ("s3", "gs", "https")
RETRIES = 5
_CHUNK_BYTES = 8 * 1024 * 1024
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where the store needs them, AWS_SESSION_TOKEN, AWS_REGION and "
    "AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS_JSON, or a file named by GOOGLE_APPLICATION_CREDENTIALS",
    "https": "HTTPS_AUTHORIZATION, the value of the header Authorization",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is fetched, as messages name it, and the reason to give when it is not there or may not be read."""

    name: str
    absent: Reason
    forbidden: Reason = Reason.STORAGE_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Found:
    """One object below a prefix."""

    path: str
    size: int
    tag: str


def scheme(uri: str) -> str:
    """`http` counts as `https` on this host alone: nothing is fetched in the clear over a network."""
    parts = urlsplit(uri)
    return "https" if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1") else parts.scheme


def cache() -> Path:
    """Where fetched files lie: TUNEBIRD_CACHE, else the scratch volume, else the system's temporary directory."""
    chosen = os.environ.get("TUNEBIRD_CACHE")
    scratch = os.environ.get("TUNEBIRD_SCRATCH") or str(Path(tempfile.gettempdir()) / f"tunebird-{os.getuid()}")
    return Path(chosen) if chosen else Path(scratch) / "cache"


def opened(uri: str) -> Any:
    """The store of the directory `uri`. Endpoint and credentials come from the environment variables that the store's
    own tools read."""
    from obstore.store import from_url

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    plain = endpoint.startswith("http://") if scheme(uri) == "s3" else uri.startswith("http://")
    options: dict[str, Any] = {"allow_http": plain, "connect_timeout": "15s", "timeout": "10min"}
    rest: dict[str, Any] = {}
    if scheme(uri) == "https" and (header := os.environ.get("HTTPS_AUTHORIZATION")):
        options["default_headers"] = {"authorization": header}
    if scheme(uri) == "gs" and (key := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS_JSON")):
        rest["service_account_key"] = key
    retries = {"max_retries": RETRIES, "retry_timeout": timedelta(minutes=2)}
    return from_url(uri, client_options=options, retry_config=retries, **rest)


def fetch(uri: str, subject: Subject) -> Path:
    """The local copy of one object, or of every object below a prefix. A copy whose entity tags and sizes are still
    those of the store is not fetched again, and one that was cut off goes on with the files it lacks."""
    if "?" in uri:
        raise Failure(subject.absent, f"{subject.name}: {uri.partition('?')[0]}?… has a query; name the file without")
    from filelock import FileLock

    with _told(uri, subject), storage.writing(cache()):
        root, below, found = _listed(uri)
        if not found:
            raise Failure(subject.absent, f"{subject.name}: nothing is at {uri}; copy it there or correct the URI")
        home = cache() / "objects" / hashlib.sha256(uri.encode()).hexdigest()[:16]
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / "lock"):  # every process of a node asks for the same files
            directory = _downloaded(opened(root), below, found, home)
    return directory if below is None else directory / below


def read_json(uri: str, subject: Subject) -> dict[str, Any] | None:
    """A small object as JSON; None when it is not there."""
    import obstore

    directory, _, name = uri.rpartition("/")
    with _told(uri, subject):
        try:
            content = bytes(obstore.get(opened(directory), name).bytes())
        except FileNotFoundError:
            return None
    loaded: dict[str, Any] = json.loads(content)
    return loaded


def check_writable(uri: str, purpose: str) -> None:
    """Write and remove a probe, so that a wrong credential ends the run before it trains rather than after."""
    import obstore

    with _told(uri, Subject(purpose, Reason.INVALID_CONFIG)):
        store, probe = opened(uri), f".probe-{os.getpid()}"
        obstore.put(store, probe, b"tunebird", use_multipart=False)
        obstore.delete(store, probe)


def is_whole(uri: str, digests: dict[str, str]) -> bool:
    """Whether every file of a published artifact still lies there as it was uploaded."""
    with _told(uri, Subject(f"output {uri}", Reason.INVALID_CONFIG)):
        store = opened(uri)
        return all(_uploaded(store, name, digest) for name, digest in digests.items())


def publish(directory: Path, uri: str, job: str) -> None:
    """Upload a directory: its files, checked, and then the manifest by a conditional put, which one publisher wins.
    Without a manifest nothing below `uri` counts. An upload that was cut off goes on with the files that are missing.

    Raises:
        Failure: InvalidConfig when another publisher was first; StorageUnavailable.
    """
    import obstore

    with _told(uri, Subject(f"output {uri}", Reason.INVALID_CONFIG)):
        store, manifest = opened(uri), (directory / MANIFEST).read_bytes()
        digests = storage.file_digests(directory, leave_out=[MANIFEST])
        _claim(store, uri, {"job": job, "digest": storage.digest_of(digests)})
        try:
            if not _published(store, manifest, uri):
                _upload(store, directory, digests, uri)
                _put_once(store, manifest, uri)
        finally:
            if any(found.path == MANIFEST for found in _below(store)):  # else the claim tells that this is unfinished
                obstore.delete(store, CLAIM)


def _upload(store: Any, directory: Path, digests: dict[str, str], uri: str) -> None:
    import obstore

    for name in sorted({found.path for found in _below(store)} - set(digests) - {CLAIM}):
        obstore.delete(store, name)  # of an earlier try, and not of this artifact
    for name, digest in digests.items():
        if not _uploaded(store, name, digest):
            obstore.put(store, name, directory / name, attributes={"sha256": digest}, max_concurrency=4)
    lacking = [name for name, digest in digests.items() if not _uploaded(store, name, digest)]
    if lacking:
        raise Failure(Reason.STORAGE_UNAVAILABLE, f"output {uri}: {lacking[0]} did not arrive; the run is retried")


def _claim(store: Any, uri: str, mine: dict[str, str]) -> None:
    """One publisher at a time: an earlier try of the same job is gone by now, another job is refused."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    body = json.dumps(mine).encode()
    try:
        obstore.put(store, CLAIM, body, mode="create", use_multipart=False)
    except AlreadyExistsError:
        try:
            theirs = json.loads(bytes(obstore.get(store, CLAIM).bytes()))
        except FileNotFoundError:  # just finished
            return _claim(store, uri, mine)
        if theirs["job"] != mine["job"]:
            raise Failure(
                Reason.INVALID_CONFIG,
                f"output {uri} is being published by job {theirs['job']}; choose another output.uri, or delete "
                f"{uri}/{CLAIM} when that job is gone",
            ) from None
        obstore.put(store, CLAIM, body, use_multipart=False)


def _put_once(store: Any, manifest: bytes, uri: str) -> None:
    import obstore
    from obstore.exceptions import AlreadyExistsError

    try:
        obstore.put(store, MANIFEST, manifest, mode="create", use_multipart=False)
    except AlreadyExistsError:
        # A put that was answered too late is tried again by the library, and then finds its own object.
        _published(store, manifest, uri)


def _published(store: Any, manifest: bytes, uri: str) -> bool:
    """Whether this very artifact is there.

    Raises:
        Failure: InvalidConfig when another one is.
    """
    import obstore

    try:
        theirs = bytes(obstore.get(store, MANIFEST).bytes())
    except FileNotFoundError:
        return False
    if theirs != manifest:
        remedy = "nothing of it was changed, choose another output.uri"
        raise Failure(Reason.INVALID_CONFIG, f"output {uri} was published by another run meanwhile; {remedy}")
    return True


def _uploaded(store: Any, name: str, digest: str) -> bool:
    import obstore

    try:
        return bool(obstore.get(store, name, options={"head": True}).attributes.get("sha256") == digest)
    except FileNotFoundError:
        return False


def _listed(uri: str) -> tuple[str, str | None, list[Found]]:
    """The directory to open, the file asked for when it is one, and what is there."""
    import obstore

    root, _, name = unquote(uri).rstrip("/").rpartition("/")
    if scheme(uri) == "https" or (urlsplit(uri).path.strip("/") and not uri.endswith("/")):
        try:
            meta = obstore.head(opened(root), name)
            return root, name, [_found(meta, name)]
        except FileNotFoundError:
            if scheme(uri) == "https":
                return root, name, []
    directory = uri.rstrip("/")
    found = _below(opened(directory))
    names = {each.path for each in found}
    if CLAIM in names and MANIFEST not in names:
        raise Failure(Reason.MODEL_NOT_FOUND, f"{uri} is an unfinished upload; wait for the run that publishes it")
    return directory, None, [each for each in found if not _hidden(each.path)]


def _below(store: Any) -> list[Found]:
    import obstore

    return [_found(meta, meta["path"]) for batch in obstore.list(store) for meta in batch]


def _found(meta: Any, path: str) -> Found:
    stamp = meta["e_tag"] or str(meta["last_modified"])
    return Found(path, meta["size"], stamp)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def _downloaded(store: Any, only: str | None, found: list[Found], home: Path) -> Path:
    """A directory that is named after what the store said of its files, so that a change makes another one."""
    listing = json.dumps([[each.path, each.size, each.tag] for each in found])
    final = home / hashlib.sha256(listing.encode()).hexdigest()[:16]
    if final.exists():
        return final
    aside = home / f"{final.name}.partial"
    for each in found:
        target = aside / each.path
        if ".." in target.parts:
            raise Failure(Reason.STORAGE_UNAVAILABLE, f"the object {each.path!r} has no name that a file can have")
        if not target.exists():
            _download(store, each, target)
    aside.rename(final)
    for old in home.iterdir():  # of an older state of the same address
        if old.is_dir() and old != final:
            storage.discard(old)
    return final


def _download(store: Any, found: Found, target: Path) -> None:
    """Streamed to disk under another name; complete when it has its own."""
    import obstore

    # A weak tag (W/) says "as good as", which If-Match doesn't accept (RFC 9110, section 13.1.1).
    strong = found.tag.startswith('"')
    options = {"if_match": found.tag} if strong else None
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    with aside.open("wb") as stream:
        for chunk in obstore.get(store, found.path, options=options).stream(min_chunk_size=_CHUNK_BYTES):
            stream.write(chunk)
    if aside.stat().st_size != found.size:
        raise ConnectionError(f"{found.path} came with {aside.stat().st_size} of {found.size} bytes")
    aside.rename(target)


@contextmanager
def _told(uri: str, subject: Subject) -> Iterator[None]:
    """A store's errors told apart: absent, forbidden, changed meanwhile, or not reachable."""
    from obstore import exceptions

    try:
        yield
    except FileNotFoundError as error:
        raise _absent(uri, subject) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise _forbidden(uri, subject) from error
    except exceptions.PreconditionError as error:
        message = f"{subject.name}: {uri} changed while it was read; the run is retried"
        raise Failure(Reason.STORAGE_UNAVAILABLE, message) from error
    except (exceptions.BaseError, ConnectionError) as error:
        raise _other(uri, subject, str(error)) from error


def _absent(uri: str, subject: Subject) -> Failure:
    return Failure(subject.absent, f"{subject.name}: nothing is at {uri}; copy it there or correct the URI")


def _forbidden(uri: str, subject: Subject) -> Failure:
    remedy = f"give others in the Secret of secretRef ({_KEYS[scheme(uri)]})"
    return Failure(subject.forbidden, f"{subject.name}: {uri} is refused to these credentials; {remedy}")


def _other(uri: str, subject: Subject, said: str) -> Failure:
    """Errors that the library gives no class of their own."""
    if "NoSuchBucket" in said or "404 Not Found" in said:
        return _absent(uri, subject)
    if "403 Forbidden" in said or "401 Unauthorized" in said:
        return _forbidden(uri, subject)
    first = said.splitlines()[0][:300]
    if "169.254.169.254" in said or "metadata.google.internal" in said:
        remedy = f"no credentials were found; give them in the Secret of secretRef ({_KEYS.get(scheme(uri), '')})"
        return Failure(Reason.STORAGE_UNAVAILABLE, f"{subject.name}: {uri}: {remedy}")
    remedy = "check endpoint and network; the run is retried"
    return Failure(Reason.STORAGE_UNAVAILABLE, f"{subject.name}: {uri} can't be reached: {first}; {remedy}")
