"""From the API's model to the plan: defaults filled in, units resolved, and what can't be done is named. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from pydantic import ValidationError

from tunebird.api import modelrollout as api
from tunebird.api import strategy
from tunebird.api.base import duration_seconds, fraction, problems
from tunebird.kube.meta import Manifest, content_hash
from tunebird.metrics.presets import BOUNDS, bound_near
from tunebird.metrics.provider import Measure, PodsSource, Preset, PrometheusSource, Source
from tunebird.rollout.manifests import unservable
from tunebird.rollout.plan import (
    Analysis,
    Bake,
    Gateway,
    Limit,
    Model,
    OnBreach,
    OnDeadline,
    OnInconclusive,
    Pause,
    Plan,
    Runtime,
    Server,
    SetWeight,
    Sli,
    Step,
    Threshold,
)
from tunebird.rollout.refused import refusals

DEFAULT_SOURCE = PodsSource("pods")
COUNTER_FUNCTIONS = ("rate(", "increase(", "irate(", "delta(")


class InvalidSpec(Exception):  # noqa: N818  the API's own word
    """The specification can't be carried out; `problems` has every reason, each with its field and remedy."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.problems = reasons


def plan(manifest: Manifest) -> Plan:
    """The plan of a ModelRollout as it is in the API server. Raises `InvalidSpec`."""
    try:
        rollout = api.ModelRollout.model_validate(manifest)
    except ValidationError as error:
        raise InvalidSpec(*problems(error)) from error
    found = (*refusals(rollout.spec), *_conflicts(rollout.spec))
    if found:
        raise InvalidSpec(*found)
    return _plan(rollout, fingerprint(manifest["spec"]))


def fingerprint(spec: Manifest) -> str:
    """A hash of what a person means to try: neither the number of replicas (an autoscaler's) nor `paused` is in it."""
    server = {key: value for key, value in spec.get("server", {}).items() if key != "replicas"}
    return content_hash({**{key: value for key, value in spec.items() if key != "paused"}, "server": server})


def _plan(rollout: api.ModelRollout, print_: str) -> Plan:
    spec, metadata = rollout.spec, rollout.metadata
    replicas = spec.strategy.canary_replicas
    return Plan(
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        model=_model(spec.model),
        server=_server(spec.server),
        service_name=spec.service.name or metadata.name,
        service_port=spec.service.port,
        gateway=_gateway(spec.traffic.gateway_api),
        sources=tuple(_source(provider) for provider in spec.metrics.providers) or (DEFAULT_SOURCE,),
        analysis=_analysis(spec),
        steps=tuple(_step(step) for step in spec.strategy.steps),
        canary_replicas=None if replicas == "Match" else int(replicas),
        progress_deadline=duration_seconds(spec.strategy.progress_deadline),
        on_deadline=OnDeadline(spec.strategy.on_deadline.value),
        scale_down_delay=duration_seconds(spec.rollback.scale_down_delay),
        paused=spec.paused,
        revision_history_limit=spec.revision_history_limit,
        fingerprint=print_,
    )


def _model(model: api.ServedModel) -> Model:
    if model.job_ref is not None:
        return Model(model.job_ref.name, "", "")
    assert model.source is not None
    secret = model.source.secret_ref.name if model.source.secret_ref else ""
    return Model("", model.source.uri, model.source.digest or "", model.source.revision or "", secret)


def _server(server: api.Server) -> Server:
    return Server(
        runtime=Runtime(server.runtime.value),
        image=server.image,
        replicas=server.replicas,
        port=server.port,
        args=server.args,
        gpus=server.gpus_per_replica,
        gpu_resource=server.gpu_resource_name,
        template=server.template or {},
    )


def _gateway(options: api.GatewayAPI | None) -> Gateway:
    assert options is not None
    timeouts = options.timeouts.manifest() if options.timeouts else {}
    return Gateway(
        parent_refs=tuple(ref.manifest() for ref in options.parent_refs),
        hostnames=options.hostnames,
        matches=options.matches,
        timeouts=timeouts,
    )


def _source(provider: api.Provider) -> Source:
    match provider.type:
        case api.ProviderType.PROMETHEUS:
            options = provider.prometheus
            assert options is not None
            secret = options.secret_ref.name if options.secret_ref else ""
            return PrometheusSource(provider.name, options.address, duration_seconds(options.timeout), secret)
        case api.ProviderType.PODS:
            pods = provider.pods or api.Pods()
            return PodsSource(provider.name, pods.port, pods.path)
        case _ as unreachable:
            assert_never(unreachable)


def _analysis(spec: api.ModelRolloutSpec) -> Analysis:
    analysis = spec.analysis
    return Analysis(
        interval=max(1.0, duration_seconds(analysis.interval)),
        alpha=fraction(analysis.max_false_rollback),
        on_breach=OnBreach(analysis.on_breach.value),
        on_inconclusive=OnInconclusive(analysis.on_inconclusive.value),
        slis=tuple(_sli(spec, sli) for sli in analysis.slis),
    )


