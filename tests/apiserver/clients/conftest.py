"""What the client tests share: a custom resource that is served, and clients of the `kubernetes` package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apiserver.clients import widgets
from apiserver.conftest import Cluster
from devplane.pytest_plugin import ControlPlane


@pytest.fixture
def group(cluster: Cluster) -> Iterator[str]:
    """The group of a CRD that is served."""
    name = widgets.group()
    cluster.kubectl("apply", "-f", "-", stdin=widgets.definition(name))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/widgets.{name}", "--timeout=10s")
    yield name
    cluster.kubectl("delete", "crd", f"widgets.{name}", "--timeout=30s")


@pytest.fixture
def api(devplane: ControlPlane) -> Any:
    return devplane.client()
