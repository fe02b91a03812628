"""Two operators and one Lease, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from fakes.kube import Call, FakeKube
from fakes.virtual_time import run_virtual
from tunebird.kube.errors import Unavailable
from tunebird.kube.meta import LEASE, Ref
from tunebird.runtime.lease import Leadership, Lost, lease_name

REF = Ref(LEASE, "tunebird-system", lease_name(()))


def now() -> float:
    return asyncio.get_running_loop().time()


def leadership(kube: FakeKube, identity: str) -> Leadership:
    return Leadership(kube, REF, identity, clock=now)


def down(_: Call) -> None:
    raise Unavailable("the API server is not reachable")


async def lead(one: Leadership, seconds: float) -> None:
    """Acquire, and hold for a while; `Lost` comes out."""
    await one.acquire()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await one.hold()


def test_second_operator_waits_until_the_first_releases() -> None:
    async def main() -> float:
        kube = FakeKube()
        first, second = leadership(kube, "a"), leadership(kube, "b")
        await first.acquire()
        waiting = asyncio.create_task(second.acquire())
        with suppress(TimeoutError):
            async with asyncio.timeout(100):
                await first.hold()
        assert not waiting.done()
        await first.release()
        await waiting
        return now()

    assert 100 <= run_virtual(main()) <= 102


def test_second_operator_takes_over_from_one_that_was_killed_only_when_its_last_write_must_be_over() -> None:
    async def main() -> tuple[float, str]:
        kube = FakeKube()
        first, second = leadership(kube, "a"), leadership(kube, "b")
        await lead(first, 10)
        killed_at = now()
        await second.acquire()
        lease = kube.find(LEASE, REF.name, REF.namespace)
        assert lease is not None
        assert lease["spec"]["leaseTransitions"] == 1
        return now() - killed_at, lease["spec"]["holderIdentity"]

    took, holder = run_virtual(main())
    assert holder == "b"
    assert 30 < took <= 34


def test_never_may_two_operators_write_at_the_same_time_even_when_one_is_cut_off() -> None:
    async def main() -> float:
        kube = FakeKube()
        first, second = leadership(kube, "a"), leadership(kube, "b")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(30)
        first._api = FakeKube()  # the first one's network: it hears nothing and reaches nobody
        first._api.before = down
        while not waiting.done():
            await asyncio.sleep(0.1)
            assert _may_write(first) + _may_write(second) <= 1
        with pytest.raises(Lost, match="could not be renewed in time"):
            await holding
        return now()

    assert run_virtual(main()) < 70


def test_short_outage_loses_nothing() -> None:
    async def main() -> bool:
        kube = FakeKube()
        first = leadership(kube, "a")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        await asyncio.sleep(10)
        kube.before = down
        await asyncio.sleep(12)
        kube.before = None
        await asyncio.sleep(60)
        alive = not holding.done() and _may_write(first)
        holding.cancel()
        return alive

    assert run_virtual(main())


def test_operator_that_sees_another_holder_stops() -> None:
    async def main() -> None:
        kube = FakeKube()
        first = leadership(kube, "a")
        await first.acquire()
        kube.patch(REF, {"spec": {"holderIdentity": "somebody"}})
        with pytest.raises(Lost, match="held by somebody"):
            await first.hold()
        assert not _may_write(first)

    run_virtual(main())


def test_restarted_container_of_the_same_pod_goes_on_at_once() -> None:
    async def main() -> float:
        kube = FakeKube()
        await lead(leadership(kube, "pod-1"), 10)
        began = now()
        await leadership(kube, "pod-1").acquire()
        return now() - began

    assert run_virtual(main()) == 0


def test_race_for_a_free_lease_has_one_winner() -> None:
    async def main() -> list[bool]:
        kube = FakeKube()
        racers = [leadership(kube, f"op-{n}") for n in range(5)]
        tasks = [asyncio.create_task(racer.acquire()) for racer in racers]
        await asyncio.sleep(5)
        for task in tasks:
            task.cancel()
        return [_may_write(racer) for racer in racers]

    assert sum(run_virtual(main())) == 1


def test_each_install_scope_has_its_own_lease() -> None:
    names = {lease_name(()), lease_name(("ml",)), lease_name(("ml", "prod"))}
    assert len(names) == 3
    assert lease_name(("prod", "ml")) == lease_name(("ml", "prod"))


def _may_write(one: Leadership) -> bool:
    try:
        one.permit()
    except Unavailable:
        return False
    return True
