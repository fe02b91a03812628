"""Liveness, readiness and startup probes of one running container."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from devplane.kubelet.checks import grpc_health
from devplane.kubelet.processes.ports import Reach
from devplane.kubelet.processes.process import StartError
from devplane.objects import Obj

OUTPUT_LIMIT = 10 * 1024
HOOK_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Target:
    """What a probe needs to know of its container: `execute` runs a command in its place (exit code, output), `reach`
    says whether a port is its pod's own."""

    spec: Obj
    ip: str
    session: aiohttp.ClientSession
    execute: Callable[[list[str], float], Awaitable[tuple[int, str]]]
    reach: Reach = lambda _address, _port: True


@dataclass(frozen=True, slots=True)
class Outcome:
    ok: bool
    message: str = ""


async def probe(spec: Mapping[str, Any], target: Target) -> Outcome:
    """Once."""
    seconds = float(spec.get("timeoutSeconds") or 1)
    if action := spec.get("httpGet"):
        return await _http(action, target, seconds)
    if action := spec.get("tcpSocket"):
        return await _tcp(action, target, seconds)
    if action := spec.get("exec"):
        return await _exec(action["command"], target, seconds)
    return await _grpc(spec["grpc"], target, seconds)


@dataclass(frozen=True, slots=True)
class Report:
    """One outcome; `decided` when it reached its threshold and now stands for the container's health."""

    outcome: Outcome
    decided: bool


async def watch(
    spec: Mapping[str, Any], target: Target, report: Callable[[Report], None], initial: bool | None
) -> None:
    """Probe until cancelled. `initial` is the health that is assumed, if any; failures and decisions are reported."""
    await asyncio.sleep(float(spec.get("initialDelaySeconds") or 0))
    clock, period = asyncio.get_running_loop().time, float(spec.get("periodSeconds") or 10)
    begun, streak, healthy, before = clock(), 0, initial, initial
    while True:
        outcome = await probe(spec, target)
        streak, before = (streak + 1 if outcome.ok == before else 1), outcome.ok
        decided = outcome.ok != healthy and streak >= threshold(spec, outcome.ok)
        if decided:
            healthy = outcome.ok
        if decided or not outcome.ok:
            report(Report(outcome, decided))
        await asyncio.sleep(period - (clock() - begun) % period)


def threshold(spec: Mapping[str, Any], ok: bool) -> int:
    return int(spec.get("successThreshold") or 1) if ok else int(spec.get("failureThreshold") or 3)


def port_number(port: int | str, container: Mapping[str, Any]) -> int | None:
    """A port given as a number or by the name of a container port."""
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    named = (one for one in container.get("ports") or () if one.get("name") == port)
    return next((int(one["containerPort"]) for one in named), None)


async def _http(action: Mapping[str, Any], target: Target, seconds: float) -> Outcome:
    port = port_number(action["port"], target.spec)
    if port is None:
        return Outcome(False, f'couldn\'t find port: "{action["port"]}"')
    host = action.get("host") or target.ip
    scheme = (action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    url = f"{scheme}://{host}:{port}{path if path.startswith('/') else f'/{path}'}"
    headers = {one["name"]: one["value"] for one in action.get("httpHeaders") or ()}
    limit = aiohttp.ClientTimeout(total=seconds)
    refused = Outcome(False, f'Get "{url}": dial tcp {host}:{port}: connect: connection refused')
    if not target.reach(host, port):
        return refused
    try:
        async with target.session.get(
            url, headers={"User-Agent": "kube-probe/1.33", **headers}, timeout=limit, ssl=False, allow_redirects=False
        ) as response:
            if 200 <= response.status < 400:
                return Outcome(True)
            return Outcome(False, f"HTTP probe failed with statuscode: {response.status}")
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(False, f'Get "{url}": {why}')
    except aiohttp.ClientConnectorError:
        return refused
    except aiohttp.ClientError as error:
        return Outcome(False, f'Get "{url}": {error}')


async def _tcp(action: Mapping[str, Any], target: Target, seconds: float) -> Outcome:
    port = port_number(action["port"], target.spec)
    if port is None:
        return Outcome(False, f'couldn\'t find port: "{action["port"]}"')
    host = action.get("host") or target.ip
    refused = Outcome(False, f"dial tcp {host}:{port}: connect: connection refused")
    if not target.reach(host, port):
        return refused
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError:
        return refused
    writer.close()
    return Outcome(True)


async def _grpc(action: Mapping[str, Any], target: Target, seconds: float) -> Outcome:
    port, within = int(action["port"]), f"{seconds:g}s"
    try:
        if not target.reach(target.ip, port):
            raise ConnectionRefusedError
        async with asyncio.timeout(seconds):
            status = await grpc_health.check(target.ip, port, action.get("service") or "")
    except TimeoutError:
        return Outcome(False, f"timeout: health rpc did not complete within {within}")
    except OSError:
        why = "context deadline exceeded"
        return Outcome(False, f'timeout: failed to connect service "{target.ip}:{port}" within {within}: {why}')
    except grpc_health.NoAnswerError as error:
        return Outcome(False, f"error: health rpc probe failed: {error}")
    if status == grpc_health.SERVING:
        return Outcome(True)
    return Outcome(False, f'service unhealthy (responded with "{status}")')


async def _exec(command: list[str], target: Target, seconds: float) -> Outcome:
    try:
        code, output = await target.execute(command, seconds)
    except TimeoutError:
        quoted = " ".join(command)
        return Outcome(False, f'command timed out: "{quoted}" timed out after {seconds:g}s')
    except StartError as error:
        return Outcome(False, str(error))
    return Outcome(code == 0, output)


async def hook(action: Mapping[str, Any], target: Target) -> Outcome:
    """A postStart or preStop handler; the caller sets its time limit."""
    if "sleep" in action:
        await asyncio.sleep(float(action["sleep"].get("seconds") or 0))
        return Outcome(True)
    return await probe({**action, "timeoutSeconds": HOOK_SECONDS}, target)
