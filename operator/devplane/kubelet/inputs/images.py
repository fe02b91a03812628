"""Which local program stands for an image: the table that was given, then a few images that every machine can play."""

from __future__ import annotations

import sys
from pathlib import Path

from devplane.context import Image, ImageTable

__all__ = ["BUILTIN", "Image", "ImageTable", "absent", "find"]

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


def absent(table: ImageTable, image: str) -> str:
    """Why an image can not be had, with the remedy."""
    return (
        f'no entry of the image table {table.source} matches "{image}"; devplane pulls nothing: '
        f"add an entry with its entrypoint and pass the file with --images"
    )
