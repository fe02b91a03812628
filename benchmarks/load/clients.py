"""The load: requests over several connections, and watchers with a connection each."""

from __future__ import annotations

import asyncio
import re
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
import yaml
from load.objects import ACCOUNT, NAMESPACE, access, config_map
from load.planes import ROOT, Plane

JSON, MERGE_PATCH = "application/json", "application/merge-patch+json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
SENT = re.compile(rb'"sent":"(\d+)"')


@dataclass(frozen=True, slots=True)
class Ask:
    """A request and the code that it must be answered with."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = JSON
    code: int = 200


@dataclass(frozen=True, slots=True)
class Load:
    """What a phase took: its rate, the latencies in seconds, and the server's CPU."""

    seconds: float
    latencies: Sequence[float]
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def cpu_ms(self) -> float:
        """The server's milliseconds of CPU a request, what controllers did meanwhile included."""
        return 1000 * self.cpu_seconds / len(self.latencies)

    def __str__(self) -> str:
        half, most = percentiles(self.latencies)
        cpu = f"{self.cpu_ms:.2f} ms of the server's CPU each, {1000 / self.cpu_ms:.0f} for a second of it"
        return f"{self.rate:.0f}/s, latency p50 {half:.1f} ms, p99 {most:.1f} ms; {cpu}"


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return 1000 * cuts[49], 1000 * cuts[98]


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody's connections to a control plane."""

    plane: Plane
    session: aiohttp.ClientSession

    async def ask(self, one: Ask) -> bytes:
        headers = {"Content-Type": one.content_type} if one.body is not None else None
        async with self.session.request(one.method, one.path, data=one.body, headers=headers) as answer:
            said = await answer.read()
            if answer.status != one.code:
                raise SystemExit(f"{one.method} {one.path} answered {answer.status}: {said[:300]!r}")
            return said

    async def run(self, asks: Iterable[Ask], connections: int) -> Load:
        """All of `asks`, each connection with one at a time."""
        waiting = iter(asks)
        latencies: list[float] = []

        async def worker() -> None:
            for one in waiting:
                began = time.perf_counter()
                await self.ask(one)
                latencies.append(time.perf_counter() - began)

        cpu, began = self.plane.cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(connections)))
        return Load(time.perf_counter() - began, latencies, self.plane.cpu_seconds() - cpu)


@asynccontextmanager
async def client(plane: Plane, token: str) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cadata=plane.authority))
    timeout = aiohttp.ClientTimeout(total=None)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(plane.url, connector=connector, headers=headers, timeout=timeout) as session:
        yield Client(plane, session)


async def prepared(plane: Plane) -> str:
    """The CRD, the namespace and who may do what in it; gives the token of the load's service account."""
    definition = yaml.safe_load((ROOT / "crds" / "tunebird.dev_finetunejobs.yaml").read_text())
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with client(plane, plane.admin) as admin:
        for path, obj in ((definitions, definition), *access()):
            await admin.ask(Ask("POST", path, orjson.dumps(obj), code=201))
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
        said = await admin.ask(Ask("POST", path, b'{"spec": {"expirationSeconds": 7200}}', code=201))
    return str(orjson.loads(said)["status"]["token"])


@dataclass(slots=True)
class Watchers:
    """Connections that each watch the ConfigMaps of the namespace, of which there are `objects`, and what they saw."""

    user: Client
    objects: int
    waiting: int
    delays: list[float] = field(default_factory=list)
    all_begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, changes: int) -> None:
        """The objects that exist, then so many changes made by `change`."""
        left = self.objects + changes
        async with self.user.session.get(f"{CONFIG_MAPS}?watch=true") as answer:
            async for line in answer.content:
                left -= 1
                if left == changes:
                    self._begin()
                elif left < changes and (found := SENT.search(line)):
                    self.delays.append((time.monotonic_ns() - int(found[1])) / 1e9)
                if not left:
                    return

    def _begin(self) -> None:
        self.waiting -= 1
        if not self.waiting:
            self.all_begun.set()

    async def change(self, names: Sequence[str], each_second: float) -> None:
        """Note the time in one object after the other, evenly spread over time."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(names):
                await asyncio.sleep(began + number / each_second - time.monotonic())
                group.create_task(self._note(name))

    async def _note(self, name: str) -> None:
        body = b'{"data": {"sent": "%d"}}' % time.monotonic_ns()
        await self.user.ask(Ask("PATCH", f"{CONFIG_MAPS}/{name}", body, MERGE_PATCH))


async def fan_out(user: Client, objects: int, watchers: int, each_second: float) -> tuple[float, list[float]]:
    """Each of `objects` is changed once while all watch; seconds until all had seen what there was, and the delays."""
    names = [f"bench-{number}" for number in range(objects)]
    await user.run((Ask("POST", CONFIG_MAPS, orjson.dumps(config_map(name)), code=201) for name in names), 8)
    listed = orjson.loads(await user.ask(Ask("GET", CONFIG_MAPS)))
    found = Watchers(user, len(listed["items"]), watchers)
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(watchers):
            group.create_task(found.watch(objects))
        await found.all_begun.wait()
        begun = time.monotonic() - began
        await found.change(names, each_second)
    return begun, found.delays
