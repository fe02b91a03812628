"""A control plane with the CRDs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.operators import Cluster
from fakes.processes import devplane


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with devplane(folder) as kubeconfig:
        made = Cluster(folder, kubeconfig)
        made.prepare()
        yield made
