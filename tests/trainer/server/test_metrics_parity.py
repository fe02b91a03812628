"""Our metrics against vLLM's: every family that both have agrees in type, help, labels and buckets."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tunebird_trainer.server.model import TransformersModel

OURS = {"tunebird_request_errors", "tunebird_streams_cut"}
LEFT_OUT = {
    "vllm:estimated_flops_per_gpu": "there is no GPU",
    "vllm:estimated_read_bytes_per_gpu": "there is no GPU",
    "vllm:estimated_write_bytes_per_gpu": "there is no GPU",
    "vllm:engine_sleep_state": "the engine never sleeps",
    "vllm:prefix_cache_queries": "there is no prefix cache",
    "vllm:prefix_cache_hits": "there is no prefix cache",
    "vllm:external_prefix_cache_queries": "there is no prefix cache",
    "vllm:external_prefix_cache_hits": "there is no prefix cache",
    "vllm:prompt_tokens_cached": "there is no prefix cache",
    "vllm:prompt_tokens_cached_by_source": "there is no prefix cache",
    "vllm:mm_cache_queries": "text only",
    "vllm:mm_cache_hits": "text only",
    "vllm:num_preemptions": "requests are never preempted",
    "vllm:request_num_preemptions": "requests are never preempted",
    "vllm:lora_requests_info": "one model a process, no adapters",
    "vllm:cache_config_info": "the cache is the model's own, with nothing to configure",
}
# Values of a label that name things this server has not got.
ABSENT_VALUES = {
    ("source", "local_cache_hit"),
    ("source", "external_kv_transfer"),
    ("reason", "deferred"),
    ("reason", "max_num_queued_tokens"),
}


def families(text: str) -> dict[str, Any]:
    """Without the `_created` times, which the library keeps for each metric."""
    found = {family.name: family for family in text_string_to_metric_families(text)}
    return {name: family for name, family in found.items() if not name.endswith("_created")}


def labels(family: Any) -> set[str]:
    return {name for sample in family.samples for name in sample.labels} - {"model_version"}


def values(family: Any, label: str) -> set[str]:
    return {sample.labels[label] for sample in family.samples if label in sample.labels}


@pytest.fixture(scope="module")
def vllm(recorded: Path) -> dict[str, Any]:
    return families((recorded / "metrics-after.txt").read_text())


@pytest.fixture
async def ours(serve: Any, tiny: TransformersModel) -> dict[str, Any]:
    async with serve(tiny) as server:
        await server.client.get("/v1/models")
        await server.chat(max_tokens=3)
        await server.client.get("/nope")
        return families(await (await server.client.get("/metrics")).text())


def test_we_have_every_metric_of_vllm_but_those_left_out(ours: dict[str, Any], vllm: dict[str, Any]):
    assert set(vllm) - set(ours) == set(LEFT_OUT)


def test_we_have_nothing_that_vllm_has_not_but_our_own(ours: dict[str, Any], vllm: dict[str, Any]):
    assert set(ours) - set(vllm) == OURS


def test_types_and_help_are_the_same(ours: dict[str, Any], vllm: dict[str, Any]):
    shared = set(ours) & set(vllm)
    assert {name: (ours[name].type, ours[name].documentation) for name in shared} == {
        name: (vllm[name].type, vllm[name].documentation) for name in shared
    }


def test_labels_are_the_same_plus_the_model_version(ours: dict[str, Any], vllm: dict[str, Any]):
    shared = set(ours) & set(vllm)
    assert {name: labels(ours[name]) for name in shared} == {name: labels(vllm[name]) for name in shared}
    process = {name for name in shared if name.startswith(("python_", "process_"))}
    assert all("model_version" in sample.labels for name in shared - process for sample in ours[name].samples)


def test_buckets_are_the_same(ours: dict[str, Any], vllm: dict[str, Any]):
    shared = [name for name in set(ours) & set(vllm) if ours[name].type == "histogram"]
    assert len(shared) > 15
    assert {name: values(ours[name], "le") for name in shared} == {name: values(vllm[name], "le") for name in shared}


@pytest.mark.parametrize("label", ["finished_reason", "source", "reason", "status", "handler"])
def test_label_values_are_vllms(ours: dict[str, Any], vllm: dict[str, Any], label: str):
    for name in set(ours) & set(vllm):
        absent = values(vllm[name], label) - values(ours[name], label)
        assert values(ours[name], label) <= values(vllm[name], label)
        if label not in ("status", "handler"):
            assert {(label, value) for value in absent} <= ABSENT_VALUES


async def test_probes_and_scrapes_are_not_counted_as_requests(serve: Any, tiny: TransformersModel):
    async with serve(tiny) as server:
        for path in ("/health", "/ready", "/metrics", "/version", "/load"):
            await server.client.get(path)
        assert await server.metric("http_requests_total") == 0
