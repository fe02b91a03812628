"""How a FineTuneJob trains: objective, tuning, quantization and hyperparameters. Defaults that depend on the
combination are resolved by the plan, so most fields here are optional."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from tunebird.api.base import (
    JobRef,
    Model,
    Number,
    Percent,
    Rate,
    Rule,
    StorageRef,
    Template,
    Text,
    Word,
    as_text,
    one_of,
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
    loss: Word | None = Field(None, description="sigmoid, ipo, hinge, robust or apo_zero. sigmoid if absent.")
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

    objective: Objective = Field(Objective.SFT, description="What is learned from the data.")
    continue_: Continue | None = Field(None, alias="continue", description="Options of objective continue.")
    dpo: Dpo | None = Field(None, description="Options of objective dpo.")
    kto: Kto | None = Field(None, description="Options of objective kto.")
    orpo: Orpo | None = Field(None, description="Options of objective orpo.")
    simpo: Simpo | None = Field(None, description="Options of objective simpo.")
    reward: Reward | None = Field(None, description="Options of objective reward.")
    grpo: Rollouts | None = Field(None, description="Options of objective grpo.")
    rloo: Rollouts | None = Field(None, description="Options of objective rloo.")
    distill: Distill | None = Field(None, description="Options of objective distill.")
    tuning: Tuning = Field(
        Tuning.AUTO,
        description="Which parameters learn; auto chooses by the data, then by memory (status.plan says why).",
    )
    lora: Lora | None = Field(None, description="Options of tuning lora (also read where auto chooses it).")
    prefix: VirtualTokens | None = Field(None, description="Options of tuning prefix.")
    prompt: VirtualTokens | None = Field(None, description="Options of tuning prompt.")
    freeze: Freeze | None = Field(None, description="Options of tuning freeze.")
    quantization: Quantization = Field(Quantization(), description="Quantization of the frozen base.")
    RULES = (
        *(only_with(block, "objective", block, default="sft") for block in _OBJECTIVE_BLOCKS),
        only_with("lora", "tuning", "auto", "lora", default="auto"),
        *(only_with(block, "tuning", block, default="auto") for block in ("prefix", "prompt", "freeze")),
    )


class ScheduleType(StrEnum):
    """How the learning rate goes from its peak."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class Schedule(Model):
    """The learning rate over the run."""

    type: ScheduleType = Field(ScheduleType.COSINE, description="Shape after the warm-up.")
    warmup: Percent = Field("5%", description="Share of the steps in which the rate rises from zero.")


class EarlyStopping(Model):
    """Stop when the validation loss no longer falls."""

    patience: int = Field(3, ge=1, le=1000, description="Evaluations without improvement before stopping.")


class Optimizer(StrEnum):
    """The optimizer and the precision of its state."""

    AUTO = "auto"
    ADAMW = "adamw"
    ADAMW_8BIT = "adamw-8bit"
    ADAFACTOR = "adafactor"
    SGD = "sgd"


class Precision(StrEnum):
    """Number format of the computation."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class LossOn(StrEnum):
    """Which tokens are learned."""

    COMPLETIONS = "completions"
    ALL = "all"


class SecretKey(Model):
    """One key of a Secret or ConfigMap."""

    name: Word = Field(description="Name of the object.")
    key: Word = Field(description="Key in it.")
    optional: bool | None = Field(None, description="Whether the object or key may be missing.")


class EnvSource(Model):
    """Where a variable's value comes from."""

    secret_key_ref: SecretKey | None = Field(None, description="A key of a Secret.")
    config_map_key_ref: SecretKey | None = Field(None, description="A key of a ConfigMap.")
    RULES = (one_of("secretKeyRef", "configMapKeyRef"),)


class EnvVar(Model):
    """An environment variable of the trainer container."""

    name: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(description="Its name.")
    value: Text | None = Field(None, description="Its value. Never put a secret here: use valueFrom.")
    value_from: EnvSource | None = Field(None, description="Where its value comes from.")
    RULES = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            "value and valueFrom exclude each other",
            lambda env: env.value is None or env.value_from is None,
        ),
    )


