"""ExternalName Services: where their names lead, and what this machine is asked for that."""

from __future__ import annotations

import asyncio
from typing import Any

from devplane.kubelet.network.lookups import Addresses, Lookups, resolved
from devplane.kubelet.network.names import Service, lines, outer_names, services

Obj = dict[str, Any]


def external(name: str, target: str) -> Service:
    body: Obj = {
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"type": "ExternalName", "externalName": target},
    }
    return services([body], [])[0]


def cluster(name: str, address: str) -> Service:
    return Service("data", name, address, (), ())


def test_external_name_of_a_service_has_its_cluster_address() -> None:
    known = [external("db", "store.data.svc.cluster.local"), cluster("store", "127.128.0.9")]
    assert lines(known, "ml")[0] == "127.128.0.9\tdb.ml.svc.cluster.local db.ml.svc db.ml db"


def test_chain_of_external_names_leads_out_of_the_cluster() -> None:
    known = [external("one", "two.ml.svc.cluster.local"), external("two", "Store.Example.")]
    assert outer_names(known) == {"store.example"}
    assert [line.split()[:2] for line in lines(known, "ml", {"store.example": ("192.0.2.7",)})] == [
        ["192.0.2.7", "one.ml.svc.cluster.local"],
        ["192.0.2.7", "two.ml.svc.cluster.local"],
    ]


def test_circle_of_external_names_has_no_address() -> None:
    known = [external("one", "two.ml.svc.cluster.local"), external("two", "one.ml.svc.cluster.local")]
    assert lines(known, "ml") == []
    assert not outer_names(known)


def test_name_of_the_cluster_that_no_service_has_is_not_asked_outside() -> None:
    known = [external("db", "absent.data.svc.cluster.local")]
    assert not outer_names(known)
    assert lines(known, "ml") == []


async def test_addresses_that_change_are_told_and_a_failed_lookup_forgets_nothing() -> None:
    answers: list[Addresses | None] = [("192.0.2.1",), None, ("192.0.2.1",), ("192.0.2.2",), ()]
    told: list[Addresses] = []
    done = asyncio.Event()

    async def resolve(name: str) -> Addresses | None:
        if not answers:
            done.set()
            await asyncio.Event().wait()
        return answers.pop(0)

    lookups = Lookups(lambda: told.append(lookups.known["store.example"]), resolve, again_seconds=0)
    lookups.follow(frozenset({"store.example"}))
    await done.wait()
    assert told == [("192.0.2.1",), ("192.0.2.2",), ()]
    lookups.follow(frozenset())
    assert lookups.known == {}
    await lookups.stop()


async def test_machine_resolves_its_own_name_and_knows_of_names_there_are_not() -> None:
    assert "127.0.0.1" in (await resolved("localhost") or ())
    assert not await resolved("absent.invalid")
