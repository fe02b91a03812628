"""Memory as the kernel accounts for it: how often it killed here, the most that was held, and the limit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_KILLS = ("memory.events", "memory.oom_control")  # cgroup v2, v1
_PEAKS = ("memory.peak", "memory.max_usage_in_bytes")
_LIMITS = ("memory.max", "memory.limit_in_bytes")
_UNLIMITED = 2**60


def own(root: Path = _ROOT, membership: Path = Path("/proc/self/cgroup")) -> Path:
    """The directory of this process's memory accounts; in a container that is the root of what is mounted."""
    paths = {"0": "", "memory": ""}
    with suppress(OSError, ValueError):
        for line in membership.read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            paths.update({name: path for name in (number if number == "0" else "", *controllers.split(",")) if name})
    places = (root / paths["0"].lstrip("/"), root, root / "memory" / paths["memory"].lstrip("/"), root / "memory")
    return next((place for place in places if any((place / name).exists() for name in _KILLS)), root)


def kills(place: Path) -> int:
    for name in _KILLS:
        with suppress(OSError, ValueError):
            lines = dict(line.split(maxsplit=1) for line in (place / name).read_text().splitlines())
            return int(lines.get("oom_kill", "0"))
    return 0


def peak_bytes(place: Path) -> int | None:
    return _number(place, _PEAKS)


def limit_bytes(place: Path) -> int | None:
    limit = _number(place, _LIMITS)
    return limit if limit is not None and limit < _UNLIMITED else None


def _number(place: Path, names: tuple[str, ...]) -> int | None:
    for name in names:
        with suppress(OSError, ValueError):
            return int((place / name).read_text())
    return None
