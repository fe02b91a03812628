"""How a command in a container ended, as the last message of its connection says it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devplane.errors import ApiError

Obj = dict[str, Any]

SUCCESS: Obj = {"metadata": {}, "status": "Success"}
_RUNTIME = "OCI runtime exec failed: exec failed: unable to start container process"


def ended(code: int | None) -> Obj:
    """The exit code of an exec; None is an attach that is over."""
    if not code:
        return SUCCESS
    text = f"command terminated with non-zero exit code: command terminated with exit code {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def not_started(argv: Sequence[str], why: str) -> Obj:
    place = f'failed to exec in container: failed to start exec "{argv[0]}"'
    return ApiError.internal(f"error executing command in container: {place}: {_RUNTIME}: {why}: unknown").status()


def not_running(container: str) -> Obj:
    return ApiError.internal(f"unable to upgrade connection: {absent(container)}").status()


def absent(container: str) -> str:
    """As the kubelet says it of a container that does not run."""
    return f'container not found ("{container}")'
