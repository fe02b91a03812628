"""The HTTPRoute: what is written, and when it counts as accepted."""

import pytest

from tunebird.traffic.gateway_api import GatewayAPI
from tunebird.traffic.router import Share, Target

ROUTER = GatewayAPI()
PARENTS = ({"name": "public"}, {"name": "inner", "namespace": "infra", "sectionName": "web"})
TARGET = Target("ml", "support", 80, {"name": "support", "namespace": "ml"}, PARENTS, ("s.example.com",))
SPLIT = (Share("support-a", 95), Share("support-b", 5))


def route(generation=3, split=SPLIT, **conditions):
    manifest = dict(ROUTER.manifests(TARGET, split)[0])
    wanted = {"Accepted": ("True", 3), "ResolvedRefs": ("True", 3), **conditions}
    reported = [{"type": kind, "status": value[0], "observedGeneration": value[1]} for kind, value in wanted.items()]
    parents = [{"parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", **ref}} for ref in PARENTS]
    manifest["metadata"] = {**manifest["metadata"], "generation": generation}
    return {**manifest, "status": {"parents": [{**parent, "conditions": reported} for parent in parents]}}


def test_weights_are_written_out_with_every_field():
    spec = ROUTER.manifests(TARGET, SPLIT)[0]["spec"]
    assert spec["rules"][0]["backendRefs"] == [
        {"group": "", "kind": "Service", "name": "support-a", "port": 80, "weight": 95},
        {"group": "", "kind": "Service", "name": "support-b", "port": 80, "weight": 5},
    ]
    assert spec["hostnames"] == ["s.example.com"]
    assert spec["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]


def test_an_accepted_route_tells_its_weights():
    seen = ROUTER.routed(route(), TARGET)
    assert seen.accepted
    assert seen.weights == {"support-a": 95, "support-b": 5}


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (route(Accepted=("False", 3)), "Accepted is False"),
        (route(ResolvedRefs=("Unknown", 3)), "ResolvedRefs is Unknown"),
        (route(Accepted=("True", 2)), "is about generation 2, not 3"),
        (route(ResolvedRefs=("True", None)), "is about generation None"),
        ({**route(), "status": {}}, "no controller has answered for Gateway ml/public"),
        ({**route(), "status": {"parents": route()["status"]["parents"][:1]}}, "Gateway infra/inner"),
    ],
)
def test_a_route_is_accepted_only_when_every_parent_says_so_for_this_generation(live, words):
    seen = ROUTER.routed(live, TARGET)
    assert not seen.accepted
    assert words in seen.message


def test_rules_that_disagree_have_no_weights():
    live = route()
    other = {"backendRefs": [{"name": "support-a", "weight": 50}, {"name": "support-b", "weight": 50}]}
    live["spec"] = {**live["spec"], "rules": [*live["spec"]["rules"], other]}
    assert ROUTER.routed(live, TARGET).weights is None
