"""How fast devplane is, and how small: a real `devplane serve` under the load of another process.

    python benchmarks/control_plane.py [--against REVISION] [--objects 10000] [--connections 8]

The server is as users start it: TLS, controllers and kubelet on. The load comes from this process over keep-alive
connections with the token of a service account that RBAC allows what it does (twenty bindings in its namespace), never
the administrator's. Objects are a quarter each of ConfigMaps, Pods that no node takes (the scheduler says so),
suspended Jobs (the Job controller says so) and FineTuneJobs (structural schema and CEL rules of the CRD); creates are
measured while controllers work, gets when they are done.

`--against` measures an earlier revision in turn and prints ratios, which hold on a machine that others use too; what
others took of it is printed, and CPU time beside time.
The limits are those that the project has set itself, on two cores with the load included. Ends with 1 where one is
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson
from load.clients import CONFIG_MAPS, PROTOBUF, Ask, Client, Load, client, fan_out, percentiles, prepared
from load.objects import as_protobuf, config_map, mixed
from load.planes import ROOT, Neighbours, Plane, plane, tree_of

STARTS = 5
GETS = 5_000
WATCHED, WATCHERS, CHANGES_A_SECOND = 1_000, 100, 20.0
ROUNDS, A_ROUND = 7, 300


@dataclass(frozen=True, slots=True)
class Limit:
    """`at_least` or at most `bound`."""

    name: str
    bound: float
    unit: str
    at_least: bool = False

    def holds(self, found: float) -> bool:
        return found >= self.bound if self.at_least else found <= self.bound

    def told(self, found: float) -> str:
        verdict = "met" if self.holds(found) else "MISSED"
        least = "at least" if self.at_least else "at most"
        return f"{self.name}: {found:.4g} {self.unit} (limit: {least} {self.bound:g}; {verdict})"


START = Limit("start", 2, "s")
RESTART = Limit("start with the objects", 2, "s")
CREATES = Limit("creates", 250, "/s", at_least=True)
READS = Limit("gets", 600, "/s", at_least=True)
MEMORY = Limit("resident with the objects", 300, "MB")
FAN_OUT = Limit("a change at a watcher, p99", 500, "ms")

Figures = dict[Limit, float]


def main() -> int:
    """0 when all limits hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="a git revision to compare with")
    parser.add_argument("--objects", type=int, default=10_000, help="how many to create (default: 10000)")
    parser.add_argument("--connections", type=int, default=8, help="of the load (default: 8)")
    options = parser.parse_args()
    neighbours = Neighbours()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = {"this tree": ROOT}
        if options.against:
            trees[options.against] = tree_of(options.against, folder / "tree")
        found: dict[str, Figures] = {}
        for number, (title, tree) in enumerate(trees.items()):
            print(f"-- {title}", flush=True)
            bench = Bench(folder / f"{number}", tree, options.objects, options.connections)
            found[title] = bench.figures()
    for title, figures in found.items():
        for limit, figure in figures.items():
            print(f"{title}: {limit.told(figure)}")
    print(f"meanwhile other processes took {neighbours.cores():.1f} of {os.cpu_count()} CPUs")
    own, *others = found.values()
    for other in others:
        for limit, figure in own.items():
            print(f"{limit.name}, this tree / {options.against}: {figure / other[limit]:.2f}")
    return 0 if all(limit.holds(figure) for limit, figure in own.items()) else 1


@dataclass(frozen=True, slots=True)
class Bench:
    """One tree's control planes and what is measured of them."""

    folder: Path
    tree: Path
    objects: int
    connections: int

    def figures(self) -> Figures:
        found = {START: statistics.median(self._start(number) for number in range(STARTS))}
        with plane(self.folder / "full", self.tree) as one:
            found |= asyncio.run(self._full(one))
        with plane(self.folder / "full", self.tree) as one:
            found[RESTART] = one.started_in
            print(f"{one.cpu_seconds():.2f} s of CPU for a start with them")
        with plane(self.folder / "watched", self.tree) as one:
            found |= asyncio.run(self._watched(one))
        with plane(self.folder / "compared", self.tree) as one:
            asyncio.run(self._compared(one))
        return found

    def _start(self, number: int) -> float:
        with plane(self.folder / f"start-{number}", self.tree) as one:
            print(f"{one.started_in:.2f} s for a start, {one.cpu_seconds():.2f} s of CPU")
            return one.started_in

    async def _full(self, one: Plane) -> Figures:
        """Create everything, read some of it, and look at the memory."""
        empty = one.resident_mb()
        objects = mixed(self.objects)
        async with client(one, await prepared(one)) as user:
            created = await user.run((Ask("POST", path, body, code=201) for path, _, body in objects), self.connections)
            print(f"{self.objects} creates: {created}", flush=True)
            print(f"controllers were done {one.rest():.0f} s later", flush=True)
            chosen = random.Random(1).choices(objects, k=GETS)
            read = await user.run((Ask("GET", f"{path}/{name}") for path, name, _ in chosen), self.connections)
            print(f"{GETS} gets: {read}")
        resident = one.resident_mb()
        print(f"resident: {empty:.0f} MB empty, {resident:.0f} MB with {self.objects} objects", flush=True)
        return {CREATES: created.rate, READS: read.rate, MEMORY: resident}

    async def _watched(self, one: Plane) -> Figures:
        async with client(one, await prepared(one)) as user:
            began = one.cpu_seconds()
            begun, delays = await fan_out(user, WATCHED, WATCHERS, CHANGES_A_SECOND)
            each = 1000 * (one.cpu_seconds() - began) / WATCHED
        half, most = percentiles(delays)
        print(f"{WATCHERS} watchers had seen {WATCHED} objects each after {begun:.2f} s")
        print(f"{len(delays)} events of {CHANGES_A_SECOND:g} changes a second: p50 {half:.1f} ms, p99 {most:.1f} ms")
        print(f"{each:.1f} ms of the server's CPU for an object's life: created, listed to all, changed before all")
        return {FAN_OUT: most}

    async def _compared(self, one: Plane) -> None:
        """Ratios within one server, rounds in turn."""
        async with client(one, await prepared(one)) as user, client(one, one.admin) as admin:
            creates, gets = [], []
            for number in range(ROUNDS):
                creates.append(await self._created(user, number))
                gets.append([await self._read(who, number) for who in (user, admin)])
        print(f"create of a ConfigMap, protobuf / JSON: {_ratio(creates)}")
        print(f"get, a user that RBAC allows it / the administrator: {_ratio(gets)}", flush=True)

    async def _created(self, user: Client, number: int) -> list[Load]:
        objects = [config_map(f"round-{number}-{one}") for one in range(2 * A_ROUND)]
        protobuf = [Ask("POST", CONFIG_MAPS, as_protobuf(one), PROTOBUF, 201) for one in objects[:A_ROUND]]
        json = [Ask("POST", CONFIG_MAPS, orjson.dumps(one), code=201) for one in objects[A_ROUND:]]
        return [await user.run(asks, self.connections) for asks in (protobuf, json)]

    async def _read(self, who: Client, number: int) -> Load:
        names = (f"round-{number}-{one}" for one in range(A_ROUND))
        return await who.run([Ask("GET", f"{CONFIG_MAPS}/{name}") for name in names], self.connections)


def _ratio(rounds: list[list[Load]]) -> str:
    """Of the times of the first and the second of each round: above 1, the first is slower."""
    ratios = sorted(first.seconds / second.seconds for first, second in rounds)
    return (
        f"{statistics.median(ratios):.2f} times as long ({ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} rounds)"
    )


if __name__ == "__main__":
    sys.exit(main())
