"""The real helm, and what the chart renders to."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "tunebird"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    error: str


Helm = Callable[..., Done]
Manifests = list[dict[str, Any]]
Render = Callable[..., Manifests]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    binary = ROOT / ".tools" / "bin" / "helm"
    program = str(binary) if binary.exists() else shutil.which("helm")
    if program is None:
        pytest.skip("no helm: tools/setup.py --tests unpacks it")
    home = tmp_path_factory.mktemp("helm")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR")}
    homes = {f"HELM_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}

    def run(*arguments: str | Path, kubeconfig: Path | None = None) -> Done:
        where = {"KUBECONFIG": str(kubeconfig or home / "none")}
        command = [program, *map(str, arguments)]
        done = subprocess.run(
            command, env={**kept, **homes, **where}, capture_output=True, text=True, check=False, timeout=120
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """render("name", "--set", …): the manifests of a release of that name in namespace `platform`."""

    def manifests(release: str = "tunebird", *arguments: str | Path) -> Manifests:
        done = helm("template", release, CHART, "--namespace", "platform", *arguments)
        assert done.code == 0, done.error
        return [manifest for manifest in yaml.safe_load_all(done.out) if manifest]

    return manifests
