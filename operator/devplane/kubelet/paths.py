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
