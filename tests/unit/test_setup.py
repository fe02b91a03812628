"""`tools/setup.py` brings what only tests talk to where tests are asked for, and nowhere else."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("install_trainer", "install_operator", "install_clients", "install_test_tools", "check_system")
DEMO = {"install_trainer", "install_operator"}


def steps_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> set[str]:
    """The steps that setup takes when it is called so."""
    module = runpy.run_path(str(ROOT / "tools" / "setup.py"))
    taken: set[str] = set()
    for name in STEPS:
        module["main"].__globals__[name] = lambda name=name: taken.add(name)
    monkeypatch.setattr(sys, "argv", ["setup.py", *arguments])
    assert module["main"]() == 0
    return taken


def test_the_demo_needs_two_environments_and_no_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps_of(monkeypatch) == DEMO


def test_tests_bring_what_they_talk_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps_of(monkeypatch, "--tests") == set(STEPS)
    assert steps_of(monkeypatch, "--tests", "--no-system") == set(STEPS) - {"check_system"}


def test_make_asks_for_the_programs_of_tests_only_before_tests() -> None:
    makefile = (ROOT / "Makefile").read_text()
    needs = dict(re.findall(r"^([a-z-]+): (setup[a-z-]*)$", makefile, flags=re.MULTILINE))
    assert needs["demo"] == "setup"
    assert {needs[target] for target in ("test", "test-slow", "test-long")} == {"setup-tests"}
    assert re.search(r"^setup:\n\tpython3 tools/setup\.py$", makefile, flags=re.MULTILINE)
