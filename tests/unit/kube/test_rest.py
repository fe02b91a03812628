"""The client against a small HTTP server: what it sends, and what it makes of each answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fakes.kube import FakeClock
from tunebird.kube import rest
from tunebird.kube.client import Event, Reviewed
from tunebird.kube.errors import Conflict, KubeError, Rejected, Unavailable
from tunebird.kube.login import Login
from tunebird.kube.meta import CONFIG_MAP, FINE_TUNE_JOB, JOB, POD, Ref
from tunebird.kube.rest import Limits, RestKube

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "ml"}}
REF = Ref(CONFIG_MAP, "ml", "c")


@dataclass
class Sent:
    method: str
    path: str
    query: dict[str, str]
    content_type: str
    authorization: str
    body: Any


@dataclass
class Server:
    """Answers from a list, then with {}; keeps what was sent."""

    url: str = ""
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    delay: float = 0.0
    at_once: int = 0
    most_at_once: int = 0

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append((status, body if body is not None else {}, headers))

    async def handle(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        text = await request.text()
        headers = request.headers
        self.sent.append(
            Sent(
                request.method,
                request.path,
                dict(request.query),
                headers.get("Content-Type", ""),
                headers.get("Authorization", ""),
                json.loads(text) if text else None,
            )
        )
        await asyncio.sleep(self.delay)
        self.at_once -= 1
        status, body, extra = self.answers.pop(0) if self.answers else (200, {}, {})
        raw = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=raw, headers=extra, content_type="application/json")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(application) as running:
        made.url = str(running.make_url("")).rstrip("/")
        yield made


def access(server: Server, token: str = "secret") -> Login:
    async def authorization() -> str:
        return f"Bearer {token}"

    return Login(server.url, None, None, None, True, None, None, authorization)


@pytest.fixture
async def kube(server: Server) -> AsyncIterator[RestKube]:
    async with RestKube(access(server), clock=FakeClock()) as made:
        yield made


async def test_apply_is_forced_server_side_apply_under_our_field_manager(server: Server, kube: RestKube) -> None:
    await kube.apply(CONFIG)
    (sent,) = server.sent
    assert (sent.method, sent.path) == ("PATCH", "/api/v1/namespaces/ml/configmaps/c")
    assert sent.query == {"fieldManager": "tunebird", "force": "true"}
    assert sent.content_type == "application/apply-patch+yaml"
    assert sent.authorization == "Bearer secret"
    assert sent.body == CONFIG


async def test_status_is_put_to_its_subresource(server: Server, kube: RestKube) -> None:
    job = {"apiVersion": "tunebird.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "j", "namespace": "ml"}}
    await kube.replace_status(job)
    sent = server.sent[0]
    assert (sent.method, sent.path) == ("PUT", "/apis/tunebird.dev/v1alpha1/namespaces/ml/finetunejobs/j/status")


async def test_absent_object_is_none(server: Server, kube: RestKube) -> None:
    server.answer(404, {"kind": "Status", "message": 'configmaps "c" not found'})
    assert await kube.get(REF) is None


async def test_list_follows_its_pages_and_names_the_kind_of_each_item(server: Server, kube: RestKube) -> None:
    server.answer(200, {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]})
    server.answer(200, {"metadata": {}, "items": [{"metadata": {"name": "b"}}]})
    items = await kube.list(JOB, "ml", {"app.kubernetes.io/managed-by": "tunebird"})
    assert [(item["kind"], item["metadata"]["name"]) for item in items] == [("Job", "a"), ("Job", "b")]
    assert [sent.query.get("continue") for sent in server.sent] == [None, "more"]
    assert server.sent[0].query["labelSelector"] == "app.kubernetes.io/managed-by=tunebird"


async def test_list_of_all_namespaces_has_no_namespace_in_its_path(server: Server, kube: RestKube) -> None:
    await kube.list(POD)
    assert server.sent[0].path == "/api/v1/pods"


async def test_delete_is_in_the_background_and_of_one_uid_only(server: Server, kube: RestKube) -> None:
    await kube.delete(REF, uid="u-1")
    assert server.sent[0].body == {"propagationPolicy": "Background", "preconditions": {"uid": "u-1"}}


async def test_delete_of_what_is_gone_is_success(server: Server, kube: RestKube) -> None:
    server.answer(404)
    await kube.delete(REF)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Rejected),
        (403, Rejected),
        (405, Rejected),
        (422, Rejected),
        (404, Rejected),
        (409, Conflict),
        (410, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_each_status_is_one_of_three_kinds(
    server: Server, kube: RestKube, status: int, error: type[KubeError]
) -> None:
    server.answer(status, {"kind": "Status", "message": "the server's own words", "reason": "Because"})
    with pytest.raises(error, match="the server's own words"):
        await kube.create(CONFIG)


async def test_change_of_what_is_gone_is_a_conflict(server: Server, kube: RestKube) -> None:
    server.answer(404)
    with pytest.raises(Conflict):
        await kube.merge(REF, {"data": {"a": "b"}})


async def test_rejection_carries_code_and_reason(server: Server, kube: RestKube) -> None:
    server.answer(422, {"message": "spec.replicas: Invalid value", "reason": "Invalid"})
    with pytest.raises(Rejected) as caught:
        await kube.create(CONFIG)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")


async def test_retry_after_is_handed_on(server: Server, kube: RestKube) -> None:
    server.answer(429, {"message": "slow down"}, **{"Retry-After": "7"})
    with pytest.raises(Unavailable) as caught:
        await kube.get(REF)
    assert caught.value.retry_after_seconds == 7


async def test_answer_that_is_no_json_is_unavailable(server: Server, kube: RestKube) -> None:
    server.answer(200, "<html>a proxy's page</html>")
    with pytest.raises(Unavailable, match="not a JSON object"):
        await kube.get(REF)


async def test_server_that_is_not_there_is_unavailable() -> None:
    async with RestKube(access(Server(url="http://127.0.0.1:1")), clock=FakeClock()) as kube:
        with pytest.raises(Unavailable):
            await kube.get(REF)


async def test_call_without_an_answer_ends_in_time(server: Server) -> None:
    server.delay = 1.0
    async with RestKube(access(server), clock=FakeClock(), limits=Limits(read_seconds=0.05)) as kube:
        with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
            await kube.get(REF)


async def test_no_more_calls_than_allowed_are_under_way(server: Server) -> None:
    server.delay = 0.02
    async with RestKube(access(server), clock=FakeClock(), limits=Limits(concurrent=3)) as kube:
        await asyncio.gather(*(kube.get(REF) for _ in range(12)))
    assert (server.most_at_once, len(server.sent)) == (3, 12)


async def test_write_is_not_sent_without_permission_but_reads_are(server: Server) -> None:
    async with RestKube(access(server), clock=FakeClock(), permit=_refuse) as kube:
        for write in (kube.apply(CONFIG), kube.create(CONFIG), kube.delete(REF), kube.merge(REF, {})):
            with pytest.raises(Unavailable, match="no Lease"):
                await write
        await kube.get(REF)
    assert [sent.method for sent in server.sent] == ["GET"]


async def test_expired_credentials_are_renewed_once_for_all_calls(
    server: Server, kube: RestKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins: list[int] = []

    async def login() -> Login:
        logins.append(1)
        return access(server, "fresh")

    monkeypatch.setattr(rest, "login", login)
    server.answer(401, {"message": "expired"})
    await kube.get(REF)
    await kube.get(REF)
    assert [sent.authorization for sent in server.sent] == ["Bearer secret", "Bearer fresh", "Bearer fresh"]
    assert logins == [1]


async def test_credentials_that_are_never_accepted_are_unavailable(
    server: Server, kube: RestKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def login() -> Login:
        return access(server)

    monkeypatch.setattr(rest, "login", login)
    server.answer(401)
    server.answer(401)
    with pytest.raises(Unavailable, match="does not accept our credentials"):
        await kube.get(REF)


async def test_event_has_a_name_that_follows_from_what_it_says(server: Server, kube: RestKube) -> None:
    await kube.post(event("Started"))
    await kube.post(event("Started"))
    await kube.post(event("Done"))
    names = [sent.body["metadata"]["name"] for sent in server.sent]
    assert names[0] == names[1] != names[2]
    assert server.sent[0].path == "/api/v1/namespaces/ml/events"


async def test_repeated_event_raises_the_count(server: Server, kube: RestKube) -> None:
    server.answer(409, {"message": "already exists"})
    server.answer(200, {"metadata": {}, "count": 4})
    await kube.post(event("Started"))
    assert server.sent[2].body == {"count": 5, "lastTimestamp": "2026-01-01T12:00:00Z"}


async def test_event_that_cannot_be_posted_does_not_raise(server: Server, kube: RestKube) -> None:
    server.answer(403, {"message": "namespace is being terminated"})
    await kube.post(event("Started"))


async def test_review_names_the_pod_of_a_bound_token(server: Server, kube: RestKube) -> None:
    server.answer(201, {"status": token_status()})
    reviewed = await kube.review("token", "tunebird.dev/report")
    assert reviewed == Reviewed("system:serviceaccount:ml:trainer", "ml", "pod-a", "uid-a")
    assert server.sent[0].body["spec"] == {"token": "token", "audiences": ["tunebird.dev/report"]}


@pytest.mark.parametrize("status", [{}, {"authenticated": False}, {"authenticated": True, "audiences": ["other"]}])
async def test_token_that_was_not_accepted_for_our_audience_is_nobodys(
    server: Server, kube: RestKube, status: dict[str, Any]
) -> None:
    server.answer(201, {"status": status})
    assert await kube.review("token", "tunebird.dev/report") is None


async def test_kind_is_served_once_discovery_lists_it(server: Server, kube: RestKube) -> None:
    server.answer(404)
    server.answer(200, {"resources": [{"name": "modelrollouts"}]})
    server.answer(200, {"resources": [{"name": "finetunejobs"}, {"name": "finetunejobs/status"}]})
    assert [await kube.serves(FINE_TUNE_JOB) for _ in range(3)] == [False, False, True]


def event(reason: str) -> Event:
    metadata = {"name": "support", "namespace": "ml", "uid": "u-1", "resourceVersion": "7"}
    return Event({"apiVersion": "tunebird.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata}, reason, "…")


def token_status() -> dict[str, Any]:
    extra: dict[str, Any] = {
        "authentication.kubernetes.io/pod-name": ["pod-a"],
        "authentication.kubernetes.io/pod-uid": ["uid-a"],
    }
    user = {"username": "system:serviceaccount:ml:trainer", "extra": extra}
    return {"authenticated": True, "audiences": ["tunebird.dev/report"], "user": user}


def _refuse() -> None:
    raise Unavailable("no Lease")
