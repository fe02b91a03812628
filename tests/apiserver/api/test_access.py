"""Rights: nobody grants what they don't hold, reviews answer truly, impersonation is asked for piece by piece."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.api.replay import Answer, Replay

Obj = dict[str, Any]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLES = f"{RBAC}/namespaces/default/roles"
BINDINGS = f"{RBAC}/namespaces/default/rolebindings"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
ALICE = {"Impersonate-User": "alice"}
ACCESS = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["get", "create", "update", "patch"]}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def role(name: str, *rules: Obj) -> Obj:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, role: str, user: str = "alice", kind: str = "Role") -> Obj:
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": kind, "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}


async def grant(server: Replay, *rules: Obj, name: str = "held") -> None:
    """Alice may do this in default."""
    assert (await server.send("POST", ROLES, role(name, *rules))).status == 201
    assert (await server.send("POST", BINDINGS, binding(name, name))).status == 201


def message(answer: Answer) -> str:
    return str(answer.body["message"])


# https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
async def test_a_role_with_more_than_its_author_holds_is_refused(server: Replay) -> None:
    await grant(server, ACCESS, PODS)
    assert (await server.send("POST", ROLES, role("fine", PODS), ALICE)).status == 201
    secrets = {"apiGroups": [""], "resources": ["secrets", "pods/log"], "verbs": ["get", "delete"]}
    answer = await server.send("POST", ROLES, role("more", PODS, secrets), ALICE)
    assert answer.status == 403
    assert message(answer) == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "alice" (groups=["system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods/log"], Verbs:["get" "delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}'
    )
    assert answer.body["details"] == {"name": "more", "group": "rbac.authorization.k8s.io", "kind": "roles"}
    assert (await server.send("GET", f"{ROLES}/more")).status == 404


async def test_a_role_is_not_widened_by_update_patch_or_apply_either(server: Replay) -> None:
    await grant(server, ACCESS, PODS)
    await server.send("POST", ROLES, role("mine", PODS))
    wider = role("mine", {**PODS, "verbs": ["*"]})
    merge = {**ALICE, "Content-Type": "application/merge-patch+json"}
    apply = {**ALICE, "Content-Type": "application/apply-patch+yaml"}
    applied = {**wider, "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    answers = [
        await server.send("PUT", f"{ROLES}/mine", wider, ALICE),
        await server.send("PATCH", f"{ROLES}/mine", {"rules": wider["rules"]}, merge),
        await server.send("PATCH", f"{ROLES}/mine?fieldManager=a&force=true", applied, apply),
        await server.send("PATCH", f"{ROLES}/new?fieldManager=a", {**applied, "metadata": {"name": "new"}}, apply),
    ]
    assert [answer.status for answer in answers] == [403] * 4
    assert all('Verbs:["*"]' in message(answer) for answer in answers)


async def test_what_only_lets_go_of_a_wider_role_is_allowed(server: Replay) -> None:
    await grant(server, ACCESS)
    await server.send("POST", ROLES, {**role("held-by", PODS), "metadata": {"name": "held-by", "finalizers": ["a/b"]}})
    merge = {**ALICE, "Content-Type": "application/merge-patch+json"}
    kept = await server.send("PATCH", f"{ROLES}/held-by", {"metadata": {"labels": {"a": "b"}}}, merge)
    assert kept.status == 403
    freed = await server.send("PATCH", f"{ROLES}/held-by", {"metadata": {"finalizers": None}}, merge)
    assert freed.status == 200, freed.body


async def test_escalate_lets_somebody_write_any_role(server: Replay) -> None:
    await grant(server, ACCESS, {**ACCESS, "resources": ["roles"], "verbs": ["escalate"]})
    assert (await server.send("POST", ROLES, role("more", PODS), ALICE)).status == 201


async def test_a_binding_to_a_role_with_more_is_refused_unless_bind_is_allowed(server: Replay) -> None:
    await grant(server, ACCESS)
    await server.send("POST", ROLES, role("pods", PODS))
    answer = await server.send("POST", BINDINGS, binding("b", "pods"), ALICE)
    assert answer.status == 403
    assert message(answer).startswith('rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "alice" (groups=')
    assert message(answer).endswith('\n{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}')
    bind = {**ACCESS, "resources": ["roles"], "verbs": ["bind"], "resourceNames": ["pods"]}
    await grant(server, bind, name="bind")
    assert (await server.send("POST", BINDINGS, binding("b", "pods"), ALICE)).status == 201
    admin = await server.send("POST", BINDINGS, binding("c", "cluster-admin", kind="ClusterRole"), ALICE)
    assert admin.status == 403
    assert '{NonResourceURLs:["*"], Verbs:["*"]}' in message(admin)


async def test_a_binding_to_a_role_that_is_not_there_needs_bind(server: Replay) -> None:
    await grant(server, ACCESS)
    answer = await server.send("POST", BINDINGS, binding("b", "none"), ALICE)
    assert (answer.status, message(answer)) == (404, 'rolebindings.rbac.authorization.k8s.io "none" not found')
    assert (await server.send("POST", BINDINGS, binding("b", "none"))).status == 201


# https://kubernetes.io/docs/reference/access-authn-authz/rbac/#clusterrolebinding-example
async def test_the_role_of_a_binding_never_changes(server: Replay) -> None:
    await server.send("POST", BINDINGS, binding("b", "one"))
    answer = await server.send("PUT", f"{BINDINGS}/b", binding("b", "two"))
    assert answer.status == 422
    assert "cannot change roleRef" in message(answer)


async def test_an_aggregation_rule_is_for_cluster_admins(server: Replay) -> None:
    roles = f"{RBAC}/clusterroles"
    await server.send("POST", roles, role("author", ACCESS))
    await server.send("POST", f"{RBAC}/clusterrolebindings", binding("author", "author", kind="ClusterRole"))
    wanted = {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    answer = await server.send("POST", roles, wanted, ALICE)
    assert answer.status == 403
    assert message(answer).endswith("must have cluster-admin privileges to use the aggregationRule")


# https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
@pytest.mark.parametrize(
    ("headers", "refused", "needed"),
    [
        ({"User": "bob"}, 'users "bob"', 'resource "users" in API group "" at the cluster scope'),
        (
            {"User": "system:serviceaccount:ml:bob"},
            'serviceaccounts "bob"',
            'resource "serviceaccounts" in API group "" in the namespace "ml"',
        ),
        ({"User": "carol", "Group": "devs"}, 'groups "devs"', 'resource "groups" in API group "" at the cluster scope'),
        (
            {"User": "carol", "Extra-Scopes": "all"},
            'userextras.authentication.k8s.io "all"',
            'resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope',
        ),
        (
            {"User": "carol", "Uid": "u1"},
            'uids.authentication.k8s.io "u1"',
            'resource "uids" in API group "authentication.k8s.io" at the cluster scope',
        ),
    ],
)
async def test_each_part_of_an_impersonation_needs_its_own_right(
    server: Replay, alice: dict[str, str], headers: dict[str, str], refused: str, needed: str
) -> None:
    asked = {f"Impersonate-{key}": value for key, value in headers.items()}
    answer = await server.send("GET", "/api/v1/pods", headers={**alice, **asked})
    assert answer.status == 403
    who = 'User "system:serviceaccount:default:alice"'
    assert message(answer) == f"{refused} is forbidden: {who} cannot impersonate {needed}"


async def test_an_impersonation_without_a_user_is_an_error(server: Replay) -> None:
    answer = await server.send("GET", "/api/v1/pods", headers={"Impersonate-Group": "devs"})
    assert (answer.status, message(answer)) == (400, "requested [{Group  devs    }] without impersonating a user")


async def test_who_is_impersonated_is_told_with_groups_uid_and_extra(server: Replay) -> None:
    headers = {"Impersonate-User": "carol", "Impersonate-Uid": "u1", "Impersonate-Group": "devs",
               "Impersonate-Extra-Example.org%2fScopes": "all"}  # fmt: skip
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await server.send("POST", reviews, {}, headers)
    assert answer.body["status"]["userInfo"] == {
        "username": "carol", "uid": "u1", "groups": ["devs", "system:authenticated"],
        "extra": {"example.org/scopes": ["all"]}}  # fmt: skip


# https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
async def test_the_rules_of_oneself_are_listed_for_a_namespace(server: Replay) -> None:
    await grant(server, PODS)
    path = f"{AUTHORIZATION}/selfsubjectrulesreviews"
    listed = (await server.send("POST", path, {"spec": {"namespace": "default"}}, ALICE)).body["status"]
    assert PODS in listed["resourceRules"]
    assert listed["incomplete"] is False
    nowhere = await server.send("POST", path, {"spec": {}}, ALICE)
    assert (nowhere.status, message(nowhere)) == (400, "no namespace on request")


async def test_a_local_review_asks_about_its_own_namespace(server: Replay) -> None:
    await grant(server, PODS)
    path = f"{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews"
    asked = {"user": "alice", "resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"}}
    assert (await server.send("POST", path, {"spec": asked})).body["status"]["allowed"] is True
    asked["resourceAttributes"] = {"namespace": "other", "verb": "list", "resource": "pods"}
    elsewhere = await server.send("POST", path, {"spec": asked})
    assert elsewhere.status == 422
    assert 'spec.resourceAttributes.namespace: Invalid value: "other": must match' in message(elsewhere)


@pytest.fixture
async def alice(server: Replay) -> dict[str, str]:
    """Alice in person: a service account named alice would do as well, but this one may impersonate carol."""
    impersonate = {"apiGroups": [""], "resources": ["users"], "resourceNames": ["carol"], "verbs": ["impersonate"]}
    await server.send("POST", f"{RBAC}/clusterroles", role("as-carol", impersonate))
    subject = {"kind": "ServiceAccount", "name": "alice", "namespace": "default"}
    bound = {**binding("as-carol", "as-carol", kind="ClusterRole"), "subjects": [subject]}
    await server.send("POST", f"{RBAC}/clusterrolebindings", bound)
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await server.send("POST", accounts, {"metadata": {"name": "alice"}})
    token = (await server.send("POST", f"{accounts}/alice/token", {"spec": {}})).body["status"]["token"]
    return {"Authorization": f"Bearer {token}"}


# https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles
async def test_the_roles_for_people_are_there_and_collect_others(server: Replay) -> None:
    def may(verb: str, resource: str, group: str = "") -> Obj:
        attributes = {"namespace": "default", "verb": verb, "resource": resource, "group": group}
        return {"spec": {"resourceAttributes": attributes}}

    async def allowed(verb: str, resource: str, group: str = "") -> bool:
        path = f"{AUTHORIZATION}/selfsubjectaccessreviews"
        return bool((await server.send("POST", path, may(verb, resource, group), ALICE)).body["status"]["allowed"])

    await server.send("POST", BINDINGS, binding("view", "view", kind="ClusterRole"))
    assert await allowed("list", "pods")
    assert not await allowed("list", "secrets")
    assert not await allowed("get", "widgets", "example.com")
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    rule = {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}
    await server.send("POST", f"{RBAC}/clusterroles", {**role("w", rule), "metadata": {"name": "w", "labels": labels}})
    assert await allowed("get", "widgets", "example.com")
    await server.send("POST", BINDINGS, binding("edit", "edit", kind="ClusterRole"))
    assert await allowed("create", "deployments", "apps")
    assert not await allowed("create", "roles", "rbac.authorization.k8s.io")
    await server.send("POST", BINDINGS, binding("admin", "admin", kind="ClusterRole"))
    assert await allowed("create", "roles", "rbac.authorization.k8s.io")
    assert await allowed("get", "widgets", "example.com")
    assert (await server.send("POST", BINDINGS, binding("more", "edit", "bob", "ClusterRole"), ALICE)).status == 201
