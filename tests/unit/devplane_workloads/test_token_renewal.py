"""Projected tokens are renewed in time.

https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#launch-a-pod-using-service-account-token-projection
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from devplane.kubelet.inputs import volumes
from devplane.kubelet.inputs.environment import PodFacts, Sources

START = datetime(2026, 1, 1, tzinfo=UTC)


def facts(seconds: int) -> PodFacts:
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": seconds}}
    pod: dict[str, Any] = {"spec": {"volumes": [{"name": "t", "projected": {"sources": [token]}}]}}
    return PodFacts(pod, "127.64.0.1", "127.0.0.1", "devplane", {})


@pytest.mark.parametrize(
    ("seconds", "after"),
    [(3600, timedelta(minutes=48)), (600, timedelta(minutes=8)), (10 * 86400, timedelta(days=1))],
)
def test_a_token_is_renewed_after_four_fifths_of_its_life_and_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, after: timedelta
) -> None:
    minted: list[str] = []

    def mint(_: str, __: int) -> str:
        minted.append(f"token-{len(minted)}")
        return minted[-1]

    held = volumes.Volumes(facts(seconds), tmp_path, cast("Sources", None), lambda _: tmp_path, mint)
    monkeypatch.setattr(volumes, "now", lambda: START)
    held.set_up()
    assert held.renewal() == START + after
    monkeypatch.setattr(volumes, "now", lambda: START + after - timedelta(seconds=1))
    held.refresh(facts(seconds))
    assert (tmp_path / "t" / "token").read_text() == "token-0"
    monkeypatch.setattr(volumes, "now", lambda: START + after)
    held.refresh(facts(seconds))
    assert (tmp_path / "t" / "token").read_text() == "token-1"
