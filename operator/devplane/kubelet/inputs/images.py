"""Which local program stands for an image: the table that was given, then a few images that every machine can play."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from devplane.context import Image, ImageTable
from devplane.errors import go_quote

__all__ = ["BUILTIN", "Image", "ImageTable", "absent", "find", "malformed"]

_PYTHON = str(Path(sys.executable).parent)


def _everywhere(name: str, cmd: tuple[str, ...], path: tuple[str, ...] = ()) -> tuple[Image, ...]:
    globs = (name, f"{name}:*", f"{name}@*", f"*/{name}", f"*/{name}:*", f"*/{name}@*")
    return tuple(Image(glob, path=path, cmd=cmd) for glob in globs)


BUILTIN = ImageTable(
    (
        *_everywhere("busybox", ("/bin/sh",)),
        *_everywhere("alpine", ("/bin/sh",)),
        *_everywhere("debian", ("/bin/sh",)),
        *_everywhere("python", (sys.executable,), (_PYTHON,)),
        *_everywhere("pause", ("/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait; done")),
    ),
    "built in",
)


def find(table: ImageTable, image: str) -> Image | None:
    return table.find(image) or BUILTIN.find(image)


_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@{_DIGEST})?", re.ASCII)


def malformed(image: str) -> str:
    """What is wrong with a name that can't be an image's; empty for one that can."""
    if _REFERENCE.fullmatch(image):
        return ""
    repository = _repository(image)
    why = "" if repository == repository.lower() else f": repository name ({repository}) must be lowercase"
    parsed = f"couldn't parse image name {go_quote(image)}: invalid reference format{why}"
    return f"Failed to apply default image tag {go_quote(image)}: {parsed}"


def _repository(image: str) -> str:
    """The name below the registry, without a tag; that of Docker Hub's own images begins with ``library/``."""
    first, slash, rest = image.partition("/")
    is_registry = bool(slash) and (first == "localhost" or first != first.lower() or any(one in first for one in ".:"))
    name = rest if is_registry else image
    return (name if is_registry or slash else f"library/{name}").split(":")[0]


def absent(table: ImageTable, image: str) -> str:
    """Why an image can not be had, with the remedy."""
    return (
        f'no entry of the image table {table.source} matches "{image}"; devplane pulls nothing: '
        f"add an entry with its entrypoint and pass the file with --images"
    )
