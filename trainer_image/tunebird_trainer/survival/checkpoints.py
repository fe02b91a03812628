"""Checkpoints that are whole or not there: written aside, every file's digest in a manifest, renamed, the newest kept.

A run resumes only from a checkpoint whose fingerprint (model, data, config, code) is its own, so that a resumed run
ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import storage
from tunebird_trainer.survival import group

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "tunebird-checkpoint.json"
_PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests of all that decides what the next step does."""

    model: str
    data: str
    config: str
    code: str


@dataclass(frozen=True, slots=True)
class Saved:
    path: Path
    step: int
    digest: str
    processes: int = 1  # that wrote it
    facts: dict[str, Any] = field(default_factory=dict)  # counters that go on: tokens, losses, seconds trained

    @property
    def name(self) -> str:
        return self.path.name


class Checkpoints:
    """The checkpoints of one run under one directory; one writer at a time."""

    def __init__(self, root: Path, keep: int, fingerprint: Fingerprint) -> None:
        self.root = root
        self.keep = keep
        self.fingerprint = fingerprint
        self.best: int | None = None  # the step that is kept beside the newest
        # All processes of a run write into one directory; another attempt that still lives writes into its own.
        self.writing = root / f".writing-{os.environ.get('TUNEBIRD_GROUP') or os.getpid()}"

    def clear_unfinished(self) -> None:
        """What a killed attempt left half written or half deleted."""
        for path in self.root.glob(".*-*"):
            if path.is_dir():
                print(f"checkpoints: removing unfinished {path.name}", flush=True)
                storage.discard(path)

    def newest(self) -> Saved | None:
        """The newest whole checkpoint of this run, the same for all processes; says why newer ones are passed over."""
        return group.from_first(self._newest)

    def _newest(self) -> Saved | None:
        for path in self._by_step():
            saved, problem = self._read(path)
            if saved:
                return saved
            print(f"checkpoints: skipping {path.name}: {problem}", flush=True)
        return None

    def at(self, step: int) -> Saved:
        """The whole checkpoint of this step.

        Raises:
            Failure: StorageUnavailable when it is gone or damaged.
        """
        saved, problem = group.from_first(lambda: self._read(self.root / f"{_PREFIX}{step}"))
        if saved is None:
            raise Failure(Reason.STORAGE_UNAVAILABLE, f"{_PREFIX}{step}, the best one, can't be read: {problem}")
        return saved

    def publish(self, written: Path, facts: dict[str, Any]) -> Saved:
        """Make a written directory `checkpoint-N` durable and visible, then let old ones go."""
        step = _step(written)
        _check_parts(written)
        digests = storage.file_digests(written)
        digest = storage.digest_of(digests)
        manifest = {
            "version": 1, "step": step, "digest": digest, "fingerprint": asdict(self.fingerprint),
            "processes": group.world_size(), "facts": facts, "files": digests,
        }  # fmt: skip
        (written / MANIFEST).write_text(json.dumps(manifest, indent=1))
        final = self.root / written.name
        if final.exists():
            self._discard(final)
        storage.publish(written, final)
        self.let_go(step)
        return Saved(final, step, digest, group.world_size(), facts)

    def finish(self) -> None:
        """Training is over for all processes: nobody looks into the directory of unfinished ones any more."""
        group.barrier()
        if group.rank() == 0:
            storage.discard(self.writing)

    def _read(self, path: Path) -> tuple[Saved | None, str]:
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            whole = manifest["files"] == storage.file_digests(path, leave_out=[MANIFEST])
            theirs = Fingerprint(**manifest["fingerprint"])
            saved = Saved(path, manifest["step"], manifest["digest"], manifest["processes"], manifest["facts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return None, f"it has no readable manifest ({error})"
        if not whole or saved.digest != storage.digest_of(manifest["files"]) or saved.step != _step(path):
            return None, "its files differ from its manifest: unfinished or damaged"
        if theirs != self.fingerprint:
            return None, f"it belongs to another {self._difference(theirs)}; it can't be continued exactly"
        return saved, ""

    def _difference(self, theirs: Fingerprint) -> str:
        mine, other = asdict(self.fingerprint), asdict(theirs)
        return " and ".join(name for name in mine if mine[name] != other[name])

    def _by_step(self) -> list[Path]:
        found = [path for path in self.root.glob(f"{_PREFIX}*") if path.is_dir() and _step(path) >= 0]
        return sorted(found, key=_step, reverse=True)

    def let_go(self, newest: int) -> None:
        """Keep the few up to `newest`, which is whole and this run's; later ones are damaged or another run's."""
        older = [path for path in self._by_step() if _step(path) <= newest]
        kept = {*older[: self.keep], self.root / f"{_PREFIX}{self.best}"}
        for path in self._by_step():
            if path not in kept:
                self._discard(path)

    def _discard(self, path: Path) -> None:
        # Renamed first: a kill in the middle must not leave what looks like a damaged checkpoint.
        gone = self.root / f".discarded-{path.name}-{os.getpid()}"
        path.rename(gone)
        storage.discard(gone)


def _check_parts(written: Path) -> None:
    """Every process leaves its random state; one that isn't here was written to a disk that this node doesn't see."""
    absent = [rank for rank in range(group.world_size()) if not (written / f"rng_state_{rank}.pth").exists()]
    if group.world_size() > 1 and absent:
        raise Failure(
            Reason.STORAGE_UNAVAILABLE,
            f"{written.name} lacks the part of process {', '.join(map(str, absent))}: the nodes don't share the volume "
            "of checkpoint.uri; use a ReadWriteMany claim",
        )


def _step(path: Path) -> int:
    number = path.name.removeprefix(_PREFIX)
    return int(number) if number.isdecimal() else -1
