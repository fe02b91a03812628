"""The pytest plugin `devplane`: a control plane for a test session, and a namespace for each test.

With `--devplane-kubeconfig` the same tests run on a cluster that is there.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
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

    def problem(self) -> str:
        """What of it can not be meant, as one sentence; nothing where all is well."""
        if self.kubeconfig is not None and not self.kubeconfig.expanduser().is_file():
            return f"--devplane-kubeconfig {self.kubeconfig}: no such file; leave the option out to start devplane"
        if self.nodes != 1 and (why := _problem_of_nodes(self.nodes)):
            return why
        return _problem_of_table(self.images) if self.images is not None else ""


def _problem_of_nodes(count: int) -> str:
    from devplane.app import MOST_NODES

    return "" if 1 <= count <= MOST_NODES else f"--devplane-nodes {count}: give 1 to {MOST_NODES}"


def _problem_of_table(path: Path) -> str:
    from devplane.context import ImageTable, ImageTableError

    try:
        ImageTable.load(path)
    except ImageTableError as error:
        return f"--devplane-images: {error}"
    return ""


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


def pytest_configure(config: pytest.Config) -> None:
    if why := _given(config).problem():
        raise pytest.UsageError(why)


def _given(config: pytest.Config) -> DevplaneOptions:
    return DevplaneOptions(**{name: config.getoption(f"devplane_{name}") for name in ("images", "nodes", "kubeconfig")})


@pytest.fixture(scope="session")
def devplane_options(request: pytest.FixtureRequest) -> DevplaneOptions:
    """What the command line says; a conftest that wants something else overrides it."""
    return _given(request.config)


@pytest.fixture(scope="session")
def devplane(devplane_options: DevplaneOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for the session, or the cluster of `--devplane-kubeconfig`."""
    if why := devplane_options.problem():
        pytest.fail(why, pytrace=False)
    if devplane_options.kubeconfig is not None:
        yield _there(devplane_options.kubeconfig.expanduser())
        return
    from devplane.outside.spawned import NotReadyError, spawned

    folder = tmp_path_factory.mktemp("devplane")
    with ExitStack() as stack:
        try:
            started = stack.enter_context(spawned(folder, devplane_options.arguments()))
        except NotReadyError as error:
            pytest.fail(str(error), pytrace=False)
        yield ControlPlane(started.kubeconfig, started.url, folder / "data", started.log)


def _there(kubeconfig: Path) -> ControlPlane:
    """A cluster that somebody else has started."""
    from kubernetes.config import ConfigException

    found = ControlPlane(kubeconfig, "")
    try:
        host: str = found.client().configuration.host
    except ConfigException as error:
        pytest.fail(f"--devplane-kubeconfig {kubeconfig}: {error}", pytrace=False)
    return ControlPlane(kubeconfig, host, _clients=[found.client()])


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
