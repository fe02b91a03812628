"""The operator's own process against a control plane: kopf, Lease, finalizers, kills. Reconcilers only leave traces."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fakes.operators import Cluster, Traced
from fakes.ports import free_port
from fakes.processes import ROOT, devplane, until

GATEWAY_API = ROOT / "operator" / "tunebird" / "cli" / "addons" / "gateway-api.yaml"
RELEASED = "Released the Lease"
ACQUIRED = "Acquired the Lease"


def job(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "tunebird.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {
            "model": {"source": {"uri": "pvc://models/base"}},
            "datasets": [{"name": "support", "source": {"uri": "pvc://data/support.jsonl"}}],
            "method": {"objective": "sft", "tuning": "lora"},
            "output": {"storage": {"uri": "pvc://models/out"}},
        },
    }


def finish(cluster: Cluster, name: str) -> None:
    condition = {"type": "Succeeded", "status": "True", "reason": "Done", "message": "", "observedGeneration": 1}
    moment = {"lastTransitionTime": "2026-01-01T12:00:00Z"}
    patch = json.dumps({"status": {"observedGeneration": 1, "conditions": [{**condition, **moment}]}})
    cluster.kubectl("patch", "ftj", name, "-n", "ml", "--subresource=status", "--type=merge", "-p", patch)


def finalizers(cluster: Cluster, name: str) -> list[str]:
    return list(cluster.get("ftj", name, "-n", "ml")["metadata"].get("finalizers", []))


def passed(operator: Traced, name: str) -> int:
    return [key for _, key in operator.passes()].count(f"ml/{name}")


def test_new_object_gets_a_pass_at_once_and_a_changed_one_another(cluster: Cluster) -> None:
    with cluster.operator(TUNEBIRD_RESYNC="1h") as operator:
        until(lambda: operator.said("Taking progress reports"), "the operator leads")
        cluster.apply(job("quick"))
        until(lambda: passed(operator, "quick") > 0, "the first pass")
        before = passed(operator, "quick")
        cluster.kubectl("annotate", "ftj", "quick", "-n", "ml", "tunebird.dev/retry=1")
        until(lambda: passed(operator, "quick") > before, "the pass after the change")
        finish(cluster, "quick")


def test_kopf_writes_its_finalizer_and_nothing_else(cluster: Cluster) -> None:
    with cluster.operator() as operator:
        made = job("clean")
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
        until(lambda: passed(operator, "clean") > 0, "the first pass")
        until(lambda: finalizers(cluster, "clean") == ["tunebird.dev/loop"], "the finalizer")
        live = cluster.get("ftj", "clean", "-n", "ml")
        assert "annotations" not in live["metadata"]
        assert "status" not in live


def test_finished_object_has_no_finalizer_and_no_loop(cluster: Cluster) -> None:
    with cluster.operator(TUNEBIRD_RESYNC="1s") as operator:
        cluster.apply(job("done"))
        until(lambda: passed(operator, "done") > 0, "the first pass")
        finish(cluster, "done")
        until(lambda: finalizers(cluster, "done") == [], "the finalizer is gone")
        before = passed(operator, "done")
        cluster.kubectl("annotate", "ftj", "done", "-n", "ml", "note=later")
        time.sleep(2.5)  # two resyncs and a half, in which nothing must happen
        assert passed(operator, "done") == before


def test_deleted_object_is_gone_at_once(cluster: Cluster) -> None:
    with cluster.operator() as operator:
        cluster.apply(job("short"))
        until(lambda: passed(operator, "short") > 0, "the first pass")
        cluster.kubectl("delete", "ftj", "short", "-n", "ml", "--timeout=60s")


def test_two_operators_never_act_at_once_and_the_second_takes_over_when_the_first_ends(cluster: Cluster) -> None:
    with cluster.operator() as first:
        cluster.apply(job("shared"))
        until(lambda: passed(first, "shared") > 0, "the first operator's pass")
        with cluster.operator() as second:
            until(lambda: second.said("Waiting for the Lease"), "the second waits")
            cluster.kubectl("annotate", "ftj", "shared", "-n", "ml", "note=one")
            until(lambda: passed(first, "shared") > 1, "the first still acts")
            assert second.passes() == []
            first.process.terminate()
            assert first.process.wait(60) == 0
            assert first.said(RELEASED)
            until(lambda: passed(second, "shared") > 0, "the second operator's pass")
            assert first.passes()[-1][0] < second.passes()[0][0]


@pytest.mark.parametrize("pod_uid", ["pod-uid-1", pytest.param("", marks=pytest.mark.slow)])
def test_killed_operator_goes_on_where_it_was_when_it_is_started_again(cluster: Cluster, pod_uid: str) -> None:
    """The same pod's container at once; any other process when the Lease has run out."""
    env = {"POD_UID": pod_uid, "HOSTNAME": "tunebird"}
    name = "killed-in-pod" if pod_uid else "killed"
    with cluster.operator(**env) as first:
        cluster.apply(job(name))
        until(lambda: passed(first, name) > 0, "the first operator's pass")
        first.process.kill()
        first.process.wait()
    with cluster.operator(**env) as again:
        until(lambda: passed(again, name) > 0, "the pass after the kill")
        assert again.said("Waiting for the Lease") is not bool(pod_uid)
        assert first.passes()[-1][0] < again.passes()[0][0]


