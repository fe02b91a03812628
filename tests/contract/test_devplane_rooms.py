"""The map of devplane's rooms in docs/devplane.md: every room is on it, in the order that the import contract holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEVPLANE = ROOT / "operator" / "devplane"
BUILT = (ROOT / "docs" / "devplane.md").read_text().partition("## How it is built")[2]


def rooms() -> list[str]:
    """Top-level names in the order of the table's rows, without ``.py`` and ``/``."""
    cells = re.findall(r"^\| (`[^|]+`) \|", BUILT, re.MULTILINE)
    return [name.removesuffix(".py") for cell in cells for name in re.findall(r"`(\w+(?:\.py)?)/?`", cell)]


def test_every_room_is_on_the_map() -> None:
    there = {path.stem for path in DEVPLANE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(rooms()) == sorted(there - {"__init__"})


def test_map_names_a_room_before_those_that_it_may_know() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one.get("containers") == ["devplane"])
    level = {name: at for at, layer in enumerate(layers) for name in layer.split(" | ")}
    outer = {"app", "outside", "pytest_plugin"}  # two rows, for what a reader starts and what tests start
    order = [level[name] for name in rooms() if name not in outer]
    assert order == sorted(order)


def test_files_that_the_map_sends_a_reader_to_are_there() -> None:
    named = re.findall(r"`([\w/]+\.py)`", BUILT)
    missing = [name for name in named if not any(DEVPLANE.rglob(name))]
    assert named
    assert not missing
