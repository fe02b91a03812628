"""Which faults can be asked for, and what is said of those that can't."""

from __future__ import annotations

from typing import Any

import pytest

from devplane.faults.reading import NEEDED, TAKEN, rules
from devplane.faults.rules import VERBS, Fault, FaultError, Rule

Obj = dict[str, Any]

VALUES: Obj = {"seconds": 1.5, "code": 429, "percent": 30, "times": 2, "resources": ["pods", "jobs.batch"],
               "namespaces": ["a"], "agents": ["kubectl*"]}  # fmt: skip


def refused(*given: Any) -> str:
    with pytest.raises(FaultError) as found:
        rules({"faults": list(given)})
    return str(found.value)


@pytest.mark.parametrize("fault", list(Fault))
def test_fault_takes_what_it_needs_and_may_have_and_is_nothing_without_the_first(fault: Fault) -> None:
    needed = {name: VALUES[name] for name in NEEDED.get(fault, {})}
    (least,) = rules({"faults": [{"fault": fault, **needed}]})
    assert least == Rule(fault, **needed)
    all_given = {name: [VERBS.get(fault, ("get",))[0]] if name == "verbs" else VALUES[name] for name in TAKEN[fault]}
    assert rules({"faults": [{"fault": fault, **needed, **all_given}]})[0].fault is fault
    for name in needed:
        left = {key: value for key, value in needed.items() if key != name}
        assert refused({"fault": fault, **left}).startswith(f"faults[0].{name}: {fault} needs it; say ")
    for name in VALUES.keys() - needed.keys() - set(TAKEN[fault]):
        said = refused({"fault": fault, **needed, name: VALUES[name]})
        assert said.startswith(f"faults[0].{name}: {fault} makes nothing of it; it takes "), said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"fault": "flood"},
            "fault: 'flood' is not one of latency, refuse, cut-watch, silence-watch, stale-read, clock-skew, full-disk",
        ),
        ({"fault": ["refuse"]}, "fault: ['refuse'] is not one of latency"),
        ({"fault": "refuse", "code": 418}, "code: 418 is not one of 409, 429, 500, 503"),
        ({"fault": "refuse", "code": "503"}, "code: '503' is not one of"),
        ({"fault": "refuse", "code": [503]}, "code: [503] is not one of"),
        ({"fault": "refuse", "code": 500, "seconds": 5}, "seconds: a 500 says nothing of them; leave them out"),
        ({"fault": "refuse", "code": 500, "percent": 101}, "percent: 101 is not a number from 0 to 100"),
        ({"fault": "refuse", "code": 500, "percent": -1}, "percent: -1 is not a number from 0 to 100"),
        ({"fault": "refuse", "code": 500, "percent": True}, "percent: True is not a number"),
        ({"fault": "refuse", "code": 500, "percent": "30"}, "percent: '30' is not a number"),
        ({"fault": "refuse", "code": 500, "times": 0}, "times: 0 is not a whole number from 1"),
        ({"fault": "refuse", "code": 500, "times": 1.5}, "times: 1.5 is not a whole number from 1"),
        ({"fault": "latency", "delay": 1}, "delay: unknown field; known are fault, verbs"),
        ({"fault": "latency", "seconds": -1}, "seconds: -1 is not a number from 0 to 86400"),
        ({"fault": "latency", "seconds": None}, "seconds: None is not a number from 0"),
        ({"fault": "latency", "seconds": 1, "verbs": "get"}, "verbs: 'get' is not a list of names; leave it out"),
        ({"fault": "latency", "seconds": 1, "agents": [""]}, "agents: [''] is not a list of names"),
        ({"fault": "latency", "seconds": 1, "verbs": ["read"]}, "verbs: 'read' is none of those that latency is about"),
        ({"fault": "cut-watch", "verbs": ["get"]}, "verbs: 'get' is none of those that cut-watch is about: watch"),
        ({"fault": "cut-watch", "resources": ["jobs"]}, "resources: there is no resource 'jobs'; write 'jobs.batch'"),
        ({"fault": "cut-watch", "resources": ["Pod"]}, "resources: there is no resource 'Pod'; write 'pods'"),
        ({"fault": "cut-watch", "resources": ["job.batch"]}, "there is no resource 'job.batch'; write 'jobs.batch'"),
        ({"fault": "cut-watch", "resources": ["pods/log"]}, "there is no resource 'pods/log'; write 'pods'"),
        ({"fault": "cut-watch", "resources": ["widgets"]}, "there is no resource 'widgets'; write it as in pods"),
        ({"fault": "clock-skew", "seconds": 1, "percent": 5}, "the clock is the same for all requests"),
        ({"fault": "clock-skew", "seconds": 1e12}, "seconds: 1000000000000.0 is not a number from"),
    ],
)
def test_rule_that_can_not_be_meant_is_refused_by_field_and_value_with_what_can(given: Obj, said: str) -> None:
    found = refused({"fault": "full-disk"}, given)
    assert found.startswith("faults[1].")
    assert said in found


@pytest.mark.parametrize("given", ["refuse", 1, None, ["refuse"]])
def test_rule_is_an_object(given: Any) -> None:
    assert refused(given).startswith(f"faults[0]: {given!r} is not an object; a rule is one as ")


@pytest.mark.parametrize("body", [{}, {"faults": {}}, {"faults": None}, {"faults": "all"}, {"faults": [], "rules": []}])
def test_only_a_list_takes_rules_away(body: Obj) -> None:
    with pytest.raises(FaultError):
        rules(body)
    assert rules({"faults": []}) == []


def test_custom_resource_may_be_defined_after_the_rule() -> None:
    (found,) = rules({"faults": [{"fault": "cut-watch", "resources": ["widgets.example.com"]}]})
    assert found.resources == ("widgets.example.com",)
