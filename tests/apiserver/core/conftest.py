"""A control plane with the CRDs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.operators import Cluster
from fakes.processes import ROOT, devplane, until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with devplane(folder) as kubeconfig:
        made = Cluster(folder, kubeconfig)
        made.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        for name in ("tunebird-system", "ml"):
            made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        until(lambda: "finetunejobs" in made.kubectl("api-resources"), "the CRDs are served")
        yield made
