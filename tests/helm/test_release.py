"""A release's whole life on a control plane: real helm, real kubectl, devplane's API server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "tunebird"
CRDS = {"finetunejobs.tunebird.dev", "modelrollouts.tunebird.dev"}


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An API server without controllers: nothing that helm creates is started."""
    folder = tmp_path_factory.mktemp("devplane")
    command = [sys.executable, "-m", "devplane", "serve", "--data-dir", str(folder), "--api-only"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Path(json.loads(process.stdout.readline())["kubeconfig"])
        finally:
            process.terminate()


@pytest.fixture
def names(kubeconfig: Path) -> Any:
    """names("deployments"): the names of all objects of a kind in namespace `platform`, or of the cluster."""
    kubectl = str(Path(sys.executable).with_name("kubectl"))

    def of(resource: str) -> set[str]:
        command = [kubectl, "--kubeconfig", str(kubeconfig), "get", resource, "-n", "platform", "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return {item["metadata"]["name"] for item in json.loads(done.stdout)["items"]}

    return of


def test_install_upgrade_rollback_uninstall(helm: Any, kubeconfig: Path, names: Any):
    place = ("--namespace", "platform")
    installed = helm("install", "prod", CHART, "--create-namespace", *place, kubeconfig=kubeconfig)
    assert installed.code == 0, installed.error
    assert "helm uninstall" in installed.out
    assert names("deployments") == {"prod-tunebird"}
    assert names("customresourcedefinitions") >= CRDS
    assert names("clusterroles") >= {"platform-prod-tunebird"}

    upgraded = helm("upgrade", "prod", CHART, *place, "--set", "networkPolicy.enabled=true", kubeconfig=kubeconfig)
    assert upgraded.code == 0, upgraded.error
    assert names("networkpolicies") == {"prod-tunebird"}

    assert helm("rollback", "prod", "1", *place, kubeconfig=kubeconfig).code == 0
    assert names("networkpolicies") == set()

    removed = helm("uninstall", "prod", *place, kubeconfig=kubeconfig)
    assert removed.code == 0, removed.error
    assert names("deployments") == set()
    assert names("clusterroles") & {"platform-prod-tunebird"} == set()
    assert names("customresourcedefinitions") >= CRDS


def test_the_kept_crds_can_be_left_alone_or_taken_over(helm: Any, kubeconfig: Path, names: Any):
    """They still carry the name of the release that brought them, so helm asks before another one takes them."""
    place = ("--namespace", "platform", "--create-namespace", "--set", "watchNamespaces={platform}")
    assert helm("install", "old", CHART, *place, "--take-ownership", kubeconfig=kubeconfig).code == 0
    assert helm("uninstall", "old", "--namespace", "platform", kubeconfig=kubeconfig).code == 0

    refused = helm("install", "new", CHART, *place, kubeconfig=kubeconfig)
    assert refused.code != 0
    assert "finetunejobs.tunebird.dev" in refused.error
    beside = helm("install", "new", CHART, *place, "--set", "crds.enabled=false", kubeconfig=kubeconfig)
    assert beside.code == 0, beside.error
    assert names("roles") >= {"platform-new-tunebird", "new-tunebird-lease"}
    taken = helm("upgrade", "new", CHART, *place, "--take-ownership", kubeconfig=kubeconfig)
    assert taken.code == 0, taken.error
