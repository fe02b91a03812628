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


EXAMPLE = "docs/devplane.md shows one"


class ImageTableError(ValueError):
    """The image table can not be meant; the message names the file, the entry and the field, and says what can."""


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
        """The table in a file of YAML.

        Raises:
            ImageTableError: the file can't be read, or is no table.
        """
        where = f"image table {path}"
        content = _parsed(where, path)
        if not isinstance(content, dict):
            raise ImageTableError(f"{where}: {_shape(content)} is no image table; {EXAMPLE}")
        if unknown := [key for key in content if key != "images"]:
            raise ImageTableError(f"{where}: unknown field {unknown[0]!r}; the only field is 'images'")
        entries = content.get("images") or []
        if not isinstance(entries, list):
            raise ImageTableError(f"{where}: images: {entries!r} is not a list; {EXAMPLE}")
        return cls(tuple(_image(f"{where}: images[{at}]", one) for at, one in enumerate(entries)), str(path))


_FIELDS = ("image", "entrypoint", "cmd", "path", "env")


def _parsed(where: str, path: Path) -> Any:
    """An empty file is an empty table."""
    import yaml

    try:
        found = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ImageTableError(f"{where}: {error.strerror}; give the path of a YAML file; {EXAMPLE}") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ImageTableError(f"{where}: {line}it is not YAML: {error.problem}; {EXAMPLE}") from error
    except yaml.YAMLError as error:
        raise ImageTableError(f"{where}: it is not YAML: {' '.join(str(error).split())}; {EXAMPLE}") from error
    return {} if found is None else found


def _shape(content: Any) -> str:
    return "a list" if isinstance(content, list) else repr(content)


def _image(where: str, entry: Any) -> Image:
    if not isinstance(entry, dict):
        raise ImageTableError(f"{where}: {entry!r} is no entry; {EXAMPLE}")
    if unknown := [key for key in entry if key not in _FIELDS]:
        raise ImageTableError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(_FIELDS)}")
    image = entry.get("image")
    if not isinstance(image, str) or not image:
        raise ImageTableError(f"{where}.image: {image!r} is not a glob of image names; give one as 'busybox:*'")
    lists = {name: _words(f"{where}.{name}", entry.get(name)) for name in ("entrypoint", "path", "cmd")}
    return Image(image, env=_environment(f"{where}.env", entry.get("env")), **lists)


def _words(where: str, given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(_is_text(one) for one in given):
        example = str(given).split() if _is_text(given) else ["a", "b"]
        raise ImageTableError(f"{where}: {given!r} is not a list of texts; write one as {example!r}")
    return tuple(str(word) for word in given)


def _environment(where: str, given: Any) -> dict[str, str]:
    found = {} if given is None else given
    if not isinstance(found, dict) or not all(_is_text(one) for pair in found.items() for one in pair):
        raise ImageTableError(f"{where}: {given!r} is not a map of texts; write one as {{NAME: 'value'}}")
    return {str(name): str(value) for name, value in found.items()}


def _is_text(value: Any) -> bool:
    """Numbers count as they are written; yes, no and nothing don't, which YAML reads from plain words."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


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
