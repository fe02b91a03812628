"""The local cluster's context in the user's own kubeconfig: merged on request, and taken out again.

Every other entry stays as it is. A write is whole or not at all, and holds the lock that kubectl takes.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml

Object = dict[str, Any]

CONTEXT = "tunebird-dev"
LISTS = ("clusters", "users", "contexts")
OWNER = "tunebird.dev/home"
LOCK_SECONDS = 5.0


def users_file(ours: Path) -> Path:
    """Where kubectl would write: the last existing file of $KUBECONFIG, or ~/.kube/config; never `ours`."""
    named = [Path(one).expanduser() for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    others = [path for path in named if path.resolve() != ours.resolve()]
    existing = [path for path in others if path.exists()]
    return (existing or others or [Path.home() / ".kube" / "config"])[-1]


def merge(ours: Path, home: Path, target: Path) -> None:
    """Put the context of the cluster of `home` into `target`; it becomes current only where none is.

    Raises:
        click.ClickException: the context there is somebody else's, or the file can't be read.
    """
    document = _load(ours)
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    owner = {"name": OWNER, "extension": {"home": str(home)}}
    context = {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default", "extensions": [owner]}
    entries = {
        "clusters": {"name": CONTEXT, "cluster": cluster},
        "users": {"name": CONTEXT, "user": user},
        "contexts": {"name": CONTEXT, "context": context},
    }

    def change(theirs: Object) -> None:
        _check_owner(theirs, home, target)
        for key, entry in entries.items():
            theirs[key] = [*_others(theirs, key), entry]
        theirs["current-context"] = theirs.get("current-context") or CONTEXT

    _rewrite(target, change)


def unmerge(home: Path, target: Path) -> None:
    """Take the context out of `target` again, if it is that of the cluster of `home`."""
    if not target.exists() or _owner(_load(target)) != str(home):
        return

    def change(theirs: Object) -> None:
        for key in LISTS:
            theirs[key] = _others(theirs, key)
        if theirs.get("current-context") == CONTEXT:
            theirs["current-context"] = ""

    _rewrite(target, change)


def _others(document: Object, key: str) -> list[Object]:
    return [entry for entry in document.get(key) or () if entry.get("name") != CONTEXT]


def _check_owner(document: Object, home: Path, target: Path) -> None:
    owner = _owner(document)
    if owner is None or owner == str(home):
        return
    remedy = f"`tunebird dev down --home {owner}` takes it out" if owner else "rename or delete it first"
    raise click.ClickException(f"{target}: context {CONTEXT} is not that of {home}: {remedy}")


def _owner(document: Object) -> str | None:
    """The home that the context there belongs to; empty where nobody wrote one, None without such a context."""
    found = next((one for one in document.get("contexts") or () if one.get("name") == CONTEXT), None)
    if found is None:
        return None
    extensions = (found.get("context") or {}).get("extensions") or ()
    return next((str(one["extension"]["home"]) for one in extensions if one.get("name") == OWNER), "")


def _rewrite(target: Path, change: Callable[[Object], None]) -> None:
    """Change the file under kubectl's lock, written aside and renamed; a link stays a link."""
    real = target.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    with _locked(real):
        document = _load(real) if real.exists() else {"apiVersion": "v1", "kind": "Config", "preferences": {}}
        change(document)
        mode = real.stat().st_mode & 0o777 if real.exists() else 0o600
        handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
        aside = Path(name)
        try:
            with os.fdopen(handle, "w") as file:
                yaml.dump(document, file, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
                file.flush()
                os.fsync(file.fileno())
            aside.chmod(mode)
            aside.replace(real)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(f"{path.name}.lock")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                message = f"{lock} is held: another program is changing {path}, or was killed; then delete the lock"
                raise click.ClickException(message) from None
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _load(path: Path) -> Object:
    try:
        document = yaml.load(path.read_text(), Loader=_Loader) or {}  # noqa: S506 (a SafeLoader)
    except (OSError, yaml.YAMLError) as error:
        raise click.ClickException(f"{path} can't be read: {error}") from error
    if not isinstance(document, dict):
        raise click.ClickException(f"{path} is not a kubeconfig: its top is no mapping")
    return document


class _Loader(yaml.SafeLoader):
    """Times stay the text they are."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Quotes what Go's reader of YAML may take for a number, where Python's does not (``1e3``, ``0o7``)."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if re.match(r"[-+.~0-9]|[yYnN]$", value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
