"""How a FineTuneJob trains: objective, tuning, quantization and hyperparameters. Defaults that depend on the
combination are resolved by the plan, so most fields here are optional."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tunebird.api.base import (
    JobRef,
    Model,
    Number,
    Rate,
    StorageRef,
    Text,
    Word,
    only_with,
)


class Objective(StrEnum):
    """What is learned from the data."""

    SFT = "sft"
    CONTINUE = "continue"
    DPO = "dpo"
    KTO = "kto"
    ORPO = "orpo"
    SIMPO = "simpo"
    REWARD = "reward"
    GRPO = "grpo"
    RLOO = "rloo"
    DISTILL = "distill"


class Tuning(StrEnum):
    """Which parameters learn."""

    AUTO = "auto"
    FULL = "full"
    LORA = "lora"
    PREFIX = "prefix"
    PROMPT = "prompt"
    IA3 = "ia3"
    BITFIT = "bitfit"
    FREEZE = "freeze"


class QuantizationType(StrEnum):
    """How the frozen base is stored."""

    AUTO = "auto"
    NONE = "none"
    NF4 = "nf4"
    INT8 = "int8"


class Continue(Model):
    """Continued pre-training on plain text."""

    block_size: int | None = Field(
        None, ge=16, le=1048576, description="Tokens per block; maxSequenceLength if absent."
    )


class Dpo(Model):
    """Direct preference optimization on chosen and rejected answers."""

    beta: Number | None = Field(None, description="Strength of the pull towards the reference. 0.1 if absent.")
    loss: Literal["sigmoid", "ipo", "hinge", "robust", "apo_zero"] | None = Field(
        None, description="sigmoid, ipo, hinge, robust or apo_zero. sigmoid if absent."
    )
    reference: StorageRef | None = Field(None, description="Reference model; the model before training if absent.")
    label_smoothing: Rate | None = Field(None, description="Assumed share of swapped preferences.")


class Kto(Model):
    """Kahneman-Tversky optimization on answers marked good or bad."""

    beta: Number | None = Field(None, description="Strength of the pull towards the reference. 0.1 if absent.")
    desirable_weight: Number | None = Field(None, description="Weight of good answers. 1 if absent.")
    undesirable_weight: Number | None = Field(None, description="Weight of bad answers. 1 if absent.")


class Orpo(Model):
    """Odds ratio preference optimization: needs no reference."""

    beta: Number | None = Field(None, description="Weight of the odds ratio loss. 0.1 if absent.")


class Simpo(Model):
    """Simple preference optimization: length-normalized, needs no reference."""

    beta: Number | None = Field(None, description="Scale of the reward. 2 if absent.")
    gamma: Number | None = Field(None, description="Margin between chosen and rejected. 1 if absent.")


class Reward(Model):
    """A reward model with a scalar head."""

    centering: Number | None = Field(None, description="Coefficient that keeps mean rewards near zero. 0.01 if absent.")


class Rollouts(Model):
    """What online objectives generate and how it is rewarded."""

    generations: int | None = Field(None, ge=2, le=64, description="Answers per prompt. 8 if absent.")
    max_completion_length: int | None = Field(None, ge=1, le=131072, description="Tokens per answer. 512 if absent.")
    temperature: Number | None = Field(None, description="Sampling temperature. 1 if absent.")
    beta: Number | None = Field(None, description="Weight of the divergence from the reference. 0 if absent.")
    rewards: tuple[Word, ...] = Field((), max_length=8, description="Names of reward checks, added up.")
    reward_model: JobRef | None = Field(None, description="A finished FineTuneJob of objective reward.")


class Distill(Model):
    """Learning from a teacher's distribution."""

    teacher: StorageRef | None = Field(None, description="The teacher; it must share the tokenizer.")
    temperature: Number | None = Field(None, description="Softening of both distributions. 1 if absent.")
    weight: Rate | None = Field(None, description="Share of the teacher's loss. 0.5 if absent.")


class Lora(Model):
    """Low-rank adapters."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of the update matrices.")
    alpha: int = Field(32, ge=1, le=4096, description="Scaling: the update is multiplied by alpha / rank.")
    dropout: Rate = Field("0", description="Dropout before the adapter. Above 0 it costs much activation memory.")
    target_modules: Annotated[str, Field(max_length=512, pattern=r"^[A-Za-z0-9_.]+(-linear)?(,[A-Za-z0-9_.]+)*$")] = (
        Field("all-linear", description="all-linear, or module names separated by commas (q_proj,v_proj).")
    )
    use_dora: bool = Field(False, description="Decompose weights into magnitude and direction. vLLM can't load it.")
    use_rslora: bool = Field(False, description="Scale by alpha / sqrt(rank): better at high ranks.")


class VirtualTokens(Model):
    """Learned tokens in front of the prompt (prefix and prompt tuning)."""

    virtual_tokens: int = Field(20, ge=1, le=1024, description="Number of learned tokens.")
    init_text: Text | None = Field(None, description="Text that the tokens start from (prompt tuning).")


class Freeze(Model):
    """Full tuning of the last layers only."""

    trainable_layers: int = Field(2, ge=1, le=512, description="How many of the last layers learn.")


class Quantization(Model):
    """Quantization of the frozen base: lora + nf4 is QLoRA."""

    type: QuantizationType = Field(QuantizationType.AUTO, description="auto, none, nf4 or int8.")
    double: bool = Field(True, description="Quantize the quantization constants too (nf4).")


_OBJECTIVE_BLOCKS = ("continue", "dpo", "kto", "orpo", "simpo", "reward", "grpo", "rloo", "distill")


class Method(Model):
    """Objective and tuning, each with one optional block of its own."""

    objective: Objective = Field(
        Objective.SFT, description="What is learned from the data: sft, continue or dpo in this version."
    )
    continue_: Continue | None = Field(None, alias="continue", description="Options of objective continue.")
    dpo: Dpo | None = Field(None, description="Options of objective dpo.")
    kto: Kto | None = Field(None, description="Options of objective kto. Not supported by this version.")
    orpo: Orpo | None = Field(None, description="Options of objective orpo. Not supported by this version.")
    simpo: Simpo | None = Field(None, description="Options of objective simpo. Not supported by this version.")
    reward: Reward | None = Field(None, description="Options of objective reward. Not supported by this version.")
    grpo: Rollouts | None = Field(None, description="Options of objective grpo. Not supported by this version.")
    rloo: Rollouts | None = Field(None, description="Options of objective rloo. Not supported by this version.")
    distill: Distill | None = Field(None, description="Options of objective distill. Not supported by this version.")
    tuning: Tuning = Field(
        Tuning.AUTO,
        description="Which parameters learn: auto, full or lora in this version (status.plan says why).",
    )
    lora: Lora | None = Field(None, description="Options of tuning lora (also read where auto chooses it).")
    prefix: VirtualTokens | None = Field(None, description="Options of tuning prefix. Not supported by this version.")
    prompt: VirtualTokens | None = Field(None, description="Options of tuning prompt. Not supported by this version.")
    freeze: Freeze | None = Field(None, description="Options of tuning freeze. Not supported by this version.")
    quantization: Quantization = Field(Quantization(), description="Quantization of the frozen base.")
    RULES = (
        *(only_with(block, "objective", block, default="sft") for block in _OBJECTIVE_BLOCKS),
        only_with("lora", "tuning", "auto", "lora", default="auto"),
        *(only_with(block, "tuning", block, default="auto") for block in ("prefix", "prompt", "freeze")),
    )
