"""What controllers and the kubelet are given beside their client: places, images, tokens, the node's capacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devplane.access.tokens import Tokens


class ImageTableError(ValueError):
    """The image table says something that can not be meant; the message names the entry and the field."""


@dataclass(frozen=True, slots=True)
class Image:
    """How containers of images that match the glob `image` start; `command` of the container replaces `entrypoint`,
    and its `args` replace `cmd`."""

    image: str
    entrypoint: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cmd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageTable:
    """The local programs that stand for images; the first match counts."""

    images: tuple[Image, ...] = ()
    source: str = "(none given)"

    def find(self, image: str) -> Image | None:
        return next((entry for entry in self.images if fnmatchcase(image, entry.image)), None)

    @classmethod
    def load(cls, path: Path) -> ImageTable:
        import yaml

        content = yaml.safe_load(path.read_text()) or {}
        unknown = sorted(set(content) - {"images"})
        if unknown:
            raise ImageTableError(f"{path}: unknown field {unknown[0]!r}; the only field is 'images'")
        entries = tuple(_image(f"{path}: images[{at}]", one) for at, one in enumerate(content.get("images") or ()))
        return cls(entries, str(path))


_FIELDS = {"image", "entrypoint", "cmd", "path", "env"}


def _image(where: str, entry: Mapping[str, Any]) -> Image:
    if unknown := sorted(set(entry) - _FIELDS):
        raise ImageTableError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
    if not isinstance(entry.get("image"), str):
        raise ImageTableError(f"{where}.image: {entry.get('image')!r} is not a glob of image names")
    return Image(
        entry["image"],
        tuple(str(word) for word in entry.get("entrypoint") or ()),
        tuple(str(word) for word in entry.get("path") or ()),
        {key: str(value) for key, value in (entry.get("env") or {}).items()},
        tuple(str(word) for word in entry.get("cmd") or ()),
    )


@dataclass(frozen=True, slots=True)
class Context:
    """`server_url` and `ca_pem` are what a pod needs to reach the API; `tokens` mints its service account's tokens.

    CPU, memory and GPUs are what each of the nodes declares. `cgroup` is where control groups are made, if not here.
    """

    data_dir: Path
    images: ImageTable
    server_url: str
    ca_pem: str
    tokens: Tokens
    pod_network: IPv4Network
    nodes: tuple[str, ...] = ("devplane",)
    cpu: str = "4"
    memory: str = "8Gi"
    gpus: int = 0
    cgroup: Path | None = None
