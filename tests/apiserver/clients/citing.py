"""Every case of this suite names what it holds a control plane to."""

from __future__ import annotations

import pytest


def docs(*pages: str) -> pytest.MarkDecorator:
    """Pages of Kubernetes' documentation, as paths below kubernetes.io/docs/."""
    return pytest.mark.cites(*(f"https://kubernetes.io/docs/{page}" for page in pages))


def source(*paths: str) -> pytest.MarkDecorator:
    """Files of Kubernetes' own source."""
    return pytest.mark.cites(*(f"https://github.com/kubernetes/kubernetes/blob/v1.33.0/{path}" for path in paths))
