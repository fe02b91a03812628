"""The controllers of the control plane: each one coroutine that brings its objects to where they should be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devplane.admission.attempts import Webhooks
    from devplane.context import Context
    from devplane.machinery.client import Client


def start(client: Client, ctx: Context, webhooks: Webhooks | None = None) -> list[asyncio.Task[None]]:
    """All controllers as tasks; cancel them to stop. `webhooks` are asked about what they write."""
    from devplane.controllers.deployments.controller import DeploymentController
    from devplane.controllers.deployments.replicaset import ReplicaSetController
    from devplane.controllers.disruption import DisruptionController
    from devplane.controllers.endpointslice import EndpointSliceController
    from devplane.controllers.garbage import GarbageCollector
    from devplane.controllers.growth import GrowthController
    from devplane.controllers.jobs.controller import JobController
    from devplane.controllers.loop import Controller
    from devplane.controllers.namespace import NamespaceController
    from devplane.controllers.node_lifecycle import NodeLifecycle
    from devplane.controllers.nodes import NodeKeeper
    from devplane.controllers.pod_collector import PodCollector
    from devplane.controllers.quota import QuotaController
    from devplane.controllers.scheduler import Scheduler
    from devplane.controllers.taint_eviction import TaintEviction
    from devplane.controllers.volumes import VolumeController

    name = "kube-controller-manager"
    manager = client.named(name) if webhooks is None else client.admitted(name, webhooks)
    controllers: list[Controller | NodeKeeper] = [
        NodeKeeper(client.named("kubelet"), ctx),
        JobController(manager).controller(),
        DeploymentController(manager).controller(),
        ReplicaSetController(manager).controller(),
        EndpointSliceController(manager).controller(),
        NamespaceController(manager, ctx).controller(),
        VolumeController(manager, ctx).controller(),
        GrowthController(manager).controller(),
        GarbageCollector(manager).controller(),
        QuotaController(manager).controller(),
        NodeLifecycle(manager).controller(),
        TaintEviction(manager).controller(),
        PodCollector(manager).controller(),
        DisruptionController(manager).controller(),
        Scheduler(client.named("kube-scheduler")).controller(),
    ]
    return [asyncio.create_task(one.run(), name=one.name) for one in controllers]
