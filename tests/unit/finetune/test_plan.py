"""How values are resolved, what is refused, and what the pod looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes.finetune import manifest
from tunebird.api.finetunejob import FineTuneJob
from tunebird.finetune.limits import LIMITS, refusals
from tunebird.finetune.manifests import Run, batch_job
from tunebird.finetune.merge import merged, template_problems
from tunebird.finetune.plan import Plan, explain, resolve
from tunebird.finetune.settings import FineTuneJobSettings

PVC = {"uri": "pvc://claim/path"}


def _job(**spec: Any) -> FineTuneJob:
    body = manifest(**spec)
    body["metadata"]["uid"] = "0a1b2c3d-0000-0000-0000-000000000000"
    return FineTuneJob.model_validate(body)


def _plan(**spec: Any) -> Plan:
    return resolve(_job(**spec).spec)


def _pod(**spec: Any) -> dict[str, Any]:
    job = _job(**spec)
    settings = FineTuneJobSettings(trainer_image="tunebird/trainer:1", report_url="http://operator:8082/")
    pod: dict[str, Any] = batch_job(Run(job, resolve(job.spec), 2, settings))["spec"]["template"]
    return pod


def _env(pod: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in pod["spec"]["containers"][0]["env"]}


def test_without_a_word_a_job_trains_an_adapter_in_fp32_on_the_cpu() -> None:
    plan = _plan()
    assert plan.summary == "lora r16 fp32 cpu batch 16=4x4"
    assert plan.training.learning_rate == 2e-4
    assert plan.forms == ("adapter", "merged")
    assert all(choice.reason for choice in plan.choices)


def test_full_tuning_on_a_gpu_takes_bf16_a_small_rate_and_recomputes() -> None:
    plan = _plan(method={"tuning": "full"}, compute={"gpusPerNode": 1})
    assert (plan.training.precision, plan.training.learning_rate) == ("bf16", 1e-5)
    assert plan.training.activation_checkpointing
    assert (plan.forms, plan.method.lora) == (("merged",), None)
    assert plan.shared_memory == 8 * 1024**3


@pytest.mark.parametrize(("whole", "micro", "steps"), [(16, 4, 4), (7, 1, 7), (6, 3, 2), (1, 1, 1), (64, 4, 16)])
def test_the_global_batch_is_never_changed(whole: int, micro: int, steps: int) -> None:
    training = _plan(training={"globalBatchSize": whole}).training
    assert (training.micro_batch_size, training.gradient_accumulation_steps) == (micro, steps)
    assert training.global_batch_size == whole


def test_what_is_asked_for_is_taken_and_says_so() -> None:
    plan = _plan(training={"learningRate": "3.0e-3", "maxSteps": 9}, method={"lora": {"rank": 4}})
    chosen = {choice.field: (choice.value, choice.reason) for choice in plan.choices}
    assert chosen["training.learningRate"] == ("3.0e-3", "spec")
    assert chosen["training.maxSteps"] == ("9", "spec")
    assert chosen["method.lora.rank"] == ("4", "spec")
    assert any("far from the usual" in warning for warning in plan.warnings)


def test_shared_memory_stays_within_a_quarter_of_the_memory_limit() -> None:
    assert _plan(compute={"resources": {"limits": {"memory": "1Gi"}}}).shared_memory == 256 * 1024**2


def test_the_plans_hash_follows_what_is_trained() -> None:
    assert _plan().hash == _plan(suspend=True).hash
    assert _plan().hash != _plan(training={"seed": 1}).hash


DATA = {"name": "a", "source": PVC}
DPO = {"objective": "dpo"}
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("datasets.format", {"datasets": [{**DATA, "format": "preference"}]}),
    ("mixingStop", {"mixingStop": "AllExhausted"}),
    ("preparation.deduplicate.near", {"preparation": {"deduplicate": {"near": "0%"}}}),
    ("method.objective", {"method": {"objective": "kto"}}),
    ("method.tuning", {"method": {"tuning": "ia3"}}),
    ("method.dpo.beta", {"method": {"objective": "dpo", "dpo": {"beta": "0"}}}),
    ("method.dpo.labelSmoothing", {"method": {**DPO, "dpo": {"labelSmoothing": "50%", "loss": "robust"}}}),
    ("method.quantization.type", {"method": {"tuning": "full", "quantization": {"type": "nf4"}}}),
    ("training.learningRate", {"training": {"learningRate": "0"}}),
    ("training.optimizer", {"training": {"optimizer": "paged-adamw-8bit"}}),
    ("training.precision", {"training": {"precision": "fp16"}}),
    ("training.packing", {"method": {"objective": "dpo"}, "training": {"packing": True}}),
    ("training.groupByLength", {"training": {"groupByLength": True, "packing": True}}),
    ("training.neftuneAlpha", {"method": {"objective": "dpo"}, "training": {"neftuneAlpha": "5"}}),
    ("validation.percent", {"validation": {"percent": 0}, "training": {"earlyStopping": {}}}),
    ("training.env", {"training": {"env": [{"name": "TUNEBIRD_CONFIG", "value": "x"}]}}),
    ("output.forms", {"method": {"tuning": "full"}, "output": {"storage": PVC, "forms": ["adapter"]}}),
    ("budget", {"budget": {"gpuHours": 4}}),
    ("queueName", {"queueName": "research"}),
    ("trainer", {"trainer": {"image": "mine"}}),
    ("deletionPolicy", {"deletionPolicy": "DeleteArtifact"}),
    ("method.dpo.labelSmoothing", {"method": {**DPO, "dpo": {"labelSmoothing": "5%"}}}),
    ("method.lora.dropout", {"method": {**DPO, "lora": {"dropout": "5%"}}}),
    ("preparation.onTooLong", {"method": DPO, "preparation": {"onTooLong": "Split"}}),
    ("training.lossOn", {"method": DPO, "training": {"lossOn": "all"}}),
    ("training.groupByLength", {"training": {"groupByLength": True}, "mixing": "interleave"}),
]


@pytest.mark.parametrize(("field", "spec"), REFUSED, ids=[field for field, _ in REFUSED])
def test_what_cannot_be_done_is_refused_with_field_and_remedy(field: str, spec: dict[str, Any]) -> None:
    found = refusals(_job(**spec).spec, allow_file_uris=False)
    assert len(found) == 1
    assert found[0].startswith(f"spec.{field}")


def test_each_limit_has_a_spec_that_it_refuses() -> None:
    assert sorted(field for field, _ in REFUSED) == sorted(limit.field for limit in LIMITS)


SUITES = [{"name": "core", "source": PVC}]
ALSO_REFUSED: list[tuple[str, dict[str, Any]]] = [
    (
        "spec.training.globalBatchSize (10)",
        {"compute": {"numNodes": 2, "gpusPerNode": 2}, "training": {"globalBatchSize": 10}},
    ),
    ("spec.deepspeed.offload.parameters (cpu)", {"deepspeed": {"zeroStage": 2, "offload": {"parameters": "cpu"}}}),
    ("spec.deepspeed.offload.optimizer (cpu)", {"deepspeed": {"offload": {"optimizer": "cpu"}}}),
    (
        "spec.evaluation.gates[0].compareTo (stable)",
        {
            "evaluation": {
                "suites": SUITES,
                "gates": [{"metric": "core.accuracy", "compareTo": "stable", "maxRegression": {"absolute": "1%"}}],
            }
        },
    ),
    (
        "spec.evaluation.gates[0].metric (other.accuracy)",
        {"evaluation": {"suites": SUITES, "gates": [{"metric": "other.accuracy", "minimum": "1%"}]}},
    ),
    (
        "spec.evaluation.gates[0].confidence (50%)",
        {
            "evaluation": {
                "suites": SUITES,
                "gates": [{"metric": "core.accuracy", "minimum": "1%", "confidence": "50%"}],
            }
        },
    ),
    (
        "spec.evaluation.suites[core].judge: endpoint and model",
        {"evaluation": {"suites": [{**SUITES[0], "judge": {"endpoint": "https://judge/v1"}}]}},
    ),
    (
        "spec.evaluation.suites[core].judge.source",
        {"evaluation": {"suites": [{**SUITES[0], "judge": {"source": PVC}}]}},
    ),
    (
        "spec.deepspeed.offload.optimizer (none)",
        {"deepspeed": {"zeroStage": 3, "offload": {"optimizer": "none", "parameters": "cpu"}}},
    ),
    ("spec.deepspeed.zeroStage (3)", {"deepspeed": {"zeroStage": 3}, "method": {"quantization": {"type": "nf4"}}}),
    ("spec.training.optimizer (adafactor)", {"deepspeed": {"zeroStage": 2}, "training": {"optimizer": "adafactor"}}),
    ("spec.training.samples", {"deepspeed": {"zeroStage": 3}, "training": {"samples": {"prompts": ["Hello"]}}}),
    ("spec.evaluation.suites[training].name", {"evaluation": {"suites": [{"name": "training", "source": PVC}]}}),
    (
        "spec.evaluation.suites[core].generation.samples (4)",
        {"evaluation": {"suites": [{**SUITES[0], "generation": {"samples": 4}}]}},
    ),
    (
        "spec.evaluation.suites[core].judge.endpoint (ftp://judge)",
        {"evaluation": {"suites": [{**SUITES[0], "judge": {"endpoint": "ftp://judge", "model": "j"}}]}},
    ),
    (
        "spec.evaluation.gates[0].metric (canaries.exposure)",
        {"evaluation": {"gates": [{"metric": "canaries.exposure", "maximum": "1%"}]}},
    ),
    (
        "spec.output.storage.uri (oci://ghcr.io/o/m:v1)",
        {"output": {"storage": {"uri": "oci://ghcr.io/o/m:v1"}}, "checkpoint": {"storage": PVC}},
    ),
    ("spec.checkpoint", {"output": {"storage": {"uri": "s3://bucket/models"}}}),
    ("spec.model.chatTemplate (s3://b/t.jinja)", {"model": {"source": PVC, "chatTemplate": "s3://b/t.jinja"}}),
]


@pytest.mark.parametrize(("begin", "spec"), ALSO_REFUSED, ids=[begin for begin, _ in ALSO_REFUSED])
def test_fields_that_contradict_each_other_are_refused_by_name(begin: str, spec: dict[str, Any]) -> None:
    found = refusals(_job(**spec).spec, allow_file_uris=False)
    assert len(found) == 1
    assert found[0].startswith(begin)


def test_an_ordinary_spec_is_not_refused() -> None:
    assert refusals(_job().spec, allow_file_uris=False) == ()


def test_places_that_cannot_hold_what_is_asked_of_them_are_refused() -> None:
    found = refusals(_job(checkpoint={"storage": {"uri": "s3://a/b"}}).spec, allow_file_uris=True)
    assert found == ("spec.checkpoint.storage.uri (s3://a/b): s3:// is not supported here by this version; use pvc://",)
    found = refusals(_job(datasets=[{"name": "a", "source": {"uri": "oci://a/b"}}]).spec, allow_file_uris=True)
    assert "use hf:// or s3:// or gs:// or https:// or pvc://" in found[0]


def test_local_files_are_for_the_embedded_control_plane() -> None:
    spec = _job(datasets=[{"name": "a", "source": {"uri": "file:///data/rows.jsonl"}}]).spec
    assert "embedded control plane" in refusals(spec, allow_file_uris=False)[0]
    assert refusals(spec, allow_file_uris=True) == ()


def test_secrets_that_nothing_reads_and_two_for_one_kind_of_store_are_refused() -> None:
    named = {"uri": "s3://a/b", "secretRef": {"name": "one"}}
    other = {"uri": "s3://c/d", "secretRef": {"name": "two"}}
    found = refusals(
        _job(model={"source": named}, datasets=[{"name": "a", "source": other}]).spec, allow_file_uris=False
    )
    assert found[0].startswith("spec: s3:// places name different Secrets (one, two)")
    lost = refusals(_job(output={"storage": {**PVC, "secretRef": {"name": "one"}}}).spec, allow_file_uris=False)
    assert "takes no credentials" in lost[0]
    up = refusals(_job(output={"storage": {"uri": "pvc://a/../b"}}).spec, allow_file_uris=False)
    assert ".. is not allowed" in up[0]


def test_explain_shows_values_with_reasons_or_why_not() -> None:
    good = explain(manifest())
    assert good.refusals == ()
    assert good.as_dict()["choices"][0] == {
        "field": "method.objective",
        "value": "sft",
        "reason": "default",
    }
    assert "training.learningRate" in good.text()
    bad = explain(manifest(queueName="research"))
    assert "refused: spec.queueName (research)" in bad.text()


def test_the_processes_of_a_pod_share_its_cores() -> None:
    pod = _pod(compute={"gpusPerNode": 2, "resources": {"limits": {"cpu": "9"}}})
    assert _env(pod)["OMP_NUM_THREADS"] == "4"


def test_the_pod_follows_the_contract_with_the_trainer() -> None:
    pod = _pod(compute={"resources": {"limits": {"cpu": "2500m"}}}, cache={"claimName": "hub"})
    container, env = pod["spec"]["containers"][0], _env(pod)
    assert (container["name"], container["command"]) == ("trainer", ["tunebird-trainer"])
    assert json.loads(env["TUNEBIRD_VOLUMES"]) == {
        "data": "/tunebird/volumes/data",
        "models": "/tunebird/volumes/models",
    }
    assert env["TUNEBIRD_REPORT_URL"] == "http://operator:8082/v1alpha1/namespaces/default/finetunejobs/bot/status"
    assert (env["TUNEBIRD_ATTEMPT"], env["OMP_NUM_THREADS"], env["HF_HOME"]) == (
        "2",
        "2",
        "/tunebird/cache/huggingface",
    )
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["restartPolicy"] == "Never"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["spec"]["volumes"]}
    assert mounts["shm"] == "/dev/shm"


def test_the_token_comes_by_reference_only() -> None:
    source = {"uri": "hf://a/b", "secretRef": {"name": "hf"}}
    variables = _pod(model={"source": source})["spec"]["containers"][0]["env"]
    token = next(variable for variable in variables if variable["name"] == "HF_TOKEN")
    assert token == {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "HF_TOKEN"}}}


def test_each_kind_of_store_has_its_own_secret_and_the_judge_one() -> None:
    pod = _pod(
        datasets=[{"name": "a", "source": {"uri": "s3://data/rows.jsonl", "secretRef": {"name": "s3"}}}],
        output={"storage": {"uri": "oci://registry/bot", "secretRef": {"name": "registry"}}},
        checkpoint={"storage": {"uri": "pvc://checkpoints"}},
        evaluation={
            "suites": [
                {
                    "name": "core",
                    "source": {"uri": "https://host/golden.jsonl"},
                    "judge": {"endpoint": "https://judge/v1", "model": "judge", "secretRef": {"name": "judge"}},
                }
            ]
        },
        serviceAccountName="trainer",
    )
    references = {
        variable["name"]: variable["valueFrom"]["secretKeyRef"]
        for variable in pod["spec"]["containers"][0]["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert references["AWS_ACCESS_KEY_ID"] == {"name": "s3", "key": "AWS_ACCESS_KEY_ID"}
    assert references["AWS_ENDPOINT_URL"] == {"name": "s3", "key": "AWS_ENDPOINT_URL", "optional": True}
    assert references["REGISTRY_PASSWORD"] == {"name": "registry", "key": "REGISTRY_PASSWORD"}
    assert references["TUNEBIRD_JUDGE_API_KEY"] == {"name": "judge", "key": "JUDGE_API_KEY"}
    assert pod["spec"]["serviceAccountName"] == "trainer"


def test_gpus_are_asked_for_by_the_resource_that_was_named() -> None:
    pod = _pod(compute={"gpusPerNode": 1, "gpuResourceName": "amd.com/gpu"})
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"amd.com/gpu": "1"}}


def test_the_users_variables_win_over_ours_of_the_same_name() -> None:
    variables = _pod(training={"env": [{"name": "HF_HOME", "value": "/mine"}]})["spec"]["containers"][0]["env"]
    assert [variable["value"] for variable in variables if variable["name"] == "HF_HOME"] == ["/mine"]


def test_the_template_is_merged_by_name_and_keeps_what_it_does_not_name() -> None:
    template = {
        "metadata": {"annotations": {"a": "b"}},
        "spec": {
            "nodeSelector": {"gpu": "yes"},
            "containers": [
                {"name": "trainer", "image": "mine:1", "env": [{"name": "X", "value": "1"}]},
                {"name": "sidecar", "image": "log:1"},
            ],
            "volumes": [{"name": "extra", "emptyDir": {}}],
        },
    }
    pod = _pod(compute={"template": template})
    names = [container["name"] for container in pod["spec"]["containers"]]
    assert names == ["trainer", "sidecar"]
    assert pod["spec"]["containers"][0]["image"] == "mine:1"
    assert _env(pod)["X"] == "1"
    assert _env(pod)["TUNEBIRD_ATTEMPT"] == "2"
    assert {"name": "extra", "emptyDir": {}} in pod["spec"]["volumes"]
    assert pod["spec"]["nodeSelector"] == {"gpu": "yes"}
    assert pod["metadata"]["labels"]["tunebird.dev/attempt"] == "2"


def test_null_removes_and_plain_lists_are_replaced() -> None:
    base = {"a": 1, "args": ["x"], "env": [{"name": "A", "value": "1"}]}
    assert merged(base, {"a": None, "args": ["y"], "env": [{"name": "B"}]}) == {
        "args": ["y"],
        "env": [{"name": "A", "value": "1"}, {"name": "B"}],
    }


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ({"spec": {"restartPolicy": "Always"}}, "spec.restartPolicy (Always)"),
        ({"spec": {"automountServiceAccountToken": True}}, "spec.automountServiceAccountToken"),
        ({"metadata": {"labels": {"tunebird.dev/attempt": "9"}}}, "metadata.labels.tunebird.dev/attempt"),
        ({"spec": {"containers": [{"name": "trainer", "command": ["sh"]}]}}, "command: protected"),
        ({"spec": {"containers": [{"name": "trainer", "env": [{"name": "TUNEBIRD_X"}]}]}}, "env.TUNEBIRD_X"),
        ({"spec": {"containers": [{"name": "trainer", "volumeMounts": [{"mountPath": "/dev/shm"}]}]}}, "/dev/shm"),
        ({"spec": {"containers": [{"image": "nameless"}]}}, "containers with names"),
        ({"kind": "Pod"}, "kind: a PodTemplateSpec has metadata and spec only"),
    ],
)
def test_protected_fields_of_the_template_are_refused(template: dict[str, Any], path: str) -> None:
    found = template_problems(template)
    assert len(found) == 1
    assert path in found[0]