def _sli(spec: api.ModelRolloutSpec, sli: strategy.Sli) -> Sli:
    measure = Measure(
        name=sli.name,
        preset=Preset(sli.preset.value) if sli.preset else None,
        within=duration_seconds(sli.within) if sli.within else None,
        good=sli.good or "",
        total=sli.total or "",
        query=sli.query or "",
    )
    return Sli(sli.name, _provider_of(spec, sli), measure, _rule(sli), sli.min_samples or 10, sli.observe_only)


def _rule(sli: strategy.Sli) -> Limit | Threshold:
    if sli.limit is not None:
        return Limit(fraction(sli.limit.maximum))
    assert sli.threshold is not None
    low, high = sli.threshold.minimum, sli.threshold.maximum
    return Threshold(float(low) if low is not None else None, float(high) if high is not None else None)


def _provider_of(spec: api.ModelRolloutSpec, sli: strategy.Sli) -> str:
    """The one that is named, else the first that can answer: any for a preset, a Prometheus for a query."""
    if sli.provider:
        return sli.provider
    able = (item.name for item in spec.metrics.providers if sli.preset or item.type is api.ProviderType.PROMETHEUS)
    return next(able, DEFAULT_SOURCE.name if sli.preset and not spec.metrics.providers else "")


def _step(step: strategy.Step) -> Step:
    name = step.name or ""
    if step.set_weight is not None:
        return SetWeight(step.set_weight, name)
    if step.bake is not None:
        return Bake(duration_seconds(step.bake.for_), step.bake.min_samples or 0, name)
    assert step.pause is not None
    return Pause(duration_seconds(step.pause.for_) if step.pause.for_ else None, name)


def _conflicts(spec: api.ModelRolloutSpec) -> Iterator[str]:
    """Rules between fields that the schema can't tell."""
    source = spec.model.source
    if source is not None and not source.digest:
        yield (
            "spec.model.source.digest: a source needs its digest, or a changed model would not be noticed; add it: "
            "status.artifact.digest of the job that made it; docs/trainer/artifacts.md has the command for other models"
        )
    if source is not None and (trouble := unservable(source.uri, spec.server.runtime.value)):
        yield f"spec.model.source.uri: {trouble}"
    if spec.server.runtime is api.Runtime.CUSTOM and not spec.server.image:
        yield "spec.server.image: runtime custom needs an image"
    if spec.strategy.canary_replicas == "0":
        yield "spec.strategy.canaryReplicas: 0 pods can't take traffic; use Match or a number from 1"
    if not 0 < fraction(spec.analysis.max_false_rollback) < 1:
        yield "spec.analysis.maxFalseRollback: must lie between 0% and 100%, e.g. 1%"
    yield from _unfed(spec)
    for index, sli in enumerate(spec.analysis.slis):
        yield from _sli_conflicts(spec, sli, f"spec.analysis.slis[{index}]")


def _unfed(spec: api.ModelRolloutSpec) -> Iterator[str]:
    """Steps that could never get a verdict, because the canary has no traffic in them."""
    judged = any(not sli.observe_only for sli in spec.analysis.slis)
    weight = 0
    for index, step in enumerate(spec.strategy.steps):
        weight = step.set_weight if step.set_weight is not None else weight
        if judged and step.bake is not None and weight == 0:
            yield f"spec.strategy.steps[{index}].bake: the canary has no traffic here; put setWeight before it"
    if judged and weight == 0:
        yield "spec.strategy.steps: the SLIs need traffic to judge; end with a setWeight above 0"


def _sli_conflicts(spec: api.ModelRolloutSpec, sli: strategy.Sli, place: str) -> Iterator[str]:
    name = _provider_of(spec, sli)
    provider = next((item for item in spec.metrics.providers if item.name == name), None)
    if provider is None and not (sli.preset and not spec.metrics.providers and name == DEFAULT_SOURCE.name):
        yield f"{place}.provider: {name or 'none'}: no such provider; add one to spec.metrics.providers"
    elif not sli.preset and provider is not None and provider.type is api.ProviderType.PODS:
        yield f"{place}.provider: {name} reads pods and takes no queries; name one of type Prometheus"
    if sli.limit is not None and not 0.0001 <= fraction(sli.limit.maximum) <= 0.99:
        yield f"{place}.limit.maximum: {sli.limit.maximum} can't be tested; use 0.01% to 99%"
    if sli.good and any(function in f"{sli.good}{sli.total}" for function in COUNTER_FUNCTIONS):
        yield f"{place}.good: give the counters themselves, not rate or increase: the operator takes the differences"
    yield from _within_conflicts(sli, place)


def _within_conflicts(sli: strategy.Sli, place: str) -> Iterator[str]:
    if sli.preset is None or sli.within is None:
        return
    near = bound_near(duration_seconds(sli.within), BOUNDS[Preset(sli.preset.value)])
    if near is not None:
        yield f"{place}.within: {sli.within} is no bucket bound of {sli.preset.value}; use {near}"
