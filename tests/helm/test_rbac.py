"""The operator's rights are exactly what its code uses: each call to the API server is listed here with its kinds."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunebird.kube import meta
from tunebird.kube.meta import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    FINE_TUNE_JOB,
    HTTP_ROUTE,
    JOB,
    LEASE,
    MODEL_ROLLOUT,
    SECRET,
    SERVICE,
    Kind,
)
from tunebird.runtime.cache import WATCHED

SOURCE = Path(__file__).parents[2] / "operator" / "tunebird"
NAMESPACES = Kind("v1", "Namespace", "namespaces", namespaced=False)
CRDS = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
TOKEN_REVIEWS = Kind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", namespaced=False)
OURS = (FINE_TUNE_JOB, MODEL_ROLLOUT)
SERVERS = (DEPLOYMENT, SERVICE, HTTP_ROUTE)

# Where the operator calls the API server: (file, method of KubeApi, kind if the call names it) → kinds it may mean.
CALLS: dict[tuple[str, str, str], tuple[Kind, ...]] = {
    ("finetune/observe.py", "get", "FINE_TUNE_JOB"): (FINE_TUNE_JOB,),
    ("finetune/observe.py", "get", "JOB"): (JOB,),
    ("finetune/reconcile.py", "create", ""): (JOB, CONFIG_MAP, SERVICE),
    ("finetune/reconcile.py", "delete", "CONFIG_MAP"): (CONFIG_MAP,),
    ("finetune/reconcile.py", "delete", "JOB"): (JOB,),
    ("finetune/reconcile.py", "delete", "SERVICE"): (SERVICE,),
    ("finetune/reconcile.py", "get", ""): (CONFIG_MAP, SERVICE),
    ("finetune/reconcile.py", "post", ""): (EVENT,),
    ("finetune/reconcile.py", "replace_status", ""): (FINE_TUNE_JOB,),
    ("rollout/apply.py", "apply", ""): SERVERS,
    ("rollout/apply.py", "delete", ""): (DEPLOYMENT, SERVICE),
    ("rollout/apply.py", "get", ""): SERVERS,
    ("rollout/apply.py", "merge", "DEPLOYMENT"): (DEPLOYMENT,),
    ("rollout/observe.py", "get", ""): (SERVICE, HTTP_ROUTE),
    ("rollout/observe.py", "get", "FINE_TUNE_JOB"): (FINE_TUNE_JOB,),
    ("rollout/observe.py", "get", "SECRET"): (SECRET,),
    ("rollout/reconcile.py", "get", "MODEL_ROLLOUT"): (MODEL_ROLLOUT,),
    ("rollout/reconcile.py", "post", ""): (EVENT,),
    ("rollout/reconcile.py", "replace_status", ""): (MODEL_ROLLOUT,),
    ("runtime/cache.py", "list", ""): WATCHED,
    ("runtime/lease.py", "create", ""): (LEASE,),
    ("runtime/lease.py", "get", ""): (LEASE,),
    ("runtime/lease.py", "merge", ""): (LEASE,),
    ("runtime/reports.py", "review", ""): (TOKEN_REVIEWS,),
}
VERBS = {
    "get": {"get"},
    "list": {"list"},
    "create": {"create"},
    "apply": {"create", "patch"},  # server-side apply of what isn't there needs both
    "merge": {"patch"},
    "delete": {"delete"},
    "post": {"get", "create", "patch"},  # a repeated event gets its count raised
    "review": {"create"},
}
IMPLEMENTATION = {"client.py", "rest.py"}
METHODS = {*VERBS, "replace_status"}

Rights = dict[tuple[str, str], set[str]]


def calls() -> Iterator[tuple[str, str, str]]:
    for path in SOURCE.rglob("*.py"):
        if "cli" in path.parts or path.name in IMPLEMENTATION:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_of_the_api(node.func):
                yield str(path.relative_to(SOURCE)), node.func.attr, _kind(node)


def _is_of_the_api(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute) and function.attr in METHODS and _receiver(function.value).endswith("api")
    )


def _receiver(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _kind(call: ast.Call) -> str:
    names = [node.id for one in call.args for node in ast.walk(one) if isinstance(node, ast.Name)]
    return next((name for name in names if isinstance(getattr(meta, name, None), Kind)), "")


def needed() -> Rights:
    """What the calls above need, what kopf does, and what owner references need."""
    rights: Rights = {}
    for (_, method, _), kinds in CALLS.items():
        for kind in kinds:
            if method == "replace_status":
                rights.setdefault(_of(kind, "/status"), set()).add("update")
            else:
                rights.setdefault(_of(kind), set()).update(VERBS[method])
    for kind in (*OURS, *WATCHED, CRDS, NAMESPACES):
        rights.setdefault(_of(kind), set()).update({"list", "watch"})
    for kind in OURS:
        rights[_of(kind)].add("patch")  # kopf's finalizer
        rights[_of(kind, "/finalizers")] = {"update"}  # blockOwnerDeletion on children
    return rights


def _of(kind: Kind, subresource: str = "") -> tuple[str, str]:
    group = kind.api_version.rpartition("/")[0]
    return group, kind.plural + subresource


def granted(manifests: list[dict[str, Any]], *, kinds: tuple[str, ...] = ("ClusterRole", "Role")) -> Rights:
    rights: Rights = {}
    rules = [rule for manifest in manifests if manifest["kind"] in kinds for rule in manifest["rules"]]
    for rule in rules:
        assert len(rule["apiGroups"]) == 1
        for resource in rule["resources"]:
            rights.setdefault((rule["apiGroups"][0], resource), set()).update(rule["verbs"])
    return rights


def test_every_call_of_the_operator_is_listed():
    assert set(calls()) == set(CALLS), "list the call above with its kinds, then give the chart's rules what it needs"


def test_the_chart_grants_exactly_what_is_needed(render: Any):
    assert granted(render()) == needed()


def test_on_named_namespaces_nothing_but_the_scan_is_cluster_wide(render: Any):
    manifests = render("tunebird", "--set", "watchNamespaces={ml,lab}")
    assert granted(manifests, kinds=("ClusterRole",)) == {
        _of(CRDS): {"list", "watch"}, _of(NAMESPACES): {"list", "watch"}, _of(TOKEN_REVIEWS): {"create"},
    }  # fmt: skip
    for namespace in ("ml", "lab"):
        there = [one for one in manifests if one["metadata"].get("namespace") == namespace and one["kind"] == "Role"]
        cluster = set(granted(manifests, kinds=("ClusterRole",)))
        expected = {key: verbs for key, verbs in needed().items() if key not in cluster and key != _of(LEASE)}
        assert granted(there) == expected


def test_no_wildcards_and_no_right_to_read_all_secrets(render: Any):
    for (group, resource), verbs in granted(render()).items():
        assert "*" not in {group, resource, *verbs}
    assert granted(render())["", "secrets"] == {"get"}


def test_secrets_can_be_left_out(render: Any):
    assert ("", "secrets") not in granted(render("tunebird", "--set", "rbac.readSecrets=false"))


@pytest.mark.parametrize("arguments", [(), ("--set", "watchNamespaces={ml}"), ("--set", "serviceAccount.create=false")])
def test_every_binding_joins_a_role_that_is_there_to_the_operators_account(render: Any, arguments: tuple[str, ...]):
    manifests = render("tunebird", *arguments)
    names = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in manifests}
    (deployment,) = [one for one in manifests if one["kind"] == "Deployment"]
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    for binding in (one for one in manifests if one["kind"].endswith("RoleBinding")):
        role = binding["roleRef"]
        assert (role["kind"], binding["metadata"].get("namespace"), role["name"]) in names
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "platform"}]
