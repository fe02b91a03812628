"""Objective, tuning and quantization of a job, resolved. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tunebird.api import trainer as config
from tunebird.api.base import fraction, quantity
from tunebird.api.finetunejob import FineTuneJobSpec
from tunebird.api.method import Dpo, Lora, Objective, QuantizationType, Tuning
from tunebird.finetune.choices import FROM_SPEC, Choice, Part, pick

# By objective and tuning. Preferences move a model that can already answer, so they need far smaller steps.
LEARNING_RATES: Mapping[tuple[str, str], float] = {
    ("sft", "full"): 1e-5,
    ("sft", "lora"): 2e-4,
    ("continue", "full"): 1e-5,
    ("continue", "lora"): 1e-4,
    ("dpo", "full"): 5e-7,
    ("dpo", "lora"): 5e-6,
}
BYTES_PER_PARAMETER = 2  # bf16
_PARAMETERS = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")


def method(spec: FineTuneJobSpec) -> Part[config.MethodConfig]:
    """How the job learns."""
    tuning = tuning_choice(spec)
    quantized = _quantization_choice(spec, tuning.value)
    asked = "objective" in spec.method.model_fields_set
    objective = Choice("method.objective", spec.method.objective.value, FROM_SPEC if asked else "default")
    resolved = config.MethodConfig(
        objective=_objective(spec),
        tuning="lora" if tuning.value == Tuning.LORA else "full",
        lora=_lora(spec.method.lora or Lora()) if tuning.value == Tuning.LORA else None,
        quantization=_quantization(quantized.value),
        double_quantization=spec.method.quantization.double,
        continue_=config.ContinueConfig(block_size=spec.method.continue_.block_size if spec.method.continue_ else None),
        dpo=_dpo(spec.method.dpo or Dpo()),
    )
    return Part(resolved, (objective, tuning, quantized, *_lora_choices(spec, resolved), *_dpo_choices(spec, resolved)))


def tuning_choice(spec: FineTuneJobSpec) -> Choice:
    """Which parameters learn."""
    asked = spec.method.tuning
    chosen = None if asked is Tuning.AUTO else asked.value
    return pick("method.tuning", chosen, "lora", "auto: adapters below 100,000 rows; ask for full with millions")


def parameters_by_name(uri: str) -> float | None:
    """The number of parameters that a model's name tells: 8e9 of ``hf://meta-llama/Llama-3.1-8B``, else None."""
    found = _PARAMETERS.search(uri.rpartition("/")[2].lower().replace("_", "-"))
    if found is None:
        return None
    experts, number, unit = found.groups()
    return int(experts or 1) * float(number) * (1e9 if unit == "b" else 1e6)


def _quantization_choice(spec: FineTuneJobSpec, tuning: str) -> Choice:
    asked = spec.method.quantization.type
    chosen = None if asked is QuantizationType.AUTO else asked.value
    value, reason = _auto_quantization(spec, tuning)
    return pick("method.quantization.type", chosen, value, reason)


def _auto_quantization(spec: FineTuneJobSpec, tuning: str) -> tuple[str, str]:
    """nf4 where the base in bf16 would take more than half of a GPU, as far as that is known before it is loaded."""
    source, memory = spec.model.source, spec.compute.gpu_memory
    parameters = parameters_by_name(source.uri) if source is not None else None
    if tuning != Tuning.LORA:
        return "none", "auto: full tuning learns the base itself"
    if spec.deepspeed is not None and spec.deepspeed.zero_stage == "3":
        return "none", "auto: ZeRO-3 can't shard quantized weights"
    if spec.compute.gpus_per_node == 0:
        return "none", "auto: on the CPU memory is large and nf4 slow"
    if memory is None:
        return "none", "auto: compute.gpuMemory is not given"
    if parameters is None:
        return "none", "auto: the model's name doesn't tell its size"
    needs, has = parameters * BYTES_PER_PARAMETER / 1024**3, quantity(memory) / 1024**3
    told = f"{needs:.1f} of {has:.1f} GiB, by the model's name"
    if needs > has / 2:
        return "nf4", f"auto: the base in bf16 would take more than half of the GPU ({told})"
    return "none", f"auto: the base in bf16 takes at most half of the GPU ({told})"


def _objective(spec: FineTuneJobSpec) -> config.ObjectiveName:
    match spec.method.objective:
        case Objective.SFT:
            return "sft"
        case Objective.CONTINUE:
            return "continue"
        case Objective.DPO:
            return "dpo"
        case other:
            raise ValueError(f"{other.value} is refused by limits.refusals")


def _quantization(value: str) -> config.QuantizationName:
    match value:
        case "nf4":
            return "nf4"
        case "int8":
            return "int8"
        case _:
            return "none"


def _lora(asked: Lora) -> config.LoraConfig:
    return config.LoraConfig(
        rank=asked.rank,
        alpha=asked.alpha,
        dropout=fraction(asked.dropout),
        target_modules=asked.target_modules,
        use_dora=asked.use_dora,
        use_rslora=asked.use_rslora,
    )


def _lora_choices(spec: FineTuneJobSpec, resolved: config.MethodConfig) -> tuple[Choice, ...]:
    if resolved.lora is None:
        return ()
    asked = spec.method.lora
    return (
        pick("method.lora.rank", asked and asked.rank, resolved.lora.rank, "default of lora"),
        pick("method.lora.alpha", asked and asked.alpha, resolved.lora.alpha, "default of lora"),
    )


def _dpo(asked: Dpo) -> config.DpoConfig:
    return config.DpoConfig(
        beta=float(asked.beta or "0.1"),
        loss=asked.loss or "sigmoid",
        label_smoothing=fraction(asked.label_smoothing or "0"),
        reference=asked.reference.uri if asked.reference is not None else "",
    )


def _dpo_choices(spec: FineTuneJobSpec, resolved: config.MethodConfig) -> tuple[Choice, ...]:
    if spec.method.objective is not Objective.DPO:
        return ()
    asked = spec.method.dpo or Dpo()
    with_adapter = "the base without the adapter: no second model in memory"
    before = with_adapter if resolved.lora is not None else "the model before training"
    return (
        pick("method.dpo.beta", asked.beta, resolved.dpo.beta, "default of dpo"),
        pick("method.dpo.loss", asked.loss, resolved.dpo.loss, "default of dpo"),
        pick("method.dpo.reference", asked.reference and asked.reference.uri, "the model before training", before),
    )
