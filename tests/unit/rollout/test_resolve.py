"""Specifications that can't be carried out are refused with the field, its value and the remedy."""

import pytest

from fakes.rollout import ERRORS, rollout
from tunebird.rollout.plan import Bake, Limit, Pause, SetWeight
from tunebird.rollout.resolve import InvalidSpec, fingerprint, plan

PROMETHEUS = {"name": "prom", "type": "Prometheus", "prometheus": {"address": "http://prometheus:9090"}}
PODS = {"name": "pods", "type": "Pods"}
TTFT = {"name": "ttft", "preset": "ttft", "type": "Limit", "limit": {"maximum": "5%"}}
CUSTOM = {"name": "x", "type": "Limit", "limit": {"maximum": "1%"}}
DIGEST = "sha256:" + "a" * 64
COMPARISON = {"name": "c", "preset": "error-rate", "type": "Comparison", "comparison": {"margin": "2%"}}


def with_slis(*slis, **more):
    return {"analysis": {"slis": list(slis)}, **more}


def with_steps(*steps):
    return {"strategy": {"steps": list(steps)}}


REFUSED = [
    ({"model": {"jobSelector": {"matchLabels": {"a": "b"}}}}, "spec.model.jobSelector"),
    ({"model": {"jobRef": {"name": "a"}, "form": "adapter"}}, "spec.model.form"),
    ({"model": {"source": {"uri": "pvc://m/a"}}}, "add it: status.artifact.digest of the job"),
    (
        {"model": {"source": {"uri": "oci://registry/bot:1", "digest": DIGEST}}},
        "spec.model.source.uri: oci://registry/bot:1: the tunebird runtime loads pvc:// and hf:// only; publish",
    ),
    ({"server": {"runtime": "sglang"}}, "spec.server.runtime"),
    ({"server": {"runtime": "vllm", "mode": "Adapter"}}, "spec.server.mode"),
    ({"server": {"runtime": "custom"}}, "spec.server.image"),
    ({"traffic": {"type": "Replicas"}}, "spec.traffic.type"),
    ({"traffic": {"type": "Istio", "istio": {}}}, "spec.traffic.type"),
    ({"deletionPolicy": "KeepServers"}, "spec.deletionPolicy"),
    ({"rollback": {"samples": {"storage": {"uri": "s3://a/b"}}}}, "spec.rollback.samples"),
    ({"strategy": {"type": "BlueGreen"}}, "spec.strategy.type"),
    ({"strategy": {"canaryReplicas": 0, "steps": [{"setWeight": 5}]}}, "canaryReplicas"),
    (with_steps({"mirror": {"percent": 5, "for": "1m"}}, {"setWeight": 5}), "spec.strategy.steps[0].mirror"),
    (with_steps({"probe": {"suite": {"uri": "s3://a/b"}}}, {"setWeight": 5}), "spec.strategy.steps[0].probe"),
    (with_steps({"bake": {"for": "1m"}}, {"setWeight": 5}), "spec.strategy.steps[0].bake"),
    (with_steps(), "spec.strategy.steps"),
    (with_slis(COMPARISON), "spec.analysis.slis[0].comparison"),
    (with_slis({**TTFT, "within": "300ms"}), "use 0.25s or 0.5s"),
    (with_slis({**ERRORS, "limit": {"maximum": "0%"}}), "limit.maximum"),
    (with_slis({**ERRORS, "provider": "nobody"}), "nobody: no such provider"),
    (with_slis({**CUSTOM, "good": "g", "total": "t"}), "no such provider"),
    (with_slis({**CUSTOM, "good": "g", "total": "t", "provider": "pods"}, metrics={"providers": [PODS]}), "no queries"),
    (with_slis({**CUSTOM, "good": "rate(g[1m])", "total": "t"}, metrics={"providers": [PROMETHEUS]}), "not rate"),
    (with_slis({**ERRORS, "unknown": 1}), "unknown"),
    (with_steps({"setWeight": 5, "wait": {}}), "wait"),
]


@pytest.mark.parametrize(("spec", "words"), REFUSED)
def test_what_is_not_supported_is_refused_by_name(spec, words):
    with pytest.raises(InvalidSpec) as error:
        plan(with_uid(rollout(**spec)))
    assert words in str(error.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(InvalidSpec) as error:
        plan(with_uid(rollout(deletionPolicy="KeepServers", **with_slis(COMPARISON))))
    assert len(error.value.problems) == 2


def test_defaults_and_units_are_resolved():
    steps = [{"setWeight": 5}, {"bake": {"for": "24h", "minSamples": 1000}}, {"pause": {}}, {"pause": {"for": "5m"}}]
    made = plan(with_uid(rollout(strategy={"steps": steps}, **with_slis({**TTFT, "within": "500ms"}, ERRORS))))
    assert made.steps == (SetWeight(5), Bake(86400, 1000), Pause(None), Pause(300))
    assert made.analysis.alpha_each == 0.005
    assert [sli.rule for sli in made.analysis.slis] == [Limit(0.05), Limit(0.05)]
    assert made.analysis.slis[0].measure.within == 0.5
    assert made.service_name == "support"
    assert made.canary_replicas is None
    assert [made.weight_at(index) for index in range(4)] == [5, 5, 5, 5]


def test_a_query_goes_to_prometheus_and_a_preset_to_the_first_provider():
    slis = (ERRORS, {**CUSTOM, "good": "g", "total": "t"})
    made = plan(with_uid(rollout(**with_slis(*slis, metrics={"providers": [PODS, PROMETHEUS]}))))
    assert [sli.provider for sli in made.analysis.slis] == ["pods", "prom"]


def test_the_fingerprint_is_blind_to_replicas_and_paused():
    spec = rollout()["spec"]
    other = {**spec, "paused": True, "server": {**spec["server"], "replicas": 9}}
    assert fingerprint(spec) == fingerprint(other)
    assert fingerprint(spec) != fingerprint({**spec, "strategy": {"steps": []}})


def with_uid(manifest):
    return {**manifest, "metadata": {**manifest["metadata"], "uid": "u", "generation": 1}}
