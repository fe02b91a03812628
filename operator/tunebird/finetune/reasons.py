"""Why an attempt ended or is waiting: the typed reasons, what to do about each, and whether another attempt follows.

A reason that the trainer gave comes with the trainer's sentence, which names values; `REASONS` adds the remedy. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tunebird.kube.summary import scheduling


class Then(StrEnum):
    """What follows: the job fails, another attempt that counts or one that doesn't, or more waiting."""

    FAIL = "fail"
    RETRY = "retry"
    RETRY_FREE = "retry-free"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`remedy` completes the sentence that says what happened."""

    then: Then
    remedy: str


_FAIL, _RETRY, _FREE, _WAIT = Then.FAIL, Then.RETRY, Then.RETRY_FREE, Then.WAIT

REASONS: Mapping[str, Meaning] = {
    # what the trainer says of itself
    "InvalidConfig": Meaning(_FAIL, "correct the field that the message names, and make another job"),
    "InvalidDataset": Meaning(_FAIL, "correct the rows that the message names, or set preparation.onInvalid to Drop"),
    "DatasetNotFound": Meaning(_FAIL, "copy the data to where the uri points, or correct the uri"),
    "ModelNotFound": Meaning(_FAIL, "correct model.source.uri, or copy the model to where it points"),
    "GatedModel": Meaning(
        _FAIL, "accept the model's licence, and name a Secret with HF_TOKEN in model.source.secretRef"
    ),
    "ModelMismatch": Meaning(_FAIL, "correct model.source.digest, or restore the model that it belongs to"),
    "CUDAOutOfMemory": Meaning(
        _FAIL, "use a smaller maxSequenceLength or globalBatchSize, tuning lora, or a larger GPU"
    ),
    "NaNLoss": Meaning(_FAIL, "lower training.learningRate, or look for broken rows"),
    "EvaluationFailed": Meaning(_FAIL, "look at the trainer's logs"),
    "GateFailed": Meaning(_FAIL, "improve data or training, or correct the gate; the artifact is kept, not promoted"),
    "EvaluationInconclusive": Meaning(_FAIL, "use larger suites, or see why the judge did not answer, and retry"),
    "HostOutOfMemory": Meaning(_RETRY, "raise compute.resources.limits.memory"),
    "Preempted": Meaning(_FREE, "nothing to do: it goes on from its checkpoint"),
    "RendezvousTimeout": Meaning(_RETRY, "look at the network between the pods"),
    "Hung": Meaning(_RETRY, "look at that rank's logs: it gave no sign of life"),
    "GPUFault": Meaning(_RETRY, "look at the node's GPUs"),
    "StorageUnavailable": Meaning(_RETRY, "look at the volume that the message names"),
    "DiskFull": Meaning(_RETRY, "make room on the volume, or lower checkpoint.keep"),
    "Internal": Meaning(_RETRY, "look at the trainer's logs"),
    # what the kubelet, the scheduler or a person did to it
    "Suspended": Meaning(_FREE, "set spec.suspend to false to go on from the checkpoint"),
    "Killed": Meaning(_RETRY, "look at the node's events: something sent the trainer a signal"),
    "Evicted": Meaning(_RETRY, "ask for the resource that the node ran out of in compute.resources"),
    "NodeLost": Meaning(_RETRY, "look at the node"),
    "PodDeleted": Meaning(_RETRY, "nothing to do: it goes on from its checkpoint"),
    "JobDeleted": Meaning(_RETRY, "set spec.suspend to stop a job instead of deleting its children"),
    "StartError": Meaning(_FAIL, "correct the image: tunebird-trainer could not be started in it"),
    "NoArtifact": Meaning(_FAIL, "use a trainer image of the operator's version: this one reported no artifact"),
    "DeadlineExceeded": Meaning(_FAIL, "raise activeDeadlineSeconds, and retry: it goes on from its checkpoint"),
    "JobRejected": Meaning(_FAIL, "correct compute.template: the API server refused the Job"),
    "ReferenceFailed": Meaning(_FAIL, "make that job succeed, and retry or make this job again"),
    # what an attempt waits for
    "WaitingForJob": Meaning(_WAIT, "this job goes on when that one has succeeded"),
    "JobNotFound": Meaning(_WAIT, "create it, or correct the name in model.jobRef or compareTo"),
    # what a pod waits for
    "InsufficientGPUs": Meaning(_WAIT, "free GPUs, add a node with some, or correct compute.gpuResourceName"),
    "InsufficientCPU": Meaning(_WAIT, "lower compute.resources.requests.cpu, or add a node"),
    "InsufficientMemory": Meaning(_WAIT, "lower compute.resources.requests.memory, or add a node"),
    "InsufficientStorage": Meaning(_WAIT, "lower the ephemeral-storage request, or free disk on the nodes"),
    "VolumeNotFound": Meaning(_WAIT, "create the PersistentVolumeClaim, or correct the pvc:// uri"),
    "VolumeNotBound": Meaning(_WAIT, "look at the PersistentVolumeClaim: kubectl describe pvc"),
    "VolumeNotShared": Meaning(_WAIT, "use a ReadWriteMany claim, or claims in one zone"),
    "NoMatchingNode": Meaning(_WAIT, "correct nodeSelector or affinity in compute.template"),
    "TaintNotTolerated": Meaning(_WAIT, "add a toleration in compute.template"),
    "Unschedulable": Meaning(_WAIT, "look at the scheduler's message"),
    "SchedulingGated": Meaning(_WAIT, "whoever put the scheduling gate there must remove it"),
    "Scheduling": Meaning(_WAIT, "nothing to do: the scheduler is looking for a node"),
    "PodsNotCreated": Meaning(_WAIT, "kubectl describe job: often a ResourceQuota or an admission webhook"),
    "QuotaExceeded": Meaning(_RETRY, "raise the ResourceQuota, or lower compute.resources"),
    "PodStarting": Meaning(_WAIT, "nothing to do: the image is pulled and volumes are mounted (kubectl describe pod)"),
    "PodTerminating": Meaning(_WAIT, "wait for the old pod to end, or delete it by force if its node is gone"),
    "ImagePullBackOff": Meaning(_WAIT, "correct the trainer's image, or add imagePullSecrets in compute.template"),
    "InvalidImageName": Meaning(
        _FAIL, "correct the image in compute.template or the operator's TUNEBIRD_TRAINER_IMAGE"
    ),
    "ImageNotPresent": Meaning(_FAIL, "load the image onto the node, or use another imagePullPolicy"),
    "SecretNotFound": Meaning(_WAIT, "create the Secret with the key that the message names"),
    "ConfigMapNotFound": Meaning(_WAIT, "create the ConfigMap that the message names"),
    "ContainerConfigError": Meaning(_WAIT, "correct compute.template or training.env"),
    "ContainerCannotRun": Meaning(_WAIT, "look at the node: kubectl describe pod"),
    "NameTaken": Meaning(_WAIT, "delete the Job of that name, or wait for it to go"),
}

EXIT_CODES: Mapping[int, str] = {
    2: "InvalidConfig",
    3: "InvalidDataset",
    4: "ModelNotFound",
    5: "CUDAOutOfMemory",
    6: "NaNLoss",
    7: "EvaluationFailed",
    85: "Preempted",
    86: "HostOutOfMemory",
    200: "RendezvousTimeout",
    201: "GPUFault",
    202: "StorageUnavailable",
    203: "Internal",
}
SIGNALS = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})
NEVER_RETRIED = frozenset({2, 3, 4, 5, 6, 7})


@dataclass(frozen=True, slots=True)
class Why:
    """A reason with the sentence about this very case; the trainer's own sentences say what would help."""

    reason: str
    message: str
    told: bool = False

    @property
    def then(self) -> Then:
        return REASONS[self.reason].then

    @property
    def sentence(self) -> str:
        """What happened and what to do."""
        if self.told and self.message:
            return self.message
        remedy = REASONS[self.reason].remedy
        if not self.message:
            return remedy[0].upper() + remedy[1:]
        return f"{self.message.rstrip('. ')}; {remedy}"


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended: `reason` is the kubelet's, `told` and `message` the trainer's own."""

    code: int
    reason: str = ""
    message: str = ""
    told: str = ""


def why_exited(exited: Exit) -> Why:
    """Of a container that ended with another code than 0: the code decides about retrying, the name may be finer."""
    if exited.reason == "OOMKilled" or exited.code == 86:
        return Why("HostOutOfMemory", exited.message or "the trainer was killed: out of host memory")
    if exited.reason in ("StartError", "ContainerCannotRun") or exited.code in (126, 127):
        return Why("StartError", exited.message or f"the container could not be started (exit code {exited.code})")
    if exited.reason == "ContainerStatusUnknown":
        return Why("NodeLost", exited.message)
    named = EXIT_CODES.get(exited.code)
    told = exited.told if exited.told in REASONS else ""
    if named is not None:
        agrees = told and REASONS[told].then is REASONS[named].then
        message = exited.message or f"the trainer ended with exit code {exited.code}"
        return Why(told if agrees else named, message, told=bool(exited.told and exited.message))
    if exited.code in SIGNALS:
        return Why("Killed", exited.message or f"the trainer was killed by signal {exited.code - 128}")
    return Why("Internal", exited.message or f"the trainer ended with exit code {exited.code}")


def why_unschedulable(message: str) -> Why:
    """Of a pod that the scheduler finds no node for, from the scheduler's sentence."""
    text = scheduling(message)
    lower = text.lower()
    if re.search(r"insufficient [-a-z0-9.]+/", lower):
        return Why("InsufficientGPUs", text)
    found = next((reason for pattern, reason in _SCHEDULER if pattern in lower), "Unschedulable")
    return Why(found, text)


