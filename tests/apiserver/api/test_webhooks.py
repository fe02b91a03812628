"""Admission webhooks: who is asked about what, what their answers do, and what is said when they fail.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apiserver.api.replay import Answer, Replay
from fakes.webhooks import WebhookServer, add, allow, deny, patch, webhook_server

Obj = dict[str, Any]

CORE = "/api/v1/namespaces/default"
MAPS = f"{CORE}/configmaps"
HOOKS = "/apis/admissionregistration.k8s.io/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
EVERY_WRITE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[WebhookServer]:
    with webhook_server(tmp_path) as started:
        yield started


def webhook(client: Obj, name: str = "a.example.com", **fields: Any) -> Obj:
    declared = {"name": name, "clientConfig": client, "rules": [EVERY_WRITE], "sideEffects": "None",
                "admissionReviewVersions": ["v1"]}  # fmt: skip
    return {**declared, **fields}


async def install(server: Replay, kind: str, *webhooks: Obj, name: str = "test") -> None:
    path = f"{HOOKS}/{kind}webhookconfigurations"
    answer = await server.send("POST", path, {"metadata": {"name": name}, "webhooks": list(webhooks)})
    assert answer.status == 201, answer.body


async def create(server: Replay, name: str = "one", query: str = "", **data: str) -> Answer:
    return await server.send("POST", f"{MAPS}{query}", {"metadata": {"name": name}, "data": data})


# /#request
async def test_a_validating_webhook_sees_each_write_with_what_was_and_what_will_be(
    server: Replay, hooks: WebhookServer
) -> None:
    hooks.on("/v", allow)
    await install(server, "validating", webhook(hooks.client_config("/v")))
    created = (await create(server, a="1")).body
    await server.send("PATCH", f"{MAPS}/one", {"data": {"a": "2"}}, MERGE)
    await server.send("PUT", f"{MAPS}/one", {"metadata": {"name": "one"}, "data": {"a": "3"}})
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"b": "1"}}
    apply = {"Content-Type": "application/apply-patch+yaml"}
    await server.send("PATCH", f"{MAPS}/one?fieldManager=x", applied, apply)
    await server.send("DELETE", f"{MAPS}/one")
    asked = hooks.requests("/v")
    assert [one["operation"] for one in asked] == ["CREATE", "UPDATE", "UPDATE", "UPDATE", "DELETE"]
    data = [((one["oldObject"] or {}).get("data"), (one["object"] or {}).get("data")) for one in asked]
    assert data == [(None, {"a": "1"}), ({"a": "1"}, {"a": "2"}), ({"a": "2"}, {"a": "3"}),
                    ({"a": "3"}, {"a": "3", "b": "1"}), ({"a": "3", "b": "1"}, None)]  # fmt: skip
    first = asked[0]
    assert first["object"]["metadata"]["uid"] == created["metadata"]["uid"]
    assert {key: first[key] for key in ("kind", "resource", "name", "namespace", "dryRun")} == {
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "one", "namespace": "default", "dryRun": False}  # fmt: skip
    assert first["userInfo"]["groups"] == ["system:masters", "system:authenticated"]
    assert first["options"]["kind"] == "CreateOptions"
    assert asked[-1]["options"]["kind"] == "DeleteOptions"


# /#response
@pytest.mark.parametrize(
    ("status", "code", "reason", "message"),
    [
        ({"message": "not on a Friday"}, 400, "", ": not on a Friday"),
        ({}, 400, "", " without explanation"),
        ({"reason": "Quota", "code": 403}, 403, "Quota", ": Quota"),
        ({"message": "m", "code": 200}, 400, "", ": m"),
    ],
)
async def test_a_no_is_told_in_the_servers_words_and_nothing_is_stored(
    server: Replay, hooks: WebhookServer, status: Obj, code: int, reason: str, message: str
) -> None:
    hooks.on("/v", deny(**status))
    await install(server, "validating", webhook(hooks.client_config("/v")))
    answer = await create(server)
    assert (answer.status, answer.body.get("reason", "")) == (code, reason)
    assert answer.body["message"] == f'admission webhook "a.example.com" denied the request{message}'
    assert (await server.send("GET", f"{MAPS}/one")).status == 404


async def test_a_no_keeps_what_was_to_be_changed_or_deleted(server: Replay, hooks: WebhookServer) -> None:
    before = (await create(server, a="1")).body
    hooks.on("/v", deny("no"))
    await install(server, "validating", webhook(hooks.client_config("/v")))
    answers = [
        await server.send("PATCH", f"{MAPS}/one", {"data": {"a": "2"}}, MERGE),
        await server.send("DELETE", f"{MAPS}/one"),
        await server.send("DELETE", MAPS),
    ]
    assert [one.status for one in answers] == [400] * 3
    assert (await server.send("GET", f"{MAPS}/one")).body == before
    assert hooks.asked[-1][1].get("name", "") == ""  # of a collection


# /#response (JSONPatch)
async def test_mutating_webhooks_change_what_is_stored_each_after_the_other(
    server: Replay, hooks: WebhookServer
) -> None:
    hooks.on("/a", patch(add("/metadata/labels", {"by": "a"})))
    hooks.on("/b", patch(add("/data/b", "2")))
    hooks.on("/v", allow)
    await install(server, "mutating", webhook(hooks.client_config("/b"), "b.example.com"), name="second")
    await install(server, "mutating", webhook(hooks.client_config("/a")), name="first")
    await install(server, "validating", webhook(hooks.client_config("/v")))
    made = (await server.send("POST", MAPS, {"metadata": {"generateName": "m-"}, "data": {"a": "1"}})).body
    assert (made["metadata"]["labels"], made["data"]) == ({"by": "a"}, {"a": "1", "b": "2"})
    assert [path for path, _ in hooks.asked] == ["/a", "/b", "/v"]
    assert hooks.requests("/b")[0]["object"]["metadata"]["labels"] == {"by": "a"}
    assert "uid" not in hooks.requests("/a")[0]["object"]["metadata"]
    assert hooks.requests("/v")[0]["object"]["metadata"]["name"] == made["metadata"]["name"]


async def test_what_a_webhook_makes_of_an_object_is_validated(server: Replay, hooks: WebhookServer) -> None:
    hooks.on("/m", patch(add("/data", {"bad key": "x"})))
    await install(server, "mutating", webhook(hooks.client_config("/m")))
    answer = await create(server)
    assert answer.status == 422
    assert "data[bad key]" in answer.body["message"]


# /#reinvocation-policy
@pytest.mark.parametrize(("policy", "times"), [("Never", 1), ("IfNeeded", 2)])
async def test_a_webhook_is_asked_again_if_it_wants_to_and_others_came_after(
    server: Replay, hooks: WebhookServer, policy: str, times: int
) -> None:
    hooks.on("/a", patch(add("/metadata/labels", {"a": "1"})))
    hooks.on("/b", patch(add("/data", {"b": "2"})))
    first = webhook(hooks.client_config("/a"), reinvocationPolicy=policy)
    await install(server, "mutating", first, webhook(hooks.client_config("/b"), "b.example.com"))
    assert (await create(server)).status == 201
    assert (len(hooks.requests("/a")), len(hooks.requests("/b"))) == (times, 1)


# /#matching-requests-rules
@pytest.mark.parametrize(
    ("rule", "is_asked"),
    [
        ({}, True),
        ({"operations": ["UPDATE", "DELETE"]}, False),
        ({"apiGroups": ["apps"]}, False),
        ({"apiVersions": ["v2"]}, False),
        ({"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}, True),
        ({"resources": ["*/*"]}, True),
        ({"resources": ["configmaps/*"]}, True),
        ({"resources": ["configmaps/status"]}, False),
        ({"scope": "Cluster"}, False),
        ({"scope": "Namespaced"}, True),
    ],
)
async def test_rules_say_who_is_asked(server: Replay, hooks: WebhookServer, rule: Obj, *, is_asked: bool) -> None:
    hooks.on("/v", deny("asked"))
    await install(server, "validating", webhook(hooks.client_config("/v"), rules=[{**EVERY_WRITE, **rule}]))
    assert (await create(server)).status == (400 if is_asked else 201)


# /#matching-requests-namespaceselector and /#matching-requests-objectselector
@pytest.mark.parametrize(
    ("fields", "is_asked"),
    [
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, True),
        ({"namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["default"]}]}}, False),
        ({"objectSelector": {"matchLabels": {"app": "x"}}}, True),
        ({"objectSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}, False),
        ({"matchConditions": [{"name": "c", "expression": "object.data.a == '1'"}]}, True),
        ({"matchConditions": [{"name": "c", "expression": "request.operation == 'DELETE'"}]}, False),
        ({"matchConditions": [{"name": "c", "expression": "!('system:nodes' in request.userInfo.groups)"}]}, True),
    ],
)  # fmt: skip
async def test_selectors_and_conditions_say_who_is_asked(
    server: Replay, hooks: WebhookServer, fields: Obj, *, is_asked: bool
) -> None:
    hooks.on("/v", deny("asked"))
    await install(server, "validating", webhook(hooks.client_config("/v"), **fields))
    body = {"metadata": {"name": "one", "labels": {"app": "x"}}, "data": {"a": "1"}}
    assert (await server.send("POST", MAPS, body)).status == (400 if is_asked else 201)


# /#matching-requests-matchconditions
@pytest.mark.parametrize(("policy", "code"), [("Fail", 403), ("Ignore", 201)])
async def test_a_condition_without_a_value_counts_as_the_failure_policy_says(
    server: Replay, hooks: WebhookServer, policy: str, code: int
) -> None:
    condition = {"name": "c", "expression": "object.data.none == '1'"}
    fields = {"matchConditions": [condition], "failurePolicy": policy}
    await install(server, "validating", webhook(hooks.client_config("/v"), **fields))
    answer = await create(server, a="1")
    assert answer.status == code
    if code == 403:
        assert "resulted in error: no such key: none" in answer.body["message"]


# /#matching-requests-matchpolicy
@pytest.mark.parametrize(("policy", "is_asked"), [("Equivalent", True), ("Exact", False)])
async def test_the_same_object_in_another_group_matches_if_wanted(
    server: Replay, hooks: WebhookServer, policy: str, *, is_asked: bool
) -> None:
    hooks.on("/v", allow)
    rule = {**EVERY_WRITE, "apiGroups": ["events.k8s.io"], "resources": ["events"]}
    await install(server, "validating", webhook(hooks.client_config("/v"), rules=[rule], matchPolicy=policy))
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "message": "said", "type": "Normal"}
    assert (await server.send("POST", f"{CORE}/events", event)).status == 201
    asked = hooks.requests("/v")
    assert bool(asked) is is_asked
    if is_asked:
        assert (asked[0]["object"]["note"], asked[0]["requestResource"]["group"]) == ("said", "")
        assert asked[0]["resource"]["group"] == "events.k8s.io"


async def test_a_webhook_gets_a_custom_resource_in_the_version_that_it_knows(
    server: Replay, hooks: WebhookServer
) -> None:
    from apiserver.clients import widgets

    crd = widgets.definition("g.example.com")
    [first] = crd["spec"]["versions"]
    crd["spec"]["versions"].append({**first, "name": "v2", "storage": False})
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await server.send("POST", crds, crd)).status == 201
    hooks.on("/m", patch(add("/spec/max", 9)))
    rule = {**EVERY_WRITE, "apiGroups": ["g.example.com"], "apiVersions": ["v2"], "resources": ["widgets"]}
    await install(server, "mutating", webhook(hooks.client_config("/m"), rules=[rule]))
    path = "/apis/g.example.com/v1/namespaces/default/widgets"
    made = (await server.send("POST", path, widgets.widget("g.example.com"))).body
    assert (made["apiVersion"], made["spec"]) == ("g.example.com/v1", {"size": 3, "mode": "auto", "max": 9})
    [asked] = hooks.requests("/m")
    assert asked["object"]["apiVersion"] == "g.example.com/v2"
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v2", "v1")
    status = await server.send("PATCH", f"{path}/one/status", {"status": {"phase": "x"}}, MERGE)
    assert (status.status, len(hooks.requests("/m"))) == (200, 1)


# /#failure-policy
async def test_a_webhook_that_can_not_be_reached_fails_the_write_or_is_ignored(
    server: Replay, hooks: WebhookServer
) -> None:
    gone = {"url": "https://127.0.0.1:1/v"}
    await install(server, "validating", webhook(gone, timeoutSeconds=5))
    answer = await create(server)
    assert (answer.status, answer.body["reason"]) == (500, "InternalError")
    assert answer.body["message"] == (
        'Internal error occurred: failed calling webhook "a.example.com": failed to call webhook: Post '
        '"https://127.0.0.1:1/v?timeout=5s": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    await server.send("DELETE", f"{HOOKS}/validatingwebhookconfigurations/test")
    await install(server, "mutating", webhook(gone, failurePolicy="Ignore"))
    assert (await create(server)).status == 201
    assert not hooks.asked


async def test_a_certificate_of_another_authority_is_not_trusted(server: Replay, hooks: WebhookServer) -> None:
    config = {key: value for key, value in hooks.client_config("/v").items() if key != "caBundle"}
    await install(server, "validating", webhook(config))
    answer = await create(server)
    assert answer.status == 500
    assert "tls: failed to verify certificate: x509: certificate signed by unknown authority" in answer.body["message"]
    assert not hooks.asked


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"uid": "other", "allowed": True}, "expected response.uid="),
        ({"allowed": True, "patch": "W10="}, "webhook returned response.patch but not response.patchType"),
        ({"allowed": True, "patch": "W10=", "patchType": "Merge"}, 'invalid response.patchType of "Merge"'),
        ({"allowed": True, "patch": "WzFd", "patchType": "JSONPatch"}, "response.patch is not a list of operations"),
        ({"allowed": True, "patch": "!", "patchType": "JSONPatch"}, "response.patch is no base64 of JSON"),
        ({"allowed": "yes"}, "cannot unmarshal str into field allowed"),
        ({"allowed": True, "warnings": "w"}, "cannot unmarshal str into field warnings"),
        ({"allowed": False, "status": "no"}, "cannot unmarshal str into field status"),
        ({"allowed": False, "status": {"code": "403"}}, "cannot unmarshal str into field code"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure(server: Replay, hooks: WebhookServer, said: Obj, why: str) -> None:
    hooks.on("/m", lambda _: said)
    await install(server, "mutating", webhook(hooks.client_config("/m")))
    message = (await create(server)).body["message"]
    assert 'failed calling webhook "a.example.com": received invalid webhook response: ' in message
    assert why in message


async def test_a_slow_webhook_times_out(server: Replay, hooks: WebhookServer) -> None:
    import threading

    over = threading.Event()
    hooks.on("/v", lambda _: {"allowed": over.wait(10)})
    await install(server, "validating", webhook(hooks.client_config("/v"), timeoutSeconds=1))
    answer = await create(server)
    over.set()
    assert answer.status == 500
    assert answer.body["message"].endswith('?timeout=1s": context deadline exceeded')


async def test_a_long_answer_is_read_to_its_end(server: Replay, hooks: WebhookServer) -> None:
    hooks.on("/m", patch(add("/data", {"long": "x" * 900_000})))
    await install(server, "mutating", webhook(hooks.client_config("/m")))
    assert len((await create(server)).body["data"]["long"]) == 900_000


async def test_a_connection_that_was_closed_meanwhile_is_opened_again(server: Replay, hooks: WebhookServer) -> None:
    hooks.on("/v", allow)
    await install(server, "validating", webhook(hooks.client_config("/v")))
    assert (await create(server)).status == 201
    hooks.drops = 1
    assert (await create(server, "two")).status == 201
    hooks.drops = 2
    answer = await create(server, "three")
    assert answer.body["message"].endswith('?timeout=10s": EOF')


# /#side-effects
async def test_a_dry_run_is_asked_about_and_stores_nothing(server: Replay, hooks: WebhookServer) -> None:
    hooks.on("/m", patch(add("/data", {"by": "m"})))
    await install(server, "mutating", webhook(hooks.client_config("/m"), sideEffects="NoneOnDryRun"))
    answer = await create(server, query="?dryRun=All")
    assert (answer.status, answer.body["data"]) == (201, {"by": "m"})
    assert hooks.requests("/m")[0]["dryRun"] is True
    assert (await server.send("GET", f"{MAPS}/one")).status == 404


# /#response (warnings)
async def test_warnings_are_headers_of_the_answer(server: Replay, hooks: WebhookServer) -> None:
    hooks.on("/v", lambda _: {"allowed": True, "warnings": ["old field", 'a "quoted" one']})
    await install(server, "validating", webhook(hooks.client_config("/v")))
    answer = await create(server)
    assert answer.headers.getall("Warning") == ['299 - "old field"', '299 - "a \\"quoted\\" one"']  # type: ignore[attr-defined]
    hooks.on("/v", lambda _: {"allowed": False, "warnings": ["why not"]})
    assert (await create(server, "two")).headers["Warning"] == '299 - "why not"'


# /#service-reference
async def test_a_service_is_asked_at_its_ready_endpoints(server: Replay, hooks: WebhookServer) -> None:
    hooks.on("/v", deny("by service"))
    config = {"service": {"name": "hooks", "namespace": "default", "path": "/v"}, "caBundle": hooks.ca_bundle}
    await install(server, "validating", webhook(config))
    url = 'Post "https://hooks.default.svc:443/v?timeout=10s": '
    assert (await create(server)).body["message"].endswith(f'{url}service "hooks" not found')
    service = {"metadata": {"name": "hooks"}, "spec": {"ports": [{"port": 443, "name": "https"}]}}
    assert (await server.send("POST", f"{CORE}/services", service)).status == 201
    assert (await create(server)).body["message"].endswith(f'{url}no endpoints available for service "hooks"')
    part = {"metadata": {"name": "hooks-1", "labels": {"kubernetes.io/service-name": "hooks"}}, "addressType": "IPv4",
            "ports": [{"name": "https", "port": hooks.port}], "endpoints": [{"addresses": ["127.0.0.1"]}]}  # fmt: skip
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    assert (await server.send("POST", slices, part)).status == 201
    assert (await create(server)).body["message"].endswith("denied the request: by service")


async def test_configurations_are_not_asked_about_themselves(server: Replay, hooks: WebhookServer) -> None:
    hooks.on("/v", deny("no"))
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    await install(server, "validating", webhook(hooks.client_config("/v"), rules=[everything]))
    assert (await create(server)).status == 400
    assert (await server.send("DELETE", f"{HOOKS}/validatingwebhookconfigurations/test")).status == 200
    assert (await create(server)).status == 201


# https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#serviceaccount
async def test_a_container_that_a_webhook_adds_gets_the_pods_token_too(server: Replay, hooks: WebhookServer) -> None:
    await server.send("POST", f"{CORE}/serviceaccounts", {"metadata": {"name": "default"}})
    hooks.on("/m", patch(add("/spec/containers/-", {"name": "side", "image": "x"})))
    rule = {**EVERY_WRITE, "operations": ["CREATE"], "resources": ["pods"]}
    await install(server, "mutating", webhook(hooks.client_config("/m"), rules=[rule]))
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    made = (await server.send("POST", f"{CORE}/pods", pod)).body
    mounts = [one["volumeMounts"] for one in made["spec"]["containers"]]
    assert mounts[0] == mounts[1]
    assert [one["name"] for one in made["spec"]["volumes"]] == [mounts[0][0]["name"]]
    assert made["spec"]["containers"][1]["terminationMessagePath"] == "/dev/termination-log"


async def test_subresources_are_asked_about_as_what_they_are(server: Replay, hooks: WebhookServer) -> None:
    hooks.on("/v", deny("no"))
    resources = ["serviceaccounts/token", "pods/eviction", "deployments/scale"]
    rule = {"operations": ["*"], "apiGroups": ["", "apps"], "apiVersions": ["v1"], "resources": resources}
    await server.send("POST", f"{CORE}/serviceaccounts", {"metadata": {"name": "bob"}})
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await server.send("POST", deployments, {"metadata": {"name": "d"}, "spec": spec})
    await server.send("POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": template["spec"]})
    await install(server, "validating", webhook(hooks.client_config("/v"), rules=[rule]))
    answers = [
        await server.send("POST", f"{CORE}/serviceaccounts/bob/token", {"spec": {}}),
        await server.send("POST", f"{CORE}/pods/p/eviction", {"metadata": {"name": "p"}}),
        await server.send("PATCH", f"{deployments}/d/scale", {"spec": {"replicas": 3}}, MERGE),
    ]
    assert [one.status for one in answers] == [400] * 3
    told = [(one["operation"], one["kind"]["kind"], one["subResource"]) for _, one in hooks.asked]
    assert told == [("CREATE", "TokenRequest", "token"), ("CREATE", "Eviction", "eviction"),
                    ("UPDATE", "Scale", "scale")]  # fmt: skip
    assert hooks.asked[2][1]["object"]["spec"] == {"replicas": 3}
    assert (await server.send("GET", f"{deployments}/d")).body["spec"]["replicas"] == 1


# https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
async def test_a_change_that_comes_while_a_webhook_thinks_is_not_lost(server: Replay, hooks: WebhookServer) -> None:
    import asyncio
    import threading

    await create(server, n="0")
    asked, go = threading.Event(), threading.Event()

    def slow(request: Obj) -> Obj:
        if request["object"]["data"].get("slow") == "1" and not asked.is_set():
            asked.set()
            go.wait(10)
        return {"allowed": True}

    hooks.on("/v", slow)
    await install(server, "validating", webhook(hooks.client_config("/v")))
    waiting = asyncio.create_task(server.send("PATCH", f"{MAPS}/one", {"data": {"slow": "1"}}, MERGE))
    await asyncio.to_thread(asked.wait, 10)
    assert (await server.send("PATCH", f"{MAPS}/one", {"data": {"n": "1"}}, MERGE)).status == 200
    go.set()
    assert (await waiting).status == 200
    assert (await server.send("GET", f"{MAPS}/one")).body["data"] == {"n": "1", "slow": "1"}
    assert hooks.asked[-1][1]["object"]["data"] == {"n": "1", "slow": "1"}


# https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/validating-webhook-configuration-v1/
async def test_a_configuration_gets_the_defaults_of_v1(server: Replay, hooks: WebhookServer) -> None:
    await install(server, "mutating", webhook(hooks.client_config("/m")))
    stored = (await server.send("GET", f"{HOOKS}/mutatingwebhookconfigurations/test")).body["webhooks"][0]
    defaults = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10, "namespaceSelector": {},
                "objectSelector": {}, "reinvocationPolicy": "Never"}  # fmt: skip
    assert defaults.items() <= stored.items()
    assert stored["rules"][0]["scope"] == "*"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "short"}, 'webhooks[0].name: Invalid value: "short": should be a domain with at least three'),
        ({"sideEffects": "Some"}, 'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", '),
        ({"timeoutSeconds": 31}, "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1"),
        ({"admissionReviewVersions": ["v2"]}, 'webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must incl'),
        ({"clientConfig": {}}, "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
        ({"clientConfig": {"url": "http://127.0.0.1/"}}, "'https' is the only allowed URL scheme"),
        ({"rules": [{**EVERY_WRITE, "operations": ["*", "CREATE"]}]}, "if '*' is present, must not specify other oper"),
        (
            {"matchConditions": [{"name": "c", "expression": "object.("}]},
            "matchConditions[0].expression: Invalid",
        ),
    ],
)
async def test_a_configuration_that_makes_no_sense_is_refused(server: Replay, fields: Obj, says: str) -> None:
    body = {"metadata": {"name": "test"}, "webhooks": [webhook({"url": "https://127.0.0.1:1/"}, **fields)]}
    answer = await server.send("POST", f"{HOOKS}/validatingwebhookconfigurations", body)
    assert answer.status == 422
    assert says in answer.body["message"]
