"""ModelRollout: server, traffic and metrics. Steps and SLIs are in `strategy.py`, the status in `rolloutstatus.py`."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tunebird.api.base import (
    PRESERVE,
    Duration,
    JobRef,
    LabelSelector,
    Model,
    Name,
    ObjectMeta,
    SecretRef,
    StorageRef,
    Template,
    keyed,
    needs,
    one_of,
    only_with,
)
from tunebird.api.rolloutstatus import ModelRolloutStatus
from tunebird.api.strategy import Analysis, Strategy

Port = Annotated[int, Field(ge=1, le=65535)]


class ServedModel(Model):
    """Which model is served: a job's artifact, the newest of some jobs, or a source with its digest."""

    job_ref: JobRef | None = Field(None, description="A FineTuneJob; waited for until it has an artifact.")
    source: StorageRef | None = Field(None, description="Where the model lies, with its digest.")
    job_selector: LabelSelector | None = Field(
        None, description="The newest succeeded FineTuneJob with these labels whose gates exist and passed."
    )
    form: Literal["merged", "adapter"] = Field("merged", description="Which form of a job's artifact is served.")
    RULES = (one_of("jobRef", "source", "jobSelector"),)


class Runtime(StrEnum):
    """The program that serves."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    TUNEBIRD = "tunebird"
    CUSTOM = "custom"


class Mode(StrEnum):
    """Whether each revision has a pool of its own."""

    MODEL = "Model"
    ADAPTER = "Adapter"


class Server(Model):
    """The pods that serve one revision."""

    runtime: Runtime = Field(
        Runtime.VLLM, description="vllm, sglang, tgi, tunebird (small, on the CPU) or custom (your image and args)."
    )
    mode: Mode = Field(Mode.MODEL, description="Model: a pool per revision. Adapter: adapters swapped in one pool.")
    image: Annotated[str, Field(max_length=512)] = Field(
        "", description="Image; empty is the runtime's default, frozen per revision."
    )
    replicas: int = Field(
        1, ge=0, le=1000, description="Pods of the stable revision.", json_schema_extra={"x-default": 1}
    )
    port: Port = Field(8000, description="Port that the server listens on.")
    args: tuple[Annotated[str, Field(max_length=1024)], ...] = Field(
        (), max_length=64, description="Further arguments of the server."
    )
    gpus_per_replica: int = Field(0, ge=0, le=64, description="GPUs per pod.")
    gpu_resource_name: Annotated[str, Field(max_length=128)] = Field(
        "nvidia.com/gpu", description="Extended resource of the GPUs."
    )
    template: Template | None = Field(
        None, description="A PodTemplateSpec merged strategically onto the pod (container server)."
    )


class ServiceSpec(Model):
    """The Service that selects the stable revision."""

    name: Name | None = Field(None, description="Its name; the rollout's if absent. A foreign Service is refused.")
    port: Port = Field(80, description="Its port.")


class ParentRef(Model):
    """A Gateway (or another parent) that the route attaches to."""

    name: Annotated[str, Field(max_length=253)] = Field(description="Name of the Gateway.")
    namespace: Annotated[str, Field(max_length=63)] | None = Field(
        None, description="Its namespace; this one if absent."
    )
    section_name: Annotated[str, Field(max_length=253)] | None = Field(None, description="Name of the listener.")
    port: Port | None = Field(None, description="Port of the listener.")
    group: Annotated[str, Field(max_length=253)] | None = Field(
        None, description="API group; gateway.networking.k8s.io if absent."
    )
    kind: Annotated[str, Field(max_length=63)] | None = Field(None, description="Kind; Gateway if absent.")


class Timeouts(Model):
    """Timeouts of the route."""

    request: Duration | None = Field(None, description="Longest time of a request, streaming included; 0s is none.")
    backend_request: Duration | None = Field(None, description="Longest time of one try.")


class Backend(StrEnum):
    """What the route sends traffic to."""

    SERVICE = "Service"
    INFERENCE_POOL = "InferencePool"


class GatewayAPI(Model):
    """Traffic by an HTTPRoute of the Gateway API."""

    parent_refs: tuple[ParentRef, ...] = Field(min_length=1, max_length=8, description="What the route attaches to.")
    hostnames: tuple[Annotated[str, Field(max_length=253)], ...] = Field((), max_length=16, description="Host names.")
    matches: tuple[Annotated[dict[str, object], Field(json_schema_extra=PRESERVE)], ...] = Field(
        (), max_length=8, description="HTTPRouteMatch objects; every request if empty."
    )
    timeouts: Timeouts | None = Field(None, description="Timeouts of the route.")
    backend: Backend = Field(Backend.SERVICE, description="Service or InferencePool.")


class Istio(Model):
    """Traffic by an Istio VirtualService."""

    hosts: tuple[Annotated[str, Field(max_length=253)], ...] = Field(
        (), max_length=16, description="Hosts of the VirtualService; the Service if empty."
    )
    gateways: tuple[Annotated[str, Field(max_length=253)], ...] = Field(
        (), max_length=8, description="Istio gateways; the mesh if empty."
    )


class TrafficType(StrEnum):
    """How traffic is split."""

    GATEWAY_API = "GatewayAPI"
    ISTIO = "Istio"
    REPLICAS = "Replicas"


class Traffic(Model):
    """How traffic is split between stable and canary."""

    type: TrafficType = Field(description="GatewayAPI, Istio, or Replicas (no mesh: weight by numbers of pods).")
    gateway_api: GatewayAPI | None = Field(None, alias="gatewayAPI", description="Options of type GatewayAPI.")
    istio: Istio | None = Field(None, description="Options of type Istio.")
    RULES = (
        only_with("gatewayAPI", "type", "GatewayAPI"),
        needs("gatewayAPI", "type", "GatewayAPI"),
        only_with("istio", "type", "Istio"),
    )


class Prometheus(Model):
    """A Prometheus-compatible query API."""

    address: Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s]+$")] = Field(description="Its base URL.")
    secret_ref: SecretRef | None = Field(
        None, description="Keys token, or username and password; ca.crt for a private CA."
    )
    timeout: Duration = Field("5s", description="Longest time of a query.")


class Pods(Model):
    """Metrics read from the servers' pods directly."""

    port: Port | None = Field(None, description="Port of the metrics; the server's if absent.")
    path: Annotated[str, Field(max_length=256, pattern=r"^/")] = Field("/metrics", description="Path of the metrics.")