def test_operator_whose_lease_was_taken_stops_acting_and_ends(cluster: Cluster) -> None:
    with cluster.operator() as operator:
        until(lambda: operator.said(ACQUIRED), "the Lease")
        patch = '{"spec": {"holderIdentity": "somebody"}}'
        cluster.kubectl("patch", "lease", "tunebird-operator", "-n", "tunebird-system", "--type=merge", "-p", patch)
        assert operator.process.wait(60) == 1
        assert operator.said("held by somebody")
    cluster.kubectl("delete", "lease", "tunebird-operator", "-n", "tunebird-system")


def test_namespaced_operator_leaves_other_namespaces_alone(cluster: Cluster) -> None:
    with cluster.operator(TUNEBIRD_WATCH_NAMESPACES="other") as operator:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        there = job("mine")
        there["metadata"]["namespace"] = "other"
        cluster.apply(job("not-mine"), there)
        until(lambda: any(key == "other/mine" for _, key in operator.passes()), "the pass in its own namespace")
        assert passed(operator, "not-mine") == 0


def test_kind_that_is_installed_later_is_watched_from_then_on(cluster: Cluster) -> None:
    with cluster.operator() as operator:
        cluster.apply(job("routed"))
        until(lambda: passed(operator, "routed") > 0, "the first pass")
        cluster.kubectl("apply", "--server-side", "-f", str(GATEWAY_API))
        until(lambda: "httproutes" in cluster.kubectl("api-resources"), "routes are served")
        before = passed(operator, "routed")
        owner = cluster.get("ftj", "routed", "-n", "ml")["metadata"]["uid"]
        cluster.apply(route("late", owner))
        until(lambda: passed(operator, "routed") > before, "the pass that the route has brought")


def test_operator_outlasts_a_short_absence_of_the_api_server(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as first:
        cluster = Cluster(tmp_path, first.enter_context(devplane(tmp_path, port)))
        cluster.prepare()
        with cluster.operator() as operator:
            cluster.apply(job("before"))
            until(lambda: passed(operator, "before") > 0, "the first pass")
            first.close()
            time.sleep(3)
            with devplane(tmp_path, port):
                cluster.apply(job("after"))
                until(lambda: passed(operator, "after") > 0, "the pass after the absence", seconds=60)
                assert operator.process.poll() is None


def route(name: str, owner_uid: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "tunebird", "tunebird.dev/owner-uid": owner_uid}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "ml", "labels": labels},
        "spec": {"hostnames": ["support.example.com"]},
    }
