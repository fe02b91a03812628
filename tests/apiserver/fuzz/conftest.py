"""A devplane that is fuzzed: an API server alone, so that nothing of what it is sent ever runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import Wire
from apiserver.fuzz.worlds import prepare
from devplane.outside.spawned import Spawned, spawned

COMPLAINTS = ("Failed to answer", "was never retrieved", "Unhandled exception")


@pytest.fixture(scope="session")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spawned]:
    with spawned(tmp_path_factory.mktemp("fuzzed"), ["--api-only"]) as started:
        prepare(Wire.of(started.kubeconfig))
        yield started


@pytest.fixture
def wire(fuzzed: Spawned) -> Iterator[Wire]:
    """A connection; afterwards the server must live and have nothing to complain of."""
    before = fuzzed.log.stat().st_size
    connection = Wire.of(fuzzed.kubeconfig)
    yield connection
    assert judged(connection.ask("GET", "/readyz", accept="*/*")).code == 200
    connection.close()
    said = fuzzed.log.read_bytes()[before:].decode()
    assert not any(word in said for word in COMPLAINTS), said[-4000:]


_numbers = itertools.count()


@pytest.fixture
def namespaces(wire: Wire) -> Callable[[], str]:
    """Makes a namespace, and says its name."""

    def new() -> str:
        name = f"fuzz-{next(_numbers)}"
        wire.made("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    return new
