"""Probes and hooks of containers: which handlers they name, and with which numbers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import rules
from devplane.schemas.types import Obj

HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_HEADER = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)


def validate(container: Obj, path: str, grace: int) -> Iterator[Cause]:
    """Probes and hooks of one container; `grace` is what its pod gives it to end, in seconds."""
    for moment in ("postStart", "preStop"):
        if (hook := (container.get("lifecycle") or {}).get(moment)) is not None:
            yield from _handlers(hook, f"{path}.lifecycle.{moment}", grace)
    for name in PROBES:
        if name in container:
            yield from _probe(container[name], f"{path}.{name}", name, grace)


def _probe(probe: Obj, path: str, name: str, grace: int) -> Iterator[Cause]:
    yield from _handlers(probe, path, grace)
    for field in _NUMBERS:
        yield from rules.not_negative(probe.get(field), f"{path}.{field}")
    seconds = probe.get("terminationGracePeriodSeconds")
    if seconds is not None and seconds <= 0:
        yield Cause.invalid(f"{path}.terminationGracePeriodSeconds", seconds, "must be greater than 0")
    if name == "readinessProbe":
        if seconds is not None:
            detail = "must not be set for readinessProbes"
            yield Cause.invalid(f"{path}.terminationGracePeriodSeconds", seconds, detail)
    elif probe.get("successThreshold", 1) != 1:
        yield Cause.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _handlers(owner: Obj, path: str, grace: int) -> Iterator[Cause]:
    handlers = [name for name in HANDLERS if name in owner]
    if not handlers:
        yield Cause.required(path, "must specify a handler type")
        return
    first, *more = handlers
    yield from _handler(first, owner[first], f"{path}.{first}", grace)
    for extra in more:
        yield Cause.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")


def _handler(kind: str, handler: Obj, path: str, grace: int) -> Iterator[Cause]:
    match kind:
        case "exec":
            if not handler.get("command"):
                yield Cause.required(f"{path}.command")
        case "httpGet":
            yield from _http(handler, path)
        case "sleep":
            seconds = handler.get("seconds", 0)
            if not 0 <= seconds <= grace:
                detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                yield Cause.invalid(path, seconds, detail)
        case _:
            yield from _port(handler.get("port"), f"{path}.port")


def _http(handler: Obj, path: str) -> Iterator[Cause]:
    if not handler.get("path"):
        yield Cause.required(f"{path}.path")
    yield from _port(handler.get("port"), f"{path}.port")
    yield from rules.one_of(handler.get("scheme"), ("HTTP", "HTTPS"), f"{path}.scheme")
    for header in handler.get("httpHeaders") or ():
        name = header.get("name", "")
        if not re.fullmatch("[-A-Za-z0-9]+", name):
            yield Cause.invalid(f"{path}.httpHeaders", name, _HEADER)


def _port(port: Any, path: str) -> Iterator[Cause]:
    """A number, or the name of one of the container's ports."""
    if isinstance(port, str):
        yield from rules.named(port, rules.port_name, path)
    elif not 1 <= (port or 0) <= 65535:
        yield Cause.invalid(path, port or 0, rules.PORT_WORDS)
