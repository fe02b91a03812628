"""The report endpoint over HTTP: what it takes, and everything that it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest

from fakes.kube import FakeClock, FakeKube, fail_once
from tunebird.kube.client import Reviewed
from tunebird.kube.meta import ATTEMPT, FINETUNEJOB, JOB, MANAGED_BY, OWNER_UID, POD, Kind
from tunebird.runtime.cache import ChildrenCache
from tunebird.runtime.http import served
from tunebird.runtime.reports import ReportEndpoint, ReportStore, Tokens
from tunebird.runtime.telemetry import Telemetry

TRAINER = Reviewed("system:serviceaccount:ml:default", "ml", "support-1-abc", "pod-1")


@dataclass
class World:
    """The endpoint with one job (attempt 1) whose pod holds the token "good"."""

    kube: FakeKube
    children: ChildrenCache
    store: ReportStore
    woken: list[str]
    url: str
    session: aiohttp.ClientSession

    def child(self, kind: Kind, uid: str, attempt: int = 1, *, job: str = "support", owner: str = "job-uid") -> None:
        labels = {MANAGED_BY: "tunebird", FINETUNEJOB: job, OWNER_UID: owner, ATTEMPT: str(attempt)}
        metadata = {"name": uid, "namespace": "ml", "uid": uid, "labels": labels}
        self.children.put(kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})

    async def post(
        self, body: Any = None, *, token: str | None = "good", job: str = "support", namespace: str = "ml"
    ) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = body if isinstance(body, bytes) else json.dumps(report() if body is None else body).encode()
        url = f"{self.url}/v1alpha1/namespaces/{namespace}/finetunejobs/{job}/status"
        async with self.session.post(url, data=data, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text)["message"]


def report(attempt: int = 1, **progress: Any) -> dict[str, Any]:
    status = {"progressPercentage": 20, "metrics": [{"name": "loss", "value": "2.31"}], "lastUpdatedTime": "1999"}
    return {"trainerStatus": status, "tunebird": {"attempt": attempt, "step": 12, "of": 60, **progress}}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    kube, children, woken = FakeKube(), ChildrenCache(), list[str]()
    kube.tokens["good"] = TRAINER
    store = ReportStore(woken.append)
    endpoint = ReportEndpoint(Tokens(kube), children, store, FakeClock(), Telemetry())
    async with served(endpoint.application(), "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        made = World(kube, children, store, woken, f"http://127.0.0.1:{port}", session)
        made.child(POD, "pod-1")
        made.child(JOB, "batch-1")
        yield made
        store.forget("job-uid")


async def test_report_is_kept_with_the_servers_time(world: World) -> None:
    assert await world.post() == (200, "accepted")
    newest = world.store.latest("job-uid", 1)
    assert newest is not None
    assert (newest.tunebird.step, newest.tunebird.of) == (12, 60)
    assert newest.trainer_status.last_updated_time == "2026-01-01T12:00:00Z"
    assert world.store.latest("job-uid", 2) is None


async def test_missing_token_is_401(world: World) -> None:
    assert await world.post(token=None) == (401, "a bearer token is needed")


async def test_token_that_the_api_server_does_not_know_is_401(world: World) -> None:
    status, message = await world.post(token="forged")
    assert (status, world.store.latest("job-uid", 1)) == (401, None)
    assert "tunebird.dev/report" in message


async def test_token_of_another_jobs_pod_is_403(world: World) -> None:
    world.child(POD, "pod-2", job="other", owner="other-uid")
    world.kube.tokens["other"] = replace(TRAINER, pod_uid="pod-2")
    assert (await world.post(token="other"))[0] == 403


async def test_token_of_a_pod_that_is_not_ours_is_403(world: World) -> None:
    world.kube.tokens["stranger"] = replace(TRAINER, pod_uid="unknown")
    assert (await world.post(token="stranger"))[0] == 403


async def test_token_that_is_bound_to_no_pod_is_403(world: World) -> None:
    world.kube.tokens["user"] = Reviewed("jane", "", "", "")
    assert (await world.post(token="user"))[0] == 403


async def test_token_of_another_namespace_is_403(world: World) -> None:
    world.kube.tokens["elsewhere"] = replace(TRAINER, namespace="other")
    assert (await world.post(token="elsewhere", namespace="other"))[0] == 403
    assert (await world.post(token="elsewhere"))[0] == 403


async def test_report_for_another_attempt_than_the_pods_is_403(world: World) -> None:
    assert (await world.post(report(attempt=2)))[0] == 403


async def test_pod_of_an_attempt_that_was_replaced_is_409(world: World) -> None:
    world.child(JOB, "batch-2", attempt=2)
    status, message = await world.post()
    assert (status, message) == (409, "attempt 2 has taken over from 1")


async def test_older_attempt_is_409_once_a_newer_one_has_reported(world: World) -> None:
    world.child(POD, "pod-2", attempt=2)
    world.kube.tokens["second"] = replace(TRAINER, pod_uid="pod-2")
    assert (await world.post(report(attempt=2), token="second"))[0] == 200
    assert (await world.post())[0] == 409


async def test_body_over_64_kb_is_413(world: World) -> None:
    assert (await world.post(b" " * (64 * 1024 + 1)))[0] == 413


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"not json", "Invalid JSON"),
        ({}, "tunebird: Field required"),
        (report(loss="many"), "tunebird.loss"),
        (report(step=-1), "tunebird.step"),
        (b'{"tunebird": {"attempt": 1, "loss": NaN}}', "tunebird.loss"),
        (b'{"tunebird": {"attempt": 1, "evalLoss": Infinity}}', "tunebird.evalLoss"),
        (
            {**report(), "trainerStatus": {"metrics": [{"name": "loss", "value": "nan"}]}},
            "metric loss: nan is no finite number",
        ),
        (
            {**report(), "trainerStatus": {"metrics": [{"name": f"m{n}", "value": "1"} for n in range(257)]}},
            "trainerStatus.metrics",
        ),
    ],
)
async def test_body_that_makes_no_sense_is_422_and_says_where(world: World, body: Any, told: str) -> None:
    status, message = await world.post(body)
    assert status == 422
    assert told in message
    assert world.store.latest("job-uid", 1) is None


async def test_flood_is_429(world: World) -> None:
    statuses = [(await world.post())[0] for _ in range(30)]
    assert statuses[:10] == [200] * 10
    assert 429 in statuses


async def test_api_server_that_cannot_review_is_503_and_the_next_report_is_taken(world: World) -> None:
    world.kube.before = fail_once("review")
    assert (await world.post())[0] == 503
    assert (await world.post())[0] == 200


async def test_review_is_asked_once_for_many_reports(world: World) -> None:
    for _ in range(5):
        await world.post()
    assert [call.verb for call in world.kube.calls].count("review") == 1


async def test_many_reports_wake_the_loop_once_in_two_seconds(world: World) -> None:
    for _ in range(5):
        await world.post()
    assert world.woken == ["job-uid"]


async def test_forgotten_job_has_no_report(world: World) -> None:
    await world.post()
    world.store.forget("job-uid")
    assert world.store.latest("job-uid", 1) is None
