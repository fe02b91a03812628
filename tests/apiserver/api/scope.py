"""What happened between the recorded requests, and where devplane differs from the recording and why."""

from __future__ import annotations

from typing import Any

_MAPS = "/api/v1/namespaces/rec/configmaps"

Action = tuple[str, str, Any, dict[str, str]]


def _map(name: str, **metadata: Any) -> Action:
    return "POST", _MAPS, {"metadata": {"name": name, **metadata}}, {}


def _status(phase: str, version: str) -> Action:
    path = "/apis/rec.example.com/v1/namespaces/rec/widgets/w1/status"
    return "PATCH", path, {"status": {"phase": phase}}, {"resourceVersion": version}


_WIDGETS = "/apis/rec.example.com/v1/namespaces/rec/widgets"
_PODS = "/api/v1/namespaces/rec2/pods"
_SLEEP: dict[str, Any] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 2,
    "containers": [
        {
            "name": "c",
            "image": "rk8s.local/busybox:1",
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", "sleep 300"],
            "readinessProbe": {"httpGet": {"path": "/", "port": 9}, "periodSeconds": 1},
        }
    ],
}
_WEB: dict[str, Any] = {
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "minReadySeconds": 1,
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "c",
                        "image": "rk8s.local/busybox:1",
                        "imagePullPolicy": "Never",
                        "command": ["sh", "-c", "sleep 1; touch /tmp/ok; sleep 3600"],
                        "env": [{"name": "V", "value": "1"}],
                        "readinessProbe": {"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1},
                        "ports": [{"name": "http", "containerPort": 8080}],
                    }
                ],
            },
        },
    },
}
_WEB_ENV = {"spec": {"template": {"spec": {"containers": [
    {**_WEB["spec"]["template"]["spec"]["containers"][0],
     "env": [{"name": "V", "value": "2"}, {"name": "W", "value": "1"}]}
]}}}}  # fmt: skip
_WEB_PATH = "/apis/apps/v1/namespaces/rec2/deployments"

# Done before a step: the recording made these objects without keeping the requests. A fourth part says what the
# recording called what came of it.
BETWEEN: dict[str, list[Action]] = {
    "04 list by label": [_map(f"l{n}", labels={"grp": "l", "n": str(n)}) for n in range(5)],
    "05 delete with finalizer": [_map("fin", finalizers=["example.com/x"])],
    "05 owned": [(*_map("owner")[:3], {"uid": "6c74e965-2223-449f-a93f-a95c4dab5001"})],
    "06 status put": [_status("Set", "728")],
    "06 delete CR with finalizer: generation rises": [
        ("POST", _WIDGETS, {"metadata": {"name": "wf", "finalizers": ["rec.example.com/x"]}, "spec": {"size": 1}}, {})
    ],
    "07 token request bound to a pod": [
        ("POST", "/api/v1/namespaces/rec/serviceaccounts", {"metadata": {"name": "bob"}}, {}),
        (
            "POST",
            "/api/v1/namespaces/rec/pods",
            {"metadata": {"name": "holder"}, "spec": {**_SLEEP, "nodeName": "devplane", "serviceAccountName": "bob"}},
            {"uid": "87179431-4ae4-4be2-9bfa-4aa1610bd6c0"},
        ),
    ],
    "10 service": [("POST", "/api/v1/namespaces", {"metadata": {"name": "rec2"}}, {}), ("POST", _WEB_PATH, _WEB, {})],
    "10 strategic delete directive": [("PATCH", f"{_WEB_PATH}/web", _WEB_ENV, {})],
    "11 spec is immutable": [
        ("POST", _PODS, {"metadata": {"name": "notready", "labels": {"t": "p"}}, "spec": _SLEEP}, {})
    ],
}

# Done while a watch is open.
DURING: dict[str, list[Action]] = {
    "04 watch from a resourceVersion, with a selector: l1 leaves and comes back, l2 changes, l3 is deleted": [
        ("PATCH", f"{_MAPS}/l1", {"metadata": {"labels": {"grp": "q"}}}, {}),
        ("PATCH", f"{_MAPS}/l2", {"data": {"z": "1"}}, {}),
        ("PATCH", f"{_MAPS}/l1", {"metadata": {"labels": {"grp": "l"}}}, {}),
        ("DELETE", f"{_MAPS}/l3", None, {}),
    ],
    "04 watch of one object, table": [("PATCH", f"{_MAPS}/l1", {"data": {"t": "1"}}, {})],
}

# Asked again until controllers have done their part.
EVENTUALLY = {"02 default service account", "02 kube-root-ca", "05 owned is collected", "12 gone"}

