"""Each CEL rule of the CRDs and its mirror in Python: what one refuses the other refuses, in the same words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from devplane.custom.rules import validate_crd
from devplane.custom.schema import Structural
from tunebird.api import crds
from tunebird.api.base import MEANT, problems

Body = dict[str, Any]

PVC = {"uri": "pvc://claim/path"}
JOB: Body = {
    "model": {"source": {"uri": "hf://org/model"}},
    "datasets": [{"name": "data", "source": PVC}],
    "output": {"storage": PVC},
}
ROLLOUT: Body = {"model": {"source": PVC}, "traffic": {"type": "Replicas"}}
SPECS = {"FineTuneJob": JOB, "ModelRollout": ROLLOUT}
DEFINITIONS = {resource.kind: crds.crd(resource) for resource in crds.RESOURCES}
MODELS = {resource.kind: resource.model for resource in crds.RESOURCES}
STRUCTURES = {
    kind: Structural(body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]) for kind, body in DEFINITIONS.items()
}


def _training(**fields: Any) -> Body:
    return {"training": fields}


def _method(**fields: Any) -> Body:
    return {"method": fields}


def _gate(**fields: Any) -> Body:
    suite = {"name": "core", "source": PVC}
    return {"evaluation": {"suites": [suite], "gates": [{"metric": "core.success", **fields}]}}


def _sli(**fields: Any) -> Body:
    return {"analysis": {"slis": [{"name": "one", **fields}]}}


def _provider(**fields: Any) -> Body:
    return {"metrics": {"providers": [{"name": "one", **fields}]}}


def _step(**fields: Any) -> Body:
    return {"strategy": {"steps": [fields]}}


LIMIT = {"type": "Limit", "limit": {"maximum": "1%"}}
GATEWAY = {"parentRefs": [{"name": "public"}]}
OBJECTIVES = ("continue", "dpo", "kto", "orpo", "simpo", "reward", "grpo", "rloo", "distill")

# kind, message, a spec that breaks the rule, the nearest that keeps it
URI, DIGEST = "https://host/path or file:///path", f"sha256:{'0' * 64}"


def _meant(of: str) -> str:
    """What is told of a value, by a part of it."""
    [found] = [words for words in MEANT.values() if of in words]
    return found


def _model(**fields: Any) -> Body:
    return {"model": {"source": {**PVC, **fields}}}


def _limit(maximum: str) -> Body:
    return _sli(type="Limit", limit={"maximum": maximum}, preset="error-rate")


MEANINGS: list[tuple[str, str, Body, Body]] = [
    *(("FineTuneJob", _meant(of), bad, good) for of, bad, good in (
        ("a duration", {"checkpoint": {"storage": PVC, "every": "5 minutes"}},
         {"checkpoint": {"storage": PVC, "every": "5m"}}),
        ("a percentage", {"preparation": {"maxInvalid": "5"}}, {"preparation": {"maxInvalid": "5%"}}),
        ("a number", _training(learningRate="fast"), _training(learningRate="2e-4")),
        ("a share", _method(lora={"dropout": "2"}), _method(lora={"dropout": "0.5"})),
        ("hexadecimal", _model(digest="sha256:0"), _model(digest=DIGEST)),
        (URI, _model(uri="ftp://host/path"), _model(uri="https://host/path")),
    )),
    *(("ModelRollout", _meant(of), bad, good) for of, bad, good in (
        ("a duration", {"analysis": {"interval": "1 minute"}}, {"analysis": {"interval": "1m"}}),
        ("a percentage", {"analysis": {"maxFalseRollback": "5"}}, {"analysis": {"maxFalseRollback": "5%"}}),
        ("a number", _sli(type="Threshold", threshold={"maximum": "much"}, query="q"),
         _sli(type="Threshold", threshold={"maximum": "2"}, query="q")),
        ("a share", _limit("2"), _limit("1%")),
        ("hexadecimal", _model(digest="sha256:0"), _model(digest=DIGEST)),
        (URI, _model(uri="ftp://host/path"), _model(uri="https://host/path")),
    )),
]  # fmt: skip
CASES: list[tuple[str, str, Body, Body]] = [
    *MEANINGS,
    (
        "FineTuneJob",
        "revision goes with a hf:// uri only",
        {"model": {"source": {**PVC, "revision": "main"}}},
        {"model": {"source": {"uri": "hf://org/model", "revision": "main"}}},
    ),
    (
        "FineTuneJob",
        "exactly one of source and jobRef is needed",
        {"model": {}},
        {"model": {"jobRef": {"name": "other"}}},
    ),
    *(
        (
            "FineTuneJob",
            f"{block} goes with objective {block} only",
            _method(**{block: {}}),
            _method(**{block: {}, "objective": block}),
        )
        for block in OBJECTIVES
    ),
    *(
        (
            "FineTuneJob",
            f"{block} goes with tuning {block} only",
            _method(**{block: {}, "tuning": "lora"}),
            _method(**{block: {}, "tuning": block}),
        )
        for block in ("prefix", "prompt", "freeze")
    ),
    (
        "FineTuneJob",
        "lora goes with tuning auto or lora only",
        _method(lora={"rank": 8}, tuning="full"),
        _method(lora={"rank": 8}),
    ),
    (
        "FineTuneJob",
        "exactly one of secretKeyRef and configMapKeyRef is needed",
        _training(env=[{"name": "A", "valueFrom": {}}]),
        _training(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
    ),
    (
        "FineTuneJob",
        "value and valueFrom exclude each other",
        _training(env=[{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        _training(env=[{"name": "A", "value": "1"}]),
    ),
    ("FineTuneJob", "epochs and maxSteps exclude each other", _training(epochs=1, maxSteps=2), _training(maxSteps=2)),
    (
        "FineTuneJob",
        "exactly one of absolute and relative is needed",
        _gate(maxRegression={}),
        _gate(maxRegression={"absolute": "1%"}, compareTo="job/before"),
    ),
    (
        "FineTuneJob",
        "exactly one of minimum, maximum and maxRegression is needed",
        _gate(minimum="1%", maximum="2%"),
        _gate(minimum="1%"),
    ),
    (
        "FineTuneJob",
        "compareTo goes with maxRegression only",
        _gate(minimum="1%", compareTo="base"),
        _gate(maxRegression={"relative": "1%"}, compareTo="base"),
    ),
    (
        "ModelRollout",
        "revision goes with a hf:// uri only",
        {"model": {"source": {**PVC, "revision": "main"}}},
        {"model": {"source": {"uri": "hf://org/model", "revision": "main"}}},
    ),
    (
        "ModelRollout",
        "exactly one of jobRef, source and jobSelector is needed",
        {"model": {"source": PVC, "jobRef": {"name": "bot"}}},
        {"model": {"jobSelector": {"matchLabels": {"app": "bot"}}}},
    ),
    (
        "ModelRollout",
        "gatewayAPI goes with type GatewayAPI only",
        {"traffic": {"type": "Replicas", "gatewayAPI": GATEWAY}},
        {"traffic": {"type": "GatewayAPI", "gatewayAPI": GATEWAY}},
    ),
    (
        "ModelRollout",
        "type GatewayAPI needs gatewayAPI",
        {"traffic": {"type": "GatewayAPI"}},
        {"traffic": {"type": "GatewayAPI", "gatewayAPI": GATEWAY}},
    ),
    (
        "ModelRollout",
        "istio goes with type Istio only",
        {"traffic": {"type": "Replicas", "istio": {}}},
        {"traffic": {"type": "Istio", "istio": {}}},
    ),
    (
        "ModelRollout",
        "prometheus goes with type Prometheus only",
        _provider(type="Pods", prometheus={"address": "http://prom"}),
        _provider(type="Prometheus", prometheus={"address": "http://prom"}),
    ),
    (
        "ModelRollout",
        "type Prometheus needs prometheus",
        _provider(type="Prometheus"),
        _provider(type="Prometheus", prometheus={"address": "http://prom"}),
    ),
    (
        "ModelRollout",
        "pods goes with type Pods only",
        _provider(type="Prometheus", prometheus={"address": "http://prom"}, pods={}),
        _provider(type="Pods", pods={}),
    ),
    (
        "ModelRollout",
        "exactly one of preset, good and query is needed",
        _sli(**LIMIT),
        _sli(**LIMIT, preset="error-rate"),
    ),
    (
        "ModelRollout",
        "good and total go together",
        _sli(**LIMIT, good="a"),
        _sli(**LIMIT, good="a", total="b"),
    ),
    (
        "ModelRollout",
        "query goes with type Threshold only",
        _sli(**LIMIT, query="q"),
        _sli(type="Threshold", threshold={"maximum": "1"}, query="q"),
    ),
    (
        "ModelRollout",
        "type Threshold needs query",
        _sli(type="Threshold", threshold={"maximum": "1"}, preset="error-rate"),
        _sli(type="Threshold", threshold={"maximum": "1"}, query="q"),
    ),
    (
        "ModelRollout",
        "within goes with preset ttft, latency and time-per-output-token, which need it",
        _sli(**LIMIT, preset="ttft"),
        _sli(**LIMIT, preset="ttft", within="500ms"),
    ),
    (
        "ModelRollout",
        "exactly one of maximum and minimum is needed",
        _sli(type="Threshold", threshold={}, query="q"),
        _sli(type="Threshold", threshold={"minimum": "1"}, query="q"),
    ),
    (
        "ModelRollout",
        "limit goes with type Limit only",
        _sli(type="Comparison", comparison={"margin": "1%"}, limit={"maximum": "1%"}, preset="error-rate"),
        _sli(type="Comparison", comparison={"margin": "1%"}, preset="error-rate"),
    ),
    (
        "ModelRollout",
        "comparison goes with type Comparison only",
        _sli(**LIMIT, comparison={"margin": "1%"}, preset="error-rate"),
        _sli(**LIMIT, preset="error-rate"),
    ),
    (
        "ModelRollout",
        "threshold goes with type Threshold only",
        _sli(**LIMIT, threshold={"maximum": "1"}, preset="error-rate"),
        _sli(**LIMIT, preset="error-rate"),
    ),
    (
        "ModelRollout",
        "type Limit needs limit",
        _sli(type="Limit", preset="error-rate"),
        _sli(**LIMIT, preset="runaway"),
    ),
    (
        "ModelRollout",
        "type Comparison needs comparison",
        _sli(type="Comparison", preset="error-rate"),
        _sli(type="Comparison", comparison={"margin": "1%"}, preset="error-rate"),
    ),
    (
        "ModelRollout",
        "type Threshold needs threshold",
        _sli(type="Threshold", query="q"),
        _sli(type="Threshold", threshold={"maximum": "1"}, query="q"),
    ),
    (
        "ModelRollout",
        "exactly one of setWeight, bake, pause, mirror and probe is needed",
        _step(name="empty"),
        _step(setWeight=0),
    ),
    (
        "ModelRollout",
        "exactly one of setWeight, bake, pause, mirror and probe is needed",
        _step(setWeight=5, pause={}),
        _step(pause={}),
    ),
]


def _object(kind: str, spec: Body) -> Body:
    return {
        "apiVersion": "tunebird.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "bot", "namespace": "default"},
        "spec": {**SPECS[kind], **spec},
    }


def _server(body: Body, old: Body | None = None) -> list[str]:
    return [cause.message for cause in STRUCTURES[body["kind"]].validate(body, old)]


def _mirror(body: Body) -> list[str]:
    try:
        MODELS[body["kind"]].model_validate(body)
    except ValidationError as error:
        return list(problems(error))
    return []


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_real_server_accepts_the_definition(kind: str) -> None:
    assert validate_crd(DEFINITIONS[kind]) == []


@pytest.mark.parametrize(("kind", "message", "bad", "good"), CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES])
def test_rule_and_mirror_agree_both_ways(kind: str, message: str, bad: Body, good: Body) -> None:
    broken, kept = _object(kind, bad), _object(kind, good)
    assert any(message in found for found in _server(broken)), "the server lets it pass"
    assert any(message in found for found in _mirror(broken)), "the mirror lets it pass"
    assert _server(kept) == []
    assert _mirror(kept) == []


def _messages(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {found for item in schema for found in _messages(item)}
    if not isinstance(schema, dict):
        return set()
    own = {rule["message"] for rule in schema.get("x-kubernetes-validations", []) if "oldSelf" not in rule["rule"]}
    return own | {found for value in schema.values() for found in _messages(value)}


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_no_rule_is_without_a_case(kind: str) -> None:
    assert _messages(DEFINITIONS[kind]) == {message for of, message, _, _ in CASES if of == kind}


CHANGES: dict[str, Body] = {
    "model": {"source": {"uri": "hf://org/other"}},
    "datasets": [{"name": "other", "source": PVC}],
    "mixing": "interleave",
    "mixingStop": "AllExhausted",
    "validation": {"percent": 9},
    "preparation": {"onInvalid": "Drop"},
    "method": {"tuning": "full"},
    "training": {"epochs": 9},
    "compute": {"template": {"spec": {"nodeSelector": {"a": "b"}}}},
    "deepspeed": {"zeroStage": 3},
    "cache": {"claimName": "models"},
    "checkpoint": {"storage": PVC},
    "evaluation": {"suites": []},
    "output": {"storage": {"uri": "pvc://other"}},
    "queueName": "research",
    "trainer": {"image": "mine"},
    "deletionPolicy": "DeleteArtifact",
    "serviceAccountName": "me",
}


@pytest.mark.parametrize("field", CHANGES)
def test_what_a_job_trains_cannot_be_changed(field: str) -> None:
    old = _object("FineTuneJob", {})
    new = _object("FineTuneJob", {field: CHANGES[field]})
    assert any(f"{field} can't be changed" in found for found in _server(new, old))
    assert _server(copy.deepcopy(new), new) == []


def test_every_field_is_either_mutable_or_checked() -> None:
    spec = STRUCTURES["FineTuneJob"].root.child("spec")
    assert spec is not None
    mutable = MODELS["FineTuneJob"].model_fields["spec"].annotation.MUTABLE
    properties = DEFINITIONS["FineTuneJob"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert set(properties["properties"]) == set(CHANGES) | mutable


@pytest.mark.parametrize(
    "change",
    [
        {"suspend": True},
        {"activeDeadlineSeconds": 60},
        {"pendingDeadlineSeconds": 60},
        {"ttlSecondsAfterFinished": 0},
        {"budget": {"gpuHours": "40"}},
        {"failurePolicy": {"maxRestarts": 9}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_how_long_a_job_may_take_can_be_changed(change: Body) -> None:
    assert _server(_object("FineTuneJob", change), _object("FineTuneJob", {})) == []


@pytest.mark.parametrize("name", ["a" * 41, "Bot", "1bot", "bot-", "bot.one"])
def test_names_that_make_no_good_children_are_refused(name: str) -> None:
    body = _object("FineTuneJob", {})
    body["metadata"]["name"] = name
    properties = DEFINITIONS["FineTuneJob"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    assert properties["metadata"]["properties"]["name"]["maxLength"] == 40
    assert any("metadata.name" in found for found in _mirror(body))
