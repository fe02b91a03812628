"""How a run ends: typed reasons, exit codes, and the termination message that the operator reads.

The training process keeps a journal (a small JSON file) so that the wrapper can still say where a run stood when the
process was killed and could say nothing itself.
"""

from __future__ import annotations

import json
import os
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE_LIMIT_BYTES = 4096  # what the kubelet keeps of one container


class ExitCode(IntEnum):
    """The contract with the operator; 2 to 7 are never retried as they are, 85 is retried and not counted."""

    DONE = 0
    CONFIG = 2
    DATA = 3
    MODEL = 4
    GPU_MEMORY = 5
    DIVERGED = 6
    EVALUATION = 7
    CHECKPOINTED = 85
    HOST_MEMORY = 86
    RENDEZVOUS = 200
    NODE = 201
    STORAGE = 202
    INTERNAL = 203


class Reason(StrEnum):
    COMPLETED = "Completed"
    INVALID_CONFIG = "InvalidConfig"
    INVALID_DATASET = "InvalidDataset"
    DATASET_NOT_FOUND = "DatasetNotFound"
    MODEL_NOT_FOUND = "ModelNotFound"
    GATED_MODEL = "GatedModel"
    MODEL_MISMATCH = "ModelMismatch"
    CUDA_OUT_OF_MEMORY = "CUDAOutOfMemory"
    HOST_OUT_OF_MEMORY = "HostOutOfMemory"
    NAN_LOSS = "NaNLoss"
    GATE_FAILED = "GateFailed"
    EVALUATION_INCONCLUSIVE = "EvaluationInconclusive"
    PREEMPTED = "Preempted"
    RENDEZVOUS_TIMEOUT = "RendezvousTimeout"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    DISK_FULL = "DiskFull"
    GPU_FAULT = "GPUFault"
    HUNG = "Hung"
    INTERNAL = "Internal"


EXIT_CODES = {
    Reason.COMPLETED: ExitCode.DONE,
    Reason.INVALID_CONFIG: ExitCode.CONFIG,
    Reason.INVALID_DATASET: ExitCode.DATA,
    Reason.DATASET_NOT_FOUND: ExitCode.DATA,
    Reason.MODEL_NOT_FOUND: ExitCode.MODEL,
    Reason.GATED_MODEL: ExitCode.MODEL,
    Reason.MODEL_MISMATCH: ExitCode.MODEL,
    Reason.CUDA_OUT_OF_MEMORY: ExitCode.GPU_MEMORY,
    Reason.HOST_OUT_OF_MEMORY: ExitCode.HOST_MEMORY,
    Reason.NAN_LOSS: ExitCode.DIVERGED,
    Reason.GATE_FAILED: ExitCode.EVALUATION,
    Reason.EVALUATION_INCONCLUSIVE: ExitCode.EVALUATION,
    Reason.PREEMPTED: ExitCode.CHECKPOINTED,
    Reason.RENDEZVOUS_TIMEOUT: ExitCode.RENDEZVOUS,
    Reason.STORAGE_UNAVAILABLE: ExitCode.STORAGE,
    Reason.DISK_FULL: ExitCode.STORAGE,
    Reason.GPU_FAULT: ExitCode.NODE,
    Reason.HUNG: ExitCode.NODE,
    Reason.INTERNAL: ExitCode.INTERNAL,
}


class Failure(Exception):  # noqa: N818  what users read is a reason, not an error's name
    """A run that can't go on, with its reason and one sentence that says what would help."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def exit_code(self) -> ExitCode:
        return EXIT_CODES[self.reason]


def first_line(error: BaseException) -> str:
    """What an error says, short enough for a sentence about it."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class Journal:
    """What is known about the run so far, rewritten whole at every change. Without a path it is kept in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.facts: dict[str, Any] = {}

    def note(self, **facts: Any) -> None:
        self.facts.update(facts)
        if self.path is None:
            return
        aside = self.path.with_suffix(".new")
        aside.write_text(json.dumps(self.facts))
        aside.replace(self.path)


def read_journal(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def termination_message(facts: dict[str, Any]) -> bytes:
    """The facts as JSON of at most 4096 bytes: the sentence is cut first, then the metrics go."""
    record = {"v": 1, **{key: value for key, value in facts.items() if value is not None}}
    encoded = _encode(record)
    if len(encoded) > MESSAGE_LIMIT_BYTES:
        overhang = len(encoded) - MESSAGE_LIMIT_BYTES
        record["message"] = _shortened(str(record.get("message", "")), overhang)
        encoded = _encode(record)
    for expendable in ("metrics", "artifact", "message"):
        if len(encoded) > MESSAGE_LIMIT_BYTES:
            record.pop(expendable, None)
            encoded = _encode(record)
    return encoded


def _encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _shortened(text: str, overhang: int) -> str:
    # An escape in JSON can take six bytes a character, so the cut is checked on the encoded form.
    room = len(_encode({"": text})) - overhang - 8
    while text and len(_encode({"": text})) > room:
        text = text[: len(text) - max(1, (len(_encode({"": text})) - room) // 6)]
    return text + "…"


def write_termination_message(path: Path, message: bytes) -> None:
    """One write into the existing file: the kubelet mounts exactly that inode, so a rename would be lost."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, message)
        os.ftruncate(descriptor, len(message))
        os.fsync(descriptor)
    except OSError as error:
        print(f"termination message not written to {path}: {error}", flush=True)
    finally:
        os.close(descriptor)