# The token that a step is made with: the one bound to a pod, bob's for the API, one that is no token.
TOKENS = {
    "07 token of another audience at the API": "bound",
    "07 bad token": "rubbish",
    **dict.fromkeys(
        ("07 forbidden list", "07 forbidden get", "07 forbidden cluster scope", "07 forbidden custom resource",
         "07 allowed now", "07 named resource allowed", "07 other name forbidden",
         "07 list of a named resource forbidden", "07 escalation refused", "07 self subject rules review",
         "07 self subject review (whoami)"), "bob"),
}  # fmt: skip

# Fields left out of the comparison of a step.
_REVIEW = ["metadata.managedFields"]
_PODS_NODE = ["metadata.managedFields", "status.user.extra"]
IGNORED: dict[str, list[str]] = {
    "02 generateName": ["metadata.name"],
    "05 adding a finalizer while deleting": ["details.causes"],
    "05 owned": ["metadata.managedFields"],
    "06 established": ["spec", "metadata.managedFields"],
    "06 selectable field": ["items.*.metadata.managedFields"],
    "06 table": ["rows.*.object"],
    "07 review, right audience": _PODS_NODE,
    "07 self subject rules review": ["status.nonResourceRules"],
    "07 allowed now": ["items", "metadata.continue", "metadata.remainingItemCount"],
    "07 named resource allowed": ["metadata.managedFields", "status.phase"],
    "07 token request bound to a pod": _REVIEW,
    **dict.fromkeys(
        ("07 review, wrong audience", "07 review, no audience asked", "07 review, rubbish",
         "07 subject access review denied", "07 subject access review allowed"), _REVIEW),
    "10 service": ["metadata.managedFields"],
    "10 headless service, not-ready addresses published": ["metadata.managedFields"],
    "10 selector is immutable": [],
    "10 services as a table": ["rows.*.object", "rows.*.cells"],
    "10 namespaces as a table": ["rows"],
    "10 CRDs as a table": ["rows.*.object"],
    "01 resources /apis/apiextensions.k8s.io/v1": ["resources.*.storageVersionHash"],
    "10 service as applied by SSA": ["spec.clusterIP", "spec.clusterIPs"],
    "10 strategic delete directive": ["status", "metadata.managedFields", "metadata.annotations"],
    "10 scale": ["status.replicas"],
    "11 create": ["metadata.managedFields", "spec.volumes", "spec.containers.*.volumeMounts"],
    "11 event create (core)": ["metadata.name"],
    "11 event in another namespace than its object": ["message", "details.name"],
    "11 bind to a missing node": ["message"],
    "11 PodDisruptionBudget": ["metadata.managedFields"],
    "11 ResourceQuota": ["metadata.managedFields"],
    "12 terminating": ["metadata.managedFields", "status.conditions"],
}  # fmt: skip

# Steps that differ, with the reason. Each must differ: an entry that became equal fails.
_VERSION = "devplane names its own version, so that nobody takes it for Kubernetes"
_LESS = "devplane lists fewer resources: no proxy, ephemeral containers, CSRs, flow control"
_WATCH_LIST = "the recorded server had its WatchList gate off; devplane answers as servers do that have it on"
DIFFERS: dict[str, str] = {
    "01 plain /version": _VERSION,
    "07 expired or foreign path without credentials": _VERSION,
    "01 plain /api": "the server's own address",
    "01 plain /apis": _LESS,
    "01 aggregated /api": _LESS,
    "01 aggregated /apis": _LESS,
    "01 resources /api/v1": _LESS,
    "01 openapi v3 index": "hashes, and documents of paths that are no group version",
    "01 readyz verbose": "the checks of another program",
    "04 bad continue": "the words of Go's JSON parser",
    "04 watch-list: sendInitialEvents": _WATCH_LIST,
    "04 sendInitialEvents without bookmarks": _WATCH_LIST,
    "06 many errors at once": "the order of the causes",
    "11 spec is immutable": "the difference as Go structs",
    "07 review after the pod is gone": "the recorded server still had the answer in its cache",
}

# Steps that are not compared, with the reason.
_STORY = "a moment of a story: tests/apiserver/workloads tells it with this project's own pods"
ELSEWHERE: dict[str, str] = {
    "05 owner waits with foregroundDeletion": "devplane's garbage collector may be done already",
    **dict.fromkeys(
        ("09 template is immutable", "09 logs of a failed pod", "09 logs, wrong container", "09 jobs as a table",
         "09 events as a table", "09 nodes as a table", "09 the node", "10 endpoint slices before pods are ready",
         "10 replica sets", "10 one ready pod", "10 endpoint slices when ready", "10 during the rolling update",
         "10 after the rolling update", "10 replica sets after", "10 deployments as a table",
         "10 replica sets as a table", "10 endpoint slices as a table", "11 crash: CrashLoopBackOff",
         "11 notready: running, not ready", "11 unlive: killed by its liveness probe",
         "11 side: native sidecar ends after the main container", "11 delete with grace", "11 terminating",
         "11 logs --previous", "11 eviction refused by the budget"), _STORY),
}  # fmt: skip
