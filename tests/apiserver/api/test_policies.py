"""ValidatingAdmissionPolicies: what they refuse, what they warn of, whom they are bound to.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.api.replay import Answer, Replay

Obj = dict[str, Any]

GROUP = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{GROUP}/validatingadmissionpolicies", f"{GROUP}/validatingadmissionpolicybindings"
MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
STRINGS = "Return type must be either string or null."
DENIED = "ValidatingAdmissionPolicy 'small' with binding 'small' denied request: "


def policy(*validations: Obj, **spec: Any) -> Obj:
    match = {"resourceRules": [RULE]}
    return {
        "metadata": {"name": "small"},
        "spec": {"matchConstraints": match, "validations": list(validations), **spec},
    }


async def install(server: Replay, policy: Obj, **binding: Any) -> None:
    answer = await server.send("POST", POLICIES, policy)
    assert answer.status == 201, answer.body
    spec = {"policyName": "small", "validationActions": ["Deny"], **binding}
    answer = await server.send("POST", BINDINGS, {"metadata": {"name": "small"}, "spec": spec})
    assert answer.status == 201, answer.body


async def create(server: Replay, headers: dict[str, str] | None = None, **data: str) -> Answer:
    return await server.send("POST", MAPS, {"metadata": {"name": "one"}, "data": data}, headers)


# /#getting-started-with-validating-admission-policy
async def test_an_expression_that_is_false_refuses_the_write(server: Replay) -> None:
    await install(server, policy({"expression": "size(object.data) <= 1"}))
    answer = await create(server, a="1", b="2")
    said = f"{DENIED}failed expression: size(object.data) <= 1"
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"] == f'configmaps "one" is forbidden: {said}'
    assert answer.body["details"] == {"name": "one", "kind": "configmaps", "causes": [{"message": said}]}
    assert (await create(server, a="1")).status == 201


async def test_a_policy_without_a_binding_does_nothing(server: Replay) -> None:
    await server.send("POST", POLICIES, policy({"expression": "false"}))
    assert (await create(server)).status == 201


# /#validation-expression
@pytest.mark.parametrize(
    ("validation", "code", "says"),
    [
        ({"expression": "false", "message": "never"}, 422, "never"),
        ({"expression": "false", "reason": "Forbidden"}, 403, "failed expression: false"),
        ({"expression": "false", "messageExpression": "'a is ' + object.data.a"}, 422, "a is 1"),
        ({"expression": "false", "messageExpression": "object.data.none", "message": "plain"}, 422, "plain"),
        (
            {"expression": "object.data.none == ''"},
            422,
            "expression 'object.data.none == ''' resulted in error: no such key: none",
        ),
        (
            {"expression": "1 / (size(object.data) - 1) == 1"},
            422,
            "expression '1 / (size(object.data) - 1) == 1' resulted in error: division by zero in CEL expression",
        ),
    ],
)
async def test_the_reason_is_told(server: Replay, validation: Obj, code: int, says: str) -> None:
    await install(server, policy(validation))
    answer = await create(server, a="1")
    assert answer.status == code
    assert answer.body["message"] == f'configmaps "one" is forbidden: {DENIED}{says}'


# /#validation-actions
async def test_a_binding_may_only_warn(server: Replay) -> None:
    await install(server, policy({"expression": "false", "message": "beware"}), validationActions=["Warn", "Audit"])
    answer = await create(server)
    assert answer.status == 201
    warning = "Validation failed for ValidatingAdmissionPolicy 'small' with binding 'small': beware"
    assert answer.headers["Warning"] == f'299 - "{warning}"'


# /#failure-policy
async def test_an_error_is_ignored_if_the_policy_says_so(server: Replay) -> None:
    await install(server, policy({"expression": "object.data.none == ''"}, failurePolicy="Ignore"))
    assert (await create(server, a="1")).status == 201


# /#parameter-resources
async def test_parameters_come_from_the_binding(server: Replay) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    reference = {"name": "limits", "namespace": "kube-public", "parameterNotFoundAction": "Deny"}
    limited = policy({"expression": "size(object.data) <= int(params.data.most)"}, paramKind=kind)
    await install(server, limited, paramRef=reference)
    missing = (await create(server, a="1")).body["message"]
    assert "no params found for policy binding with `Deny` parameterNotFoundAction" in missing
    limits = "/api/v1/namespaces/kube-public/configmaps"
    await server.send("DELETE", f"{BINDINGS}/small")
    await server.send("POST", limits, {"metadata": {"name": "limits"}, "data": {"most": "1"}})
    spec = {"policyName": "small", "validationActions": ["Deny"], "paramRef": reference}
    await server.send("POST", BINDINGS, {"metadata": {"name": "small"}, "spec": spec})
    assert (await create(server, a="1", b="2")).status == 422
    assert (await create(server, a="1")).status == 201


# /#matching-requests-matchconditions, /#variable-composition, /#validation-expression (namespaceObject, oldObject)
@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"matchConditions": [{"name": "c", "expression": "object.metadata.name != 'one'"}]}, 201),
        ({"matchConditions": [{"name": "c", "expression": "request.userInfo.username == 'devplane-admin'"}]}, 422),
        ({"validations": [{"expression": "namespaceObject.metadata.name == 'default'"}]}, 201),
        ({"validations": [{"expression": "oldObject == null"}]}, 201),
        ({"variables": [{"name": "n", "expression": "size(object.data)"},
                        {"name": "m", "expression": "variables.n + 1"}],
          "validations": [{"expression": "variables.m == 2"}]}, 201),
        ({"matchConstraints": {"resourceRules": [RULE], "excludeResourceRules": [RULE]}}, 201),
        ({"matchConstraints": {"resourceRules": [{**RULE, "resourceNames": ["two"]}]}}, 201),
        ({"matchConstraints": {"resourceRules": [{**RULE, "resourceNames": ["one"]}]}}, 422),
    ],
)  # fmt: skip
async def test_policies_match_and_compute_as_declared(server: Replay, spec: Obj, code: int) -> None:
    declared = policy({"expression": "false"})
    declared["spec"] |= spec
    await install(server, declared)
    assert (await create(server, a="1")).status == code


async def test_a_binding_narrows_its_policy(server: Replay) -> None:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "kube-public"}}
    await install(server, policy({"expression": "false"}), matchResources={"namespaceSelector": selector})
    assert (await create(server)).status == 201
    there = await server.send("POST", "/api/v1/namespaces/kube-public/configmaps", {"metadata": {"name": "m"}})
    assert there.status == 422


# https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
async def test_expressions_may_ask_what_the_user_may_do(server: Replay) -> None:
    expression = "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()"
    await install(server, policy({"expression": expression}))
    assert (await create(server)).status == 201
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["update"]}
    await server.send("POST", f"{roles}/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}
    body = {"metadata": {"name": "r"}, "roleRef": reference, "subjects": [subject]}
    await server.send("POST", f"{roles}/rolebindings", body)
    alice = {"Impersonate-User": "alice"}
    changed = {"metadata": {"name": "one"}, "data": {"a": "1"}}
    assert (await server.send("PUT", f"{MAPS}/one", changed, alice)).status == 422
    rule["resources"].append("secrets")  # type: ignore[attr-defined]
    rule["verbs"].append("get")  # type: ignore[attr-defined]
    await server.send("PUT", f"{roles}/roles/r", {"metadata": {"name": "r"}, "rules": [rule]})
    assert (await server.send("PUT", f"{MAPS}/one", changed, alice)).status == 200


# https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/validating-admission-policy-v1/
@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"validations": [{"expression": "object.("}]}, "spec.validations[0].expression: Invalid value"),
        ({"validations": []}, "validations or auditAnnotations must be non-empty"),
        ({"matchConstraints": {}}, "spec.matchConstraints.resourceRules: Required value"),
        ({"validations": [{"expression": "true", "reason": "Nope"}]}, 'reason: Unsupported value: "Nope"'),
        ({"auditAnnotations": [{"key": "a b", "valueExpression": "''"}]}, 'key: Invalid value: "small/a b"'),
        ({"auditAnnotations": [{"key": "a", "valueExpression": ""}]}, "valueExpression is not specified"),
        ({"auditAnnotations": [{"key": "a", "valueExpression": "("}]}, "valueExpression: Invalid value"),
        ({"auditAnnotations": [{"key": "a", "valueExpression": "''"}] * 2}, '[1].key: Duplicate value: "a"'),
    ],
)  # fmt: skip
async def test_a_policy_that_makes_no_sense_is_refused(server: Replay, spec: Obj, says: str) -> None:
    declared = policy({"expression": "true"})
    declared["spec"] |= spec
    answer = await server.send("POST", POLICIES, declared)
    assert answer.status == 422
    assert says in answer.body["message"]


async def test_a_binding_says_what_it_does_and_a_policy_that_it_was_compiled(server: Replay) -> None:
    await install(server, policy({"expression": "true"}))
    stored = (await server.send("GET", f"{POLICIES}/small")).body
    assert stored["status"] == {"observedGeneration": 1, "typeChecking": {}}
    assert stored["spec"]["failurePolicy"] == "Fail"
    both = {"policyName": "small", "validationActions": ["Deny", "Warn"]}
    answer = await server.send("POST", BINDINGS, {"metadata": {"name": "b"}, "spec": both})
    assert "must not contain both Deny and Warn" in answer.body["message"]


# https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#audit-annotations
@pytest.mark.parametrize(
    ("expression", "failure", "says"),
    [
        ("object.data.a", "Fail", ""),
        ("null", "Fail", ""),
        ("object.data.none", "Fail", "expression 'object.data.none' resulted in error: no such key: none"),
        ("object.data.none", "Ignore", ""),
        ("object.data", "Ignore", f"valueExpression 'object.data' resulted in unsupported return type: map. {STRINGS}"),
    ],
)  # fmt: skip
async def test_audit_annotation_without_a_value_refuses_even_where_the_binding_only_audits(
    server: Replay, expression: str, failure: str, says: str
) -> None:
    annotations = [{"key": "a", "valueExpression": expression}]
    await install(server, policy(failurePolicy=failure, auditAnnotations=annotations), validationActions=["Audit"])
    answer = await create(server, a="1")
    assert answer.status == (422 if says else 201)
    assert not says or answer.body["message"] == f'configmaps "one" is forbidden: {DENIED}{says}'
