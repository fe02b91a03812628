"""Nodes, GPUs and the pod of a FineTuneJob, and how states are spread over them."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from tunebird.api.base import Model, Template, as_text

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