_SCHEDULER = (
    ("unbound immediate persistentvolumeclaims", "VolumeNotBound"),
    ("persistentvolumeclaim", "VolumeNotFound"),
    ("volume node affinity conflict", "VolumeNotShared"),
    ("readwriteoncepod", "VolumeNotShared"),
    ("insufficient cpu", "InsufficientCPU"),
    ("insufficient memory", "InsufficientMemory"),
    ("insufficient ephemeral-storage", "InsufficientStorage"),
    ("didn't match pod's node affinity", "NoMatchingNode"),
    ("untolerated taint", "TaintNotTolerated"),
)

_WAITING: Mapping[str, str] = {
    "ErrImagePull": "ImagePullBackOff",
    "ImagePullBackOff": "ImagePullBackOff",
    "ImageInspectError": "ImagePullBackOff",
    "RegistryUnavailable": "ImagePullBackOff",
    "InvalidImageName": "InvalidImageName",
    "ErrImageNeverPull": "ImageNotPresent",
    "CreateContainerError": "ContainerCannotRun",
    "RunContainerError": "ContainerCannotRun",
    "CrashLoopBackOff": "ContainerCannotRun",
    "ContainerCreating": "PodStarting",
    "PodInitializing": "PodStarting",
}


def why_waiting(reason: str, message: str) -> Why:
    """Of a container that the kubelet can't start (yet), from its waiting state."""
    if reason == "CreateContainerConfigError":
        kinds = (("secret", "SecretNotFound"), ("configmap", "ConfigMapNotFound"))
        found = next((name for word, name in kinds if word in message.lower()), "ContainerConfigError")
        return Why(found, message)
    return Why(_WAITING.get(reason, "PodStarting"), message or reason)


def why_disrupted(condition_reason: str, message: str) -> Why:
    """Of a pod with the condition DisruptionTarget: somebody else needed its place, or its node goes."""
    return Why("Preempted", f"{condition_reason}: {message}" if message else condition_reason)


def why_pod_failed(reason: str, message: str) -> Why:
    """Of a failed pod that has no container state, from the pod's own reason."""
    known = {"Evicted": "Evicted", "NodeLost": "NodeLost", "NodeShutdown": "Preempted", "Terminated": "Preempted"}
    return Why(known.get(reason, "PodDeleted"), message or reason or "the pod failed before the trainer said why")


def why_rejected(message: str) -> Why:
    """Of a Job that the API server refused to create."""
    return Why("QuotaExceeded" if "exceeded quota" in message else "JobRejected", message)
