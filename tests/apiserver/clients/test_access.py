"""Rights as people meet them: `kubectl auth`, `kubectl create role`, tokens, and the Python client as another user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.waiting import until
from apiserver.conftest import Cluster

pytestmark = docs("reference/access-authn-authz/rbac/", "reference/access-authn-authz/authentication/")

Obj = dict[str, Any]

# https://kubernetes.io/docs/reference/access-authn-authz/rbac/
DEVELOPER = ("--verb=get,list,create", "--resource=roles.rbac.authorization.k8s.io,pods")


@pytest.fixture
def developer(cluster: Cluster) -> str:
    """A service account that may read and create pods and roles."""
    cluster.kubectl("create", "serviceaccount", "dev")
    cluster.kubectl("create", "role", "dev", *DEVELOPER)
    cluster.kubectl("create", "rolebinding", "dev", "--role=dev", f"--serviceaccount={cluster.namespace}:dev")
    return f"--as=system:serviceaccount:{cluster.namespace}:dev"


def test_a_developer_can_not_hand_on_more_than_their_own_rights(cluster: Cluster, developer: str) -> None:
    cluster.kubectl("create", "role", "same", "--verb=get", "--resource=pods", developer)
    refused = cluster.run("create", "role", "more", "--verb=get,delete", "--resource=pods,secrets", developer)
    assert refused.returncode == 1
    assert 'Error from server (Forbidden): roles.rbac.authorization.k8s.io "more" is forbidden: ' in refused.stderr
    held = f'"system:serviceaccounts" "system:serviceaccounts:{cluster.namespace}" "system:authenticated"'
    assert f'user "system:serviceaccount:{cluster.namespace}:dev" (groups=[{held}])' in refused.stderr
    assert refused.stderr.rstrip().splitlines()[1:] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}',
    ]


@source("pkg/registry/rbac/validation/rule.go")
def test_a_binding_means_its_own_namespace_where_an_account_names_none(cluster: Cluster) -> None:
    cluster.kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "readers"}}
    subjects = [{"kind": "ServiceAccount", "name": "viewer"}]
    cluster.kubectl("apply", "-f", "-", stdin={**binding, "roleRef": role, "subjects": subjects})
    user = f"system:serviceaccount:{cluster.namespace}:viewer"
    until(lambda: cluster.run("auth", "can-i", "get", "pods", f"--as={user}").returncode == 0, "it may")
    asked = {"namespace": cluster.namespace, "verb": "get", "resource": "pods"}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    review = {**review, "spec": {"user": user, "resourceAttributes": asked}}
    told = json.loads(cluster.kubectl("create", "-f", "-", "-o", "json", stdin=review))["status"]["reason"]
    assert told.endswith(f'of Role "reader" to ServiceAccount "viewer/{cluster.namespace}"')


# https://kubernetes.io/docs/reference/kubectl/generated/kubectl_auth/kubectl_auth_can-i/
def test_can_i_answers_and_lists(cluster: Cluster, developer: str) -> None:
    assert cluster.run("auth", "can-i", "create", "pods", developer).stdout.strip() == "yes"
    assert cluster.run("auth", "can-i", "delete", "pods", developer).stdout.strip() == "no"
    assert cluster.run("auth", "can-i", "get", "pods", "--subresource=log", developer).stdout.strip() == "no"
    rows = [line.split() for line in cluster.kubectl("auth", "can-i", "--list", developer).splitlines()]
    assert rows[0] == ["Resources", "Non-Resource", "URLs", "Resource", "Names", "Verbs"]
    assert ["pods", "[]", "[]", "[get", "list", "create]"] in rows
    assert ["selfsubjectreviews.authentication.k8s.io", "[]", "[]", "[create]"] in rows


# https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review
def test_whoami_tells_the_impersonated_user(cluster: Cluster, developer: str) -> None:
    told = json.loads(cluster.kubectl("auth", "whoami", developer, "--as-group=devs", "-o", "json"))
    assert told["status"]["userInfo"] == {
        "username": f"system:serviceaccount:{cluster.namespace}:dev",
        "groups": ["devs", "system:authenticated"],
    }


# https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
def test_a_token_works_until_its_account_is_gone(cluster: Cluster, developer: str, tmp_path: Path) -> None:
    token = cluster.kubectl("create", "token", "dev", "--duration=20m").strip()
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    own = Cluster(tmp_path / "kubeconfig", cluster.namespace)
    own.kubeconfig.write_text(json.dumps(config))
    assert own.run("auth", "can-i", "create", "pods").stdout.strip() == "yes"
    who = json.loads(own.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert who["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    assert "secrets is forbidden" in own.run("get", "secrets").stderr
    cluster.kubectl("delete", "serviceaccount", "dev")
    until(lambda: "You must be logged in to the server" in own.run("get", "pods").stderr, "the token is refused")
    assert developer


# https://kubernetes.io/docs/concepts/security/service-accounts/#authenticating-in-code
def test_the_python_client_reviews_tokens_by_audience(cluster: Cluster) -> None:
    from kubernetes import client, config

    api = config.new_client_from_config(str(cluster.kubeconfig))
    core, reviews = client.CoreV1Api(api), client.AuthenticationV1Api(api)
    core.create_namespaced_service_account(cluster.namespace, {"metadata": {"name": "bot"}})
    asked = client.AuthenticationV1TokenRequest(spec={"audiences": ["vault"], "expirationSeconds": 600})
    token = core.create_namespaced_service_account_token("bot", cluster.namespace, asked).status.token

    def review(*audiences: str) -> Any:
        return reviews.create_token_review({"spec": {"token": token, "audiences": list(audiences)}}).status

    assert review("vault", "other").authenticated
    assert review("vault", "other").audiences == ["vault"]
    assert not review("other").authenticated
    core.delete_namespaced_service_account("bot", cluster.namespace)
    until(lambda: not review("vault").authenticated, "the token is refused")
