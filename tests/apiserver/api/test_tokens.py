"""Service account tokens: for whom, for how long, and what they live and die with."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.api.replay import Replay
from devplane.access.tokens import AUDIENCE

Obj = dict[str, Any]

# https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
CORE = "/api/v1/namespaces/default"
ACCOUNTS = f"{CORE}/serviceaccounts"
TOKEN = f"{ACCOUNTS}/bob/token"
POD = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "bob", "containers": [{"name": "c", "image": "x"}]}}
RECREATED = "does not match the UID in record. The object might have been deleted and then recreated"
BOUND: dict[str, tuple[str, Obj]] = {
    "Pod": (f"{CORE}/pods", POD),
    "Secret": (f"{CORE}/secrets", {"metadata": {"name": "p"}}),
    "Node": ("/api/v1/nodes", {"metadata": {"name": "p"}}),
}


@pytest.fixture(autouse=True)
async def bob(server: Replay) -> None:
    assert (await server.send("POST", ACCOUNTS, {"metadata": {"name": "bob"}})).status == 201


async def review(server: Replay, token: str, *audiences: str) -> Obj:
    asked = {"spec": {"token": token, "audiences": list(audiences)}}
    answer = await server.send("POST", "/apis/authentication.k8s.io/v1/tokenreviews", asked)
    status: Obj = answer.body["status"]
    return status


async def test_a_token_without_audiences_is_for_the_api_server(server: Replay) -> None:
    answer = (await server.send("POST", TOKEN, {"spec": {}})).body
    assert answer["spec"] == {"audiences": [AUDIENCE], "expirationSeconds": 3600, "boundObjectRef": None}
    assert (await review(server, answer["status"]["token"]))["audiences"] == [AUDIENCE]
    assert "error" in await review(server, answer["status"]["token"], "vault")


async def test_a_review_names_those_of_the_asked_audiences_that_count(server: Replay) -> None:
    asked = {"spec": {"audiences": ["a", "b"], "expirationSeconds": 600}}
    token = (await server.send("POST", TOKEN, asked)).body["status"]["token"]
    assert (await review(server, token, "b", "c", "a"))["audiences"] == ["b", "a"]
    assert (await server.send("GET", "/api", headers={"Authorization": f"Bearer {token}"})).status == 401


@pytest.mark.parametrize(
    ("seconds", "detail"),
    [(599, "less than 10 minutes"), (-1, "less than 10 minutes"), (2**32 + 1, "larger than 2^32 seconds")],
)
async def test_the_time_to_live_has_bounds(server: Replay, seconds: int, detail: str) -> None:
    answer = await server.send("POST", TOKEN, {"spec": {"expirationSeconds": seconds}})
    assert answer.status == 422
    assert f"spec.expirationSeconds: Invalid value: {seconds}: may not specify a duration {detail}" in str(answer.body)


@pytest.mark.parametrize("kind", list(BOUND))
async def test_a_token_dies_with_what_it_is_bound_to(server: Replay, kind: str) -> None:
    path, obj = BOUND[kind]
    await server.send("POST", path, obj)
    bound = {"kind": kind, "apiVersion": "v1", "name": "p"}
    token = (await server.send("POST", TOKEN, {"spec": {"boundObjectRef": bound}})).body["status"]["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await server.send("GET", "/api", headers=bearer)).status == 200
    await server.send("DELETE", f"{path}/p")
    error = f'[invalid bearer token, {kind.lower()}s "p" not found]'
    assert await review(server, token) == {"user": {}, "error": error}
    assert (await server.send("GET", "/api", headers=bearer)).status == 401
    await server.send("POST", path, obj)
    assert "does not match claim" in (await review(server, token))["error"]


async def test_a_token_dies_with_its_account_and_is_not_the_next_ones(server: Replay) -> None:
    token = (await server.send("POST", TOKEN, {"spec": {}})).body["status"]["token"]
    await server.send("DELETE", f"{ACCOUNTS}/bob")
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await server.send("GET", "/api", headers=bearer)).status == 401
    await server.send("POST", ACCOUNTS, {"metadata": {"name": "bob"}})
    assert (await server.send("GET", "/api", headers=bearer)).status == 401


@pytest.mark.parametrize(
    ("reference", "code", "message"),
    [
        ({"kind": "ConfigMap", "apiVersion": "v1"}, 400, "cannot bind token to object of type /v1, Kind=ConfigMap"),
        ({"kind": "Pod", "apiVersion": "v1", "name": "none"}, 404, 'pods "none" not found'),
        (
            {"kind": "Pod", "apiVersion": "v1", "name": "p"},
            400,
            'cannot bind token for serviceaccount "alice" to pod running with different serviceaccount name.',
        ),
        (
            {"kind": "Secret", "apiVersion": "v1", "name": "s", "uid": "other"},
            409,
            f'Operation cannot be fulfilled on Secret "s": the UID in the bound object reference (other) {RECREATED}',
        ),
    ],
)  # fmt: skip
async def test_a_token_is_not_bound_to_what_does_not_fit(
    server: Replay, reference: Obj, code: int, message: str
) -> None:
    await server.send("POST", ACCOUNTS, {"metadata": {"name": "alice"}})
    await server.send("POST", f"{CORE}/pods", POD)
    await server.send("POST", f"{CORE}/secrets", {"metadata": {"name": "s"}})
    answer = await server.send("POST", f"{ACCOUNTS}/alice/token", {"spec": {"boundObjectRef": reference}})
    assert (answer.status, answer.body["message"]) == (code, message)
