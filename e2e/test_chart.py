"""The chart on a cluster: the operator in a pod with no rights but the chart's trains and serves a model."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunebird.cli import local
from tunebird.cli.story import play

ROOT = Path(__file__).resolve().parents[1]
HELM = shutil.which("helm", path=f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[play.Stage]:
    """A local cluster whose operator came with `helm install`."""
    if HELM is None:
        pytest.skip("Helm is not installed: python3 tools/setup.py --tests unpacks it on amd64")
    home = tmp_path_factory.mktemp("chart")
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    cluster = local.up(local.Options(home, environment=environment, operator=False), say=print)
    try:
        stage = play.Stage(cluster, ROOT / "examples", say=print)
        helm(stage, "install", "tunebird", str(ROOT / "helm" / "tunebird"), "--set=crds.enabled=false", "--wait")
        play.bring_data(stage)
        yield stage
    finally:
        print(local.programs.tail(str(home / "devplane.log"), 40))
        local.down(home)


def helm(stage: play.Stage, *arguments: str) -> None:
    folder = stage.cluster.home / "helm"
    environment = {f"HELM_{part}_HOME": str(folder / part) for part in ("CACHE", "CONFIG", "DATA")}
    environment["KUBECONFIG"] = str(stage.cluster.kubeconfig)
    argv = [str(HELM), *arguments, f"--namespace={local.NAMESPACE}", "--timeout=60s"]
    subprocess.run(argv, check=True, env={**os.environ, **environment})


def test_the_charts_rights_are_enough_to_train_and_to_serve(installed: play.Stage) -> None:
    installed.apply("21-tiny-v1.yaml", "41-chat-v1.yaml")
    job = play.follow(installed, "finetunejob", "tiny-v1", 600, lambda _: None)
    rollout = play.follow(installed, "modelrollout", "chat", 600, lambda _: None)
    assert job["status"]["artifact"]["digest"].startswith("sha256:")
    assert rollout["status"]["stable"]["readyReplicas"] == 1
    assert play.asked(installed, "chat.example.com", "chat", "What is a pod?")


def test_a_trainers_pod_has_no_rights_at_all(installed: play.Stage) -> None:
    answer = subprocess.run(
        installed.kubectl.argv("auth", "can-i", "--list", "--as=system:serviceaccount:default:default"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "finetunejobs" not in answer
    assert "secrets" not in answer
