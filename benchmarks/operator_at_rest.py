"""The operator at rest and at work, against a control plane of its own: memory, requests, latency.

    PYTHONPATH=operator:tests python benchmarks/operator_at_rest.py [--jobs 0] [--seconds 60]

Limits that the project has set itself: below 150 MB resident at rest; a Job within 1 s of its FineTuneJob.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakes.operators import Cluster, Traced
from fakes.processes import devplane, until
from tunebird.kube.login import login
from tunebird.kube.meta import FINE_TUNE_JOB, JOB, Ref
from tunebird.kube.rest import RestKube

REPEATS = 10


def job(name: str) -> dict[str, Any]:
    return {
        "apiVersion": FINE_TUNE_JOB.api_version,
        "kind": FINE_TUNE_JOB.kind,
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {
            "model": {"source": {"uri": "pvc://models/base"}},
            "datasets": [{"name": "support", "source": {"uri": "pvc://data/support.jsonl"}}],
            "method": {"objective": "sft", "tuning": "lora"},
            "output": {"storage": {"uri": "pvc://models/out"}},
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=0, help="unfinished FineTuneJobs that are there at rest")
    parser.add_argument("--seconds", type=int, default=60, help="how long to rest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, devplane(Path(folder)) as kubeconfig:
        cluster = Cluster(Path(folder), kubeconfig, module="tunebird")
        cluster.prepare()
        with cluster.operator() as operator:
            until(lambda: operator.said("Taking progress reports"), "the operator leads")
            asyncio.run(latencies(cluster))
            asyncio.run(fill(cluster, options.jobs))
            rest(operator, options.jobs, options.seconds)


async def latencies(cluster: Cluster) -> None:
    """From sending the FineTuneJob until its Job is there, as a client sees it."""
    taken = []
    async with await client(cluster) as api:
        for number in range(REPEATS):
            began = time.monotonic()
            await api.create(job(f"bench-{number}"))
            await there(api, Ref(JOB, "ml", f"bench-{number}-1"))
            taken.append(time.monotonic() - began)
            await api.delete(Ref(FINE_TUNE_JOB, "ml", f"bench-{number}"))
    print(f"FineTuneJob to Job: median {statistics.median(taken):.3f} s, worst {max(taken):.3f} s of {REPEATS}")


async def fill(cluster: Cluster, jobs: int) -> None:
    """Unfinished jobs: their claims don't exist."""
    async with await client(cluster) as api:
        began = time.monotonic()
        for number in range(jobs):
            await api.create(job(f"rest-{number}"))
        if jobs:
            await there(api, Ref(JOB, "ml", f"rest-{jobs - 1}-1"))
    if jobs:
        print(f"{jobs} FineTuneJobs: all have their Jobs after {time.monotonic() - began:.1f} s")


async def there(api: RestKube, ref: Ref) -> None:
    """Until the object is there."""
    while await api.get(ref) is None:  # noqa: ASYNC110  what is waited for is another process's doing
        await asyncio.sleep(0.005)


def rest(operator: Traced, jobs: int, seconds: int) -> None:
    """Memory and CPU of the operator's process while nothing happens."""
    cpu = cpu_seconds(operator.process.pid)
    time.sleep(seconds)
    used = cpu_seconds(operator.process.pid) - cpu
    print(
        f"At rest with {jobs} unfinished jobs: {rss_mb(operator.process.pid):.0f} MB RSS, {used / seconds:.1%} of a CPU"
    )


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def client(cluster: Cluster) -> RestKube:
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    return RestKube(await login(), clock=lambda: datetime.now(UTC))


if __name__ == "__main__":
    main()
