"""`python -m devplane serve`: what it refuses before it touches anything."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from apiserver.api.conftest import serving
from fakes.ports import free_port


async def test_data_directory_that_is_served_is_left_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as (plane, _):
        before = plane.kubeconfig.read_text()
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "devplane", "serve", "--data-dir", str(tmp_path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "operator")},
        )
        try:
            out, said = await asyncio.wait_for(second.communicate(), 60)
        finally:
            if second.returncode is None:
                second.kill()
        assert (second.returncode, out) == (2, b"")
        assert said.decode() == (
            f"devplane: data directory {tmp_path} is served by process {os.getpid()}: "
            "end that first, or give another --data-dir\n"
        )
        assert plane.kubeconfig.read_text() == before
    async with serving(tmp_path):
        pass


async def test_port_of_the_last_start_is_taken_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as (first, _):
        pass
    noted = (tmp_path / "port").read_text()
    assert first.server_url == f"https://127.0.0.1:{noted.strip()}"
    (tmp_path / "port").write_text(str(port := free_port()))
    async with serving(tmp_path) as (again, _):
        assert again.server_url == f"https://127.0.0.1:{port}"


async def test_port_that_another_program_holds_is_left_to_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        (tmp_path / "port").write_text(str(held.getsockname()[1]))
        async with serving(tmp_path) as (plane, _):
            assert int(plane.server_url.rpartition(":")[2]) == int((tmp_path / "port").read_text())
            assert plane.server_url != f"https://127.0.0.1:{held.getsockname()[1]}"
