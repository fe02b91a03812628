"""kopf's handlers: registration, and one call each."""

from __future__ import annotations

import kopf

from tunebird.handlers import children, finetunejobs, lifecycle, modelrollouts


def registry() -> kopf.OperatorRegistry:
    """All handlers of the operator; they reach it as `memo.app`."""
    ours = kopf.OperatorRegistry()
    for module in (lifecycle, finetunejobs, modelrollouts, children):
        module.register(ours)
    return ours
