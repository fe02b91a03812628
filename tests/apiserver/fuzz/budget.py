"""How much is tried. By default little; tests marked long (`make test-long`) try more, TUNEBIRD_FUZZ even more.

The examples are the same in each run of the same code. Other code is met with others, because Hypothesis also draws
from the constants that it finds in the source: so the long tests, which may well find something that was there before,
are no part of what judges a change. ``TUNEBIRD_FUZZ=100 pytest tests/apiserver/fuzz -k long`` tries a hundred times
what they try, other examples in each run, for hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

FACTOR = float(os.environ.get("TUNEBIRD_FUZZ") or 0)
LONG = 12
LONG_SECONDS = 0 if FACTOR else 3000

SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(1, id="quick"),
        pytest.param(LONG, id="long", marks=[pytest.mark.long, pytest.mark.timeout(LONG_SECONDS)]),
    ],
)
"""For a test with the argument `size`: a modest run, and a long one."""


def sized(examples: int, size: int, **more: Any) -> settings:
    """Settings for `examples` × `size`; nothing depends on how fast the machine is."""
    wanted = int(examples * size * (FACTOR if FACTOR and size > 1 else 1))
    return settings(
        max_examples=wanted,
        deadline=None,
        derandomize=not FACTOR,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        **more,
    )


def explore(check: Callable[..., None], examples: int, size: int, **strategies: Any) -> None:
    """Call `check` with values of the strategies."""
    given(**strategies)(sized(examples, size)(check))()
