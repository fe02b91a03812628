"""Mount paths become local directories: they are rewritten where they stand at a path boundary in text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rewriter:
    """`local` maps each mount path of a container to the local path that stands for it. The longest path wins, and
    what was put in is not looked at again."""

    local: Mapping[str, str]
    _pattern: re.Pattern[str] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        paths = sorted((path.rstrip("/") for path in self.local if path.rstrip("/")), key=len, reverse=True)
        pattern = None
        if paths:
            alternatives = "|".join(re.escape(path) for path in paths)
            pattern = re.compile(rf"(?:(?<=://)|(?<![\w./~-]))(?:{alternatives})(?![\w.-])")
        object.__setattr__(self, "_pattern", pattern)

    def __call__(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._replacement(match.group()), text)

    def _replacement(self, path: str) -> str:
        return self.local[path] if path in self.local else self.local[f"{path}/"]


def archive_names(argv: tuple[str, ...], local: Mapping[str, str]) -> tuple[str, ...]:
    """What lets (GNU) tar write the mount's path where it reads the local one: `kubectl cp` looks for that."""
    if len(argv) < 2 or argv[0].rpartition("/")[2] != "tar" or "c" not in argv[1].lstrip("-"):
        return ()
    read = {mount: path for mount, path in local.items() if any(word.startswith(path) for word in argv[2:])}
    return tuple(f"--transform=flags=r;s|^{_literal(path)}|{mount.strip('/')}|" for mount, path in read.items())


def _literal(path: str) -> str:
    return re.sub(r"([.\[\]*^$|\\])", r"\\\1", path.strip("/"))
