"""`python -m devplane serve`: what it refuses before it touches anything."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from apiserver.api.conftest import serving


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