class ProviderType(StrEnum):
    """Where numbers come from."""

    PROMETHEUS = "Prometheus"
    PODS = "Pods"


class Provider(Model):
    """A source of numbers."""

    name: Name = Field(description="Name that SLIs refer to.")
    type: ProviderType = Field(description="Prometheus, or Pods (scraped directly; needs nothing installed).")
    prometheus: Prometheus | None = Field(None, description="Options of type Prometheus.")
    pods: Pods | None = Field(None, description="Options of type Pods.")
    RULES = (
        only_with("prometheus", "type", "Prometheus"),
        needs("prometheus", "type", "Prometheus"),
        only_with("pods", "type", "Pods"),
    )


class Metrics(Model):
    """Sources of numbers."""

    providers: Annotated[tuple[Provider, ...], *keyed("name")] = Field(
        (), max_length=8, description="Sources by name; the pods themselves if empty."
    )


class Samples(Model):
    """What is kept of a failed canary's answers."""

    keep: int = Field(50, ge=0, le=1000, description="Number of pairs.")
    storage: StorageRef = Field(description="Where they are kept.")


class Rollback(Model):
    """What happens to a canary that was rolled back."""

    scale_down_delay: Duration = Field("5m", description="How long its pods stay, for a look at them.")
    samples: Samples | None = Field(None, description="What is kept of its answers.")


class RolloutDeletionPolicy(StrEnum):
    """What deleting the resource leaves."""

    DELETE_SERVERS = "DeleteServers"
    KEEP_SERVERS = "KeepServers"


class ModelRolloutSpec(Model):
    """Which model to serve, how, and how traffic moves to a new one."""

    model: ServedModel = Field(description="Which model is served. Another one starts a rollout.")
    server: Server = Field(Server(), description="The pods of a revision.", json_schema_extra={"x-default": {}})
    service: ServiceSpec = Field(ServiceSpec(), description="The Service of the stable revision.")
    traffic: Traffic = Field(description="How traffic is split.")
    metrics: Metrics = Field(Metrics(), description="Sources of numbers.")
    analysis: Analysis = Field(Analysis(), description="What the canary must satisfy.")
    strategy: Strategy = Field(Strategy(), description="The steps of a rollout.")
    rollback: Rollback = Field(Rollback(), description="What happens to a canary that was rolled back.")
    paused: bool = Field(False, description="Hold every rollout where it is.")
    revision_history_limit: int = Field(10, ge=0, le=100, description="How many old revisions stay, scaled to zero.")
    deletion_policy: RolloutDeletionPolicy = Field(
        RolloutDeletionPolicy.DELETE_SERVERS, description="Whether deleting this resource deletes the servers."
    )


class ModelRollout(Model):
    """ModelRollout serves a model and moves traffic to a new one step by step, and back when an SLI is breached."""

    api_version: str = Field("tunebird.dev/v1alpha1", description="Versioned schema of this object.")
    kind: str = Field("ModelRollout", description="The REST resource that this object represents.")
    metadata: ObjectMeta
    spec: ModelRolloutSpec = Field(description="What to serve.")
    status: ModelRolloutStatus = Field(ModelRolloutStatus(), description="What became of it; written by the operator.")