class Training(Model):
    """Hyperparameters. What is absent follows from objective, tuning and hardware, and is shown in status.plan."""

    epochs: int | None = Field(
        None, ge=1, le=1000, description="Passes over the data. 3 if neither it nor maxSteps is given."
    )
    max_steps: int | None = Field(None, ge=1, le=10000000, description="Optimizer steps, instead of epochs.")
    learning_rate: Number | None = Field(None, description="Peak learning rate as a string, e.g. 2.0e-4.")
    schedule: Schedule = Field(Schedule(), description="The learning rate over the run.")
    optimizer: Optimizer = Field(Optimizer.AUTO, description="The optimizer; auto is AdamW.")
    precision: Precision = Field(Precision.AUTO, description="auto is bf16 on a GPU and fp32 on a CPU.")
    global_batch_size: int | None = Field(
        None,
        ge=1,
        le=1048576,
        description="Sequences per optimizer step; micro-batch and accumulation follow from the plan.",
    )
    max_sequence_length: int | None = Field(None, ge=8, le=1048576, description="Tokens; longer rows follow onTooLong.")
    packing: bool = Field(False, description="Put several rows into one sequence, with attention kept apart.")
    loss_on: LossOn = Field(LossOn.COMPLETIONS, description="Learn answers only, or every token.")
    evaluate_every: int | None = Field(None, ge=1, description="Steps between validations; once per epoch if absent.")
    early_stopping: EarlyStopping | None = Field(None, description="Stop when the validation loss no longer falls.")
    seed: int = Field(42, ge=0, le=4294967295, description="Seed of data order, initialization and dropout.")
    deterministic: bool = Field(False, description="Bitwise repeatable kernels, at the cost of speed.")
    env: tuple[EnvVar, ...] = Field((), max_length=64, description="Variables for the trainer (W&B, MLflow, NCCL).")
    RULES = (
        Rule(
            "!(has(self.epochs) && has(self.maxSteps))",
            "epochs and maxSteps exclude each other",
            lambda training: training.epochs is None or training.max_steps is None,
        ),
    )


QuantityMap = Annotated[
    dict[
        Annotated[str, Field(max_length=128)],
        Annotated[str | int, Field(json_schema_extra={"x-kubernetes-int-or-string": True})],
    ],
    Field(max_length=16),
]


class Resources(Model):
    """Kubernetes resource requirements of the trainer container."""

    requests: QuantityMap = Field(default_factory=dict, description="What the pod is scheduled by.")
    limits: QuantityMap = Field(default_factory=dict, description="What it may use at most.")


class Compute(Model):
    """Nodes, GPUs and the pod."""

    num_nodes: int = Field(1, ge=1, le=1024, description="Pods that train together.")
    gpus_per_node: int = Field(0, ge=0, le=64, description="GPUs per pod; 0 trains on the CPU.")
    gpu_resource_name: Annotated[str, Field(max_length=128)] = Field(
        "nvidia.com/gpu", description="Extended resource of the GPUs: AMD, MIG slices and others."
    )
    gpu_memory: Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?([KMGT]i|[MGT])?$")] | None = Field(
        None, description="Memory that the device reports, e.g. 79Gi; read from the nodes' labels if absent."
    )
    resources: Resources = Field(Resources(), description="CPU and host memory of each pod.")
    template: Template | None = Field(
        None,
        description="A PodTemplateSpec merged strategically onto the pod (container trainer). Protected: the trainer's "
        "command, its TUNEBIRD_ variables and mounts, restartPolicy, automountServiceAccountToken, our labels.",
    )


ZeroStage = Annotated[
    str,
    BeforeValidator(as_text),
    Field(
        pattern=r"^(auto|none|[123])$",
        max_length=4,
        json_schema_extra={"x-kubernetes-int-or-string": True, "minimum": 1, "maximum": 3},
    ),
]


class Offload(StrEnum):
    """Whether states move to host memory."""

    AUTO = "auto"
    NONE = "none"
    CPU = "cpu"


class DeepSpeedOffload(Model):
    """What moves to host memory."""

    optimizer: Offload = Field(Offload.AUTO, description="Optimizer states.")
    parameters: Offload = Field(Offload.AUTO, description="Parameters (ZeRO stage 3).")


class DeepSpeed(Model):
    """DeepSpeed ZeRO."""

    zero_stage: ZeroStage = Field("auto", description="auto, none, 1, 2 or 3; auto takes the lowest that fits.")
    offload: DeepSpeedOffload = Field(DeepSpeedOffload(), description="What moves to host memory.")
