"""A cluster to speak to: devplane as a process of its own, or the one of TUNEBIRD_TEST_KUBECONFIG."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from apiserver.clients import widgets
from devplane.pytest_plugin import ControlPlane, DevplaneOptions

KUBECTL = Path(sys.prefix) / "bin" / "kubectl"


@dataclass(frozen=True)
class Cluster:
    """A kubeconfig, a namespace of the test's own, and the kubectl to ask with."""

    kubeconfig: Path
    namespace: str
    program: str = str(KUBECTL)

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def run(self, *args: str, stdin: Any = None, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        """kubectl in the namespace; `stdin` is text, or an object that is sent as JSON."""
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        command = [self.program, "-n", self.namespace, *args]
        return subprocess.run(
            command, check=False, env=self.env, input=text, capture_output=True, text=True, timeout=seconds
        )

    def kubectl(self, *args: str, stdin: Any = None, seconds: float = 90) -> str:
        """What kubectl prints; fails with what it complains of."""
        done = self.run(*args, stdin=stdin, seconds=seconds)
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}{done.stdout}"
        return done.stdout

    def start(self, *args: str) -> subprocess.Popen[str]:
        command = [self.program, "-n", self.namespace, *args]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="session")
def devplane_options(devplane_options: DevplaneOptions) -> DevplaneOptions:
    """The cluster of TUNEBIRD_TEST_KUBECONFIG, where that is set."""
    given = os.environ.get("TUNEBIRD_TEST_KUBECONFIG")
    return replace(devplane_options, kubeconfig=Path(given)) if given else devplane_options


@pytest.fixture
def cluster(devplane: ControlPlane, devplane_namespace: str) -> Cluster:
    """kubectl in a fresh namespace."""
    return Cluster(devplane.kubeconfig, devplane_namespace)


@pytest.fixture
def api(devplane: ControlPlane) -> Any:
    """An `ApiClient` of the `kubernetes` package."""
    return devplane.client()


@pytest.fixture
def group(cluster: Cluster) -> Iterator[str]:
    """The group of a CRD that is served."""
    name = widgets.group()
    cluster.kubectl("apply", "-f", "-", stdin=widgets.definition(name))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/widgets.{name}", "--timeout=60s")
    yield name
    for left in cluster.kubectl("get", f"widgets.{name}", "-o", "name").split():  # an operator that ended held them
        cluster.run("patch", left, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    cluster.kubectl("delete", "crd", f"widgets.{name}", "--timeout=60s")
