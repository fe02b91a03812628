"""The client suite is a conformance suite: enough of it, each case with its source, nothing of devplane inside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "tests" / "apiserver" / "clients"
LEAST = 150

KUBERNETES = re.compile(r"https://(kubernetes\.io/docs/|github\.com/kubernetes/|gateway-api\.sigs\.k8s\.io/)[\w./#-]+")
COLLECT = """
import json, sys, pytest
class Cases:
    def pytest_collection_finish(self, session):
        for item in session.items:
            cites = [url for mark in item.iter_markers("cites") for url in mark.args]
            print("CASE", json.dumps([item.nodeid, cites]))
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", sys.argv[1]], plugins=[Cases()]))
"""


@pytest.fixture(scope="module")
def cases() -> dict[str, list[str]]:
    """Each case of the suite, and what it cites."""
    command = [sys.executable, "-c", COLLECT, str(SUITE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (line.removeprefix("CASE ") for line in done.stdout.splitlines() if line.startswith("CASE "))
    return dict(json.loads(line) for line in lines)


def test_each_case_cites_kubernetes(cases: dict[str, list[str]]) -> None:
    silent = [case for case, cites in cases.items() if not any(KUBERNETES.fullmatch(url) for url in cites)]
    assert silent == []


def test_there_are_enough_cases_of_each_client(cases: dict[str, list[str]]) -> None:
    assert len(cases) >= LEAST
    files = {case.partition("::")[0].rpartition("/")[2] for case in cases}
    assert files >= {
        *("test_kubectl.py", "test_kubectl_versions.py", "test_helm.py", "test_kopf.py"),
        *("test_python_client.py", "test_python_kinds.py", "test_gateway.py"),
    }


def test_kubectl_is_tried_in_three_versions(cases: dict[str, list[str]]) -> None:
    tried = [case.rpartition("[")[2].rstrip("]") for case in cases if "test_kubectl_versions.py" in case]
    assert {version: tried.count(version) for version in set(tried)}.keys() == {"1.33", "1.35", "1.37"}


@pytest.mark.parametrize("path", sorted(SUITE.glob("*.py")), ids=lambda path: path.name)
def test_suite_knows_devplane_by_its_fixtures_alone(path: Path) -> None:
    imported = re.findall(r"^(?:from|import) (devplane[\w.]*)", path.read_text(), re.MULTILINE)
    assert set(imported) <= {"devplane.pytest_plugin"}
