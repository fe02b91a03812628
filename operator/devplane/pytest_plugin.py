"""The pytest plugin `devplane`: a control plane for a test session, and a namespace for each test.

With `--devplane-kubeconfig` the same tests run on a cluster that is there.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from devplane.outside.remote import RemoteFaults

ACCOUNT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DevplaneOptions:
    """What the command line says. `kubeconfig` None starts a control plane; the others are for that one alone."""

    images: Path | None = None
    nodes: int = 1
    kubeconfig: Path | None = None

    def arguments(self) -> list[str]:
        images = ["--images", str(self.images)] if self.images else []
        return [*images, "--nodes", str(self.nodes)]


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A cluster to test against. `data_dir` and `log` are None where it is not devplane."""

    kubeconfig: Path
    url: str
    data_dir: Path | None = None
    log: Path | None = None
    _clients: list[Any] = field(default_factory=list)

    @property
    def is_devplane(self) -> bool:
        return self.data_dir is not None

    def client(self) -> Any:
        """An `ApiClient` of the `kubernetes` package that is admin; one for the session."""
        if not self._clients:
            from kubernetes import config

            made = config.new_client_from_config(str(self.kubeconfig))  # type: ignore[no-untyped-call]
            self._clients.append(made)
        return self._clients[0]

    @property
    def faults(self) -> RemoteFaults:
        """Faults on demand; a test that asks for them is skipped on a cluster that has none."""
        if self.data_dir is None:
            pytest.skip("faults on demand are devplane's own; this is another cluster")
        from devplane.outside.remote import Remote, RemoteFaults

        return RemoteFaults(Remote.of(self.kubeconfig), (self.data_dir / "faults.token").read_text())


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("devplane", "devplane: an embedded Kubernetes control plane")
    group.addoption("--devplane-images", type=Path, metavar="FILE", help="table of the programs that stand for images")
    group.addoption("--devplane-nodes", type=int, default=1, metavar="N", help="how many nodes it has (default: 1)")
    group.addoption(
        "--devplane-kubeconfig", type=Path, metavar="PATH", help="run on this cluster, and start no devplane"
    )


@pytest.fixture(scope="session")
def devplane_options(request: pytest.FixtureRequest) -> DevplaneOptions:
    """What the command line says; a conftest that wants something else overrides it."""
    given = {name: request.config.getoption(f"devplane_{name}") for name in ("images", "nodes", "kubeconfig")}
    return DevplaneOptions(**given)


@pytest.fixture(scope="session")
def devplane(devplane_options: DevplaneOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for the session, or the cluster of `--devplane-kubeconfig`."""
    if devplane_options.kubeconfig is not None:
        found = ControlPlane(devplane_options.kubeconfig.expanduser(), "")
        host: str = found.client().configuration.host
        yield ControlPlane(found.kubeconfig, host, _clients=[found.client()])
        return
    from devplane.outside.spawned import spawned

    folder = tmp_path_factory.mktemp("devplane")
    with spawned(folder, devplane_options.arguments()) as started:
        yield ControlPlane(started.kubeconfig, started.url, folder / "data", started.log)


@pytest.fixture
def devplane_namespace(devplane: ControlPlane) -> Iterator[str]:
    """The name of a namespace of the test's own; deleted with all that it holds, which is not waited for.

    Faults that the test left are taken away first.
    """
    from kubernetes.client import CoreV1Api, V1Namespace, V1ObjectMeta

    core, name = CoreV1Api(devplane.client()), f"test-{uuid.uuid4().hex[:8]}"
    core.create_namespace(V1Namespace(metadata=V1ObjectMeta(name=name)))
    _wait_for_account(core, name)
    yield name
    if devplane.is_devplane:
        devplane.faults.clear()
    core.delete_namespace(name)


def _wait_for_account(core: Any, namespace: str) -> None:
    """Pods are refused until a controller has made the namespace's default service account."""
    from kubernetes.client import ApiException

    deadline = time.monotonic() + ACCOUNT_SECONDS
    while time.monotonic() < deadline:
        with suppress(ApiException):
            core.read_namespaced_service_account("default", namespace)
            return
        time.sleep(0.02)
    raise TimeoutError(f"namespace {namespace} has no service account default after {ACCOUNT_SECONDS:g} s")
