"""What the client tests share: plain requests over the connection of the `kubernetes` package."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.clients.raw import Raw


@pytest.fixture
def raw(api: Any, devplane_namespace: str) -> Raw:
    return Raw(api, devplane_namespace)
