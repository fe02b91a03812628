"""Fields that this version does not support: each is refused with its remedy, never ignored. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tunebird.api.modelrollout import Backend, Mode, ModelRolloutSpec, RolloutDeletionPolicy, Runtime
from tunebird.api.strategy import Preset as ApiPreset
from tunebird.api.strategy import SliType, StrategyType, step_kind
from tunebird.traffic.registry import ROUTERS

Refusal = tuple[str, Callable[[ModelRolloutSpec], object], str]

_TABLE: tuple[Refusal, ...] = (
    (
        "model.jobSelector",
        lambda spec: spec.model.job_selector,
        "is not supported by this version; name the job with jobRef",
    ),
    ("model.form", lambda spec: spec.model.form == "adapter", "adapter is not supported by this version; use merged"),
    (
        "server.runtime",
        lambda spec: spec.server.runtime in (Runtime.SGLANG, Runtime.TGI),
        "is not supported by this version; use vllm, tunebird, or custom with your own image and args",
    ),
    (
        "server.mode",
        lambda spec: spec.server.mode is Mode.ADAPTER,
        "Adapter is not supported by this version; use Model",
    ),
    (
        "traffic.type",
        lambda spec: spec.traffic.type.value not in ROUTERS,
        "is not supported by this version; use GatewayAPI",
    ),
    (
        "traffic.gatewayAPI.backend",
        lambda spec: spec.traffic.gateway_api and spec.traffic.gateway_api.backend is Backend.INFERENCE_POOL,
        "InferencePool is not supported by this version; use Service",
    ),
    (
        "strategy.type",
        lambda spec: spec.strategy.type is StrategyType.BLUE_GREEN,
        "BlueGreen is not supported by this version; use Canary, with the one step setWeight 100",
    ),
    ("rollback.samples", lambda spec: spec.rollback.samples, "is not supported by this version; remove it"),
    (
        "deletionPolicy",
        lambda spec: spec.deletion_policy is RolloutDeletionPolicy.KEEP_SERVERS,
        "KeepServers is not supported by this version; use DeleteServers",
    ),
)

_STEPS = {"mirror": "copying traffic", "probe": "probing with golden prompts"}
_PRESETS = {
    ApiPreset.INSTRUCTION_SUCCESS: "NoSource: no server emits it; count it yourself with good and total of a Prometheus"
}


def refusals(spec: ModelRolloutSpec) -> tuple[str, ...]:
    """One sentence for each unsupported field that is used."""
    fields = (f"spec.{field}: {remedy}" for field, used, remedy in _TABLE if used(spec))
    return (*fields, *_steps(spec), *_slis(spec))


def _steps(spec: ModelRolloutSpec) -> Iterator[str]:
    for index, step in enumerate(spec.strategy.steps):
        kind = step_kind(step)
        if kind in _STEPS:
            yield f"spec.strategy.steps[{index}].{kind}: {_STEPS[kind]} is not supported by this version; remove it"


def _slis(spec: ModelRolloutSpec) -> Iterator[str]:
    for index, sli in enumerate(spec.analysis.slis):
        place = f"spec.analysis.slis[{index}]"
        if sli.type is SliType.COMPARISON:
            yield f"{place}.comparison: comparing with stable is not supported by this version; use type Limit"
        if sli.preset in _PRESETS:
            yield f"{place}.preset: {sli.preset}: {_PRESETS[sli.preset]}"
