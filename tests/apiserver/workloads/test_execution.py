"""Further processes in a container, without a connection around them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.apiserver.workloads.conftest import PATIENCE, World, pod

from devplane.kubelet.processes.execution import Conversation, Wanted
from devplane.kubelet.processes.process import StartError


async def place(world: World) -> None:
    world.client.create("pods", "default", pod("p", "sleep", "3600"))
    await world.until(lambda: world.has("pods", "p", "Ready"))


async def execute(world: World, *argv: str, tty: bool = False) -> Conversation:
    assert world.devplane.kubelet is not None
    wanted = Wanted(stdin=True, stdout=True, stderr=not tty, tty=tty)
    talk = await world.devplane.kubelet.execute("default", "p", "c", argv, wanted)
    assert talk is not None
    return talk


@pytest.mark.parametrize("tty", [False, True])
async def test_what_a_process_said_is_there_after_its_end(world: World, tty: bool) -> None:
    await place(world)
    talk = await execute(world, "sh", "-c", "echo last words; exit 3", tty=tty)
    async with asyncio.timeout(PATIENCE):
        assert await talk.wait() == 3
        await asyncio.sleep(0.1)  # the end of a terminal is seen, too, before anything is read
        assert talk.stdout is not None
        assert (await talk.stdout.read()).split() == [b"last", b"words"]
    talk.close()


async def test_process_on_a_terminal_hears_when_its_client_hangs_up(world: World) -> None:
    await place(world)
    talk = await execute(world, "sh", "-c", "echo up; sleep 3600", tty=True)
    async with asyncio.timeout(PATIENCE):
        assert talk.stdout is not None
        await talk.stdout.readline()
        talk.close()
        assert await talk.wait() == 129


async def test_process_without_a_terminal_reads_the_end_of_its_input(world: World) -> None:
    await place(world)
    talk = await execute(world, "sh", "-c", "cat > /dev/null; exit 8")
    await talk.write(b"something")
    talk.close()
    async with asyncio.timeout(PATIENCE):
        assert await talk.wait() == 8


async def test_all_processes_end_with_the_container(world: World) -> None:
    await place(world)
    talk = await execute(world, "sleep", "3600")
    assert world.devplane.kubelet is not None
    assert world.devplane.kubelet.kill("default", "p", "c")
    async with asyncio.timeout(PATIENCE):
        assert await talk.wait() == 137
    talk.close()


async def test_program_that_is_not_there_is_no_process(world: World) -> None:
    await place(world)
    with pytest.raises(StartError, match='exec: "absent": executable file not found in \\$PATH'):
        await execute(world, "absent")


async def test_what_a_process_does_not_read_waits_with_its_sender(world: World, tmp_path: Path) -> None:
    await place(world)
    go = tmp_path / "go"
    talk = await execute(world, "sh", "-c", f"until [ -e {go} ]; do sleep 0.05; done; wc -c")
    sending = asyncio.create_task(talk.write(bytes(10_000_000)))
    await asyncio.sleep(0.2)
    assert not sending.done()
    go.touch()
    async with asyncio.timeout(PATIENCE):
        await sending
        talk.end_input()
        assert talk.stdout is not None
        assert int(await talk.stdout.read()) == 10_000_000
    talk.close()
