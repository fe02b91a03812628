"""Directories that appear whole or not at all: digests, fsync, rename, and naming what a full or lost disk does."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tunebird_trainer.outcome import Failure, Reason, first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FULL = {errno.ENOSPC, errno.EDQUOT}
# Nothing that a volume which is mounted anew would change.
_WRONG = {errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP}
_LOST = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENOTDIR, errno.ENXIO}
# safetensors and torch.save raise their own errors, which carry the system's only as text.
_FULL_TEXTS = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122")
_TORCH_WRITE_FAILED = ("PytorchStreamWriter failed writing file", "unexpected pos", "iostream error")
_NEARLY_FULL_BYTES = 32 * 1024 * 1024


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def files_in(directory: Path) -> list[Path]:
    """Every regular file below, sorted by its POSIX path; hidden files and folders are not content."""
    found = [path for path in directory.rglob("*") if path.is_file() and not _hidden(path.relative_to(directory))]
    return sorted(found, key=lambda path: path.relative_to(directory).as_posix())


def file_digests(directory: Path, leave_out: Iterable[str] = ()) -> dict[str, str]:
    names = {path.relative_to(directory).as_posix(): path for path in files_in(directory)}
    return {name: file_digest(path) for name, path in names.items() if name not in set(leave_out)}


def digest_of(digests: dict[str, str]) -> str:
    """One digest for a directory: sha256 over lines `<hex>  <path>` sorted by path."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def directory_digest(directory: Path, leave_out: Iterable[str] = ()) -> str:
    return digest_of(file_digests(directory, leave_out))


def publish(aside: Path, final: Path) -> None:
    """Make a finished directory appear under its name, durably: contents first, then the name."""
    for path in sorted(aside.rglob("*")):
        _fsync(path)
    _fsync(aside)
    aside.rename(final)
    _fsync(final.parent)


def share(directory: Path) -> None:
    """Every file below becomes as readable as the directory itself, which the umask decided: safetensors (0.8) writes
    for the owner alone, and what serves a model runs under another uid than what trained it."""
    mode = directory.stat().st_mode & 0o666
    for path in directory.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)


def discard(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def check_writable(directory: Path, purpose: str) -> None:
    """Fail before hours of training rather than after them. `purpose` is the field that names the place, and its value.

    Raises:
        Failure: InvalidConfig where nothing can ever be written; DiskFull and StorageUnavailable where that may change.
    """
    probe = directory / f".probe-{os.getpid()}"
    try:
        blocked = _existing(directory)
        if not blocked.is_dir():
            said = f"{purpose}: {blocked} is a file, not a directory; choose another place"
            raise Failure(Reason.INVALID_CONFIG, said)
        directory.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"tunebird")
        _fsync(probe)
        probe.unlink()
    except OSError as error:
        raise _unwritable(error, directory, purpose) from error


def _unwritable(error: OSError, directory: Path, purpose: str) -> Failure:
    said = f"{purpose}: {directory} can't be written: {error.strerror}"
    if error.errno in _FULL:
        return Failure(Reason.DISK_FULL, f"{said}; free space there or enlarge the volume")
    if error.errno in _WRONG:
        return Failure(Reason.INVALID_CONFIG, f"{said}; choose another place")
    return Failure(Reason.STORAGE_UNAVAILABLE, f"{said}; check that its volume is mounted and writable")


def check_room(directory: Path, needed: int, purpose: str) -> None:
    """Whether `needed` bytes fit. A file system that tells no size is not judged.

    Raises:
        Failure: DiskFull.
    """
    existing = _existing(directory)
    usage = shutil.disk_usage(existing)
    if usage.total and usage.free < needed:
        said = f"{readable(needed)} and {existing} has {readable(usage.free)} free"
        raise Failure(Reason.DISK_FULL, f"{purpose} {said}; free space there or enlarge the volume")


def readable(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """What is written inside lies below `directory`: a full or lost disk is called by that name."""
    try:
        yield
    except Failure:
        raise
    except Exception as error:
        lost = storage_failure(error, directory)
        if lost is None:
            raise
        raise lost from error


def storage_failure(error: BaseException, directory: Path) -> Failure | None:
    """The storage failure that an error stands for, or None when it is something else. `directory` is named where the
    error names no file itself."""
    chain = list(_causes(error))
    named = [each.filename for each in chain if isinstance(each, OSError) and isinstance(each.filename, str)]
    place = next(iter(named), directory)
    if any(_means_full(each, directory) for each in chain):
        return Failure(
            Reason.DISK_FULL,
            f"the volume of {place} is full: {_said(error)}; free space there or enlarge it, and start the run again",
        )
    if any(isinstance(each, OSError) and each.errno in _LOST for each in chain):
        return Failure(
            Reason.STORAGE_UNAVAILABLE,
            f"the volume of {place} can't be used: {first_line(error)}; check that it is mounted and writable",
        )
    return None


def _said(error: BaseException) -> str:
    """PyTorch tells of a write that failed in terms of its own source."""
    own = first_line(error)
    return "a file could not be written whole" if any(failed in own for failed in _TORCH_WRITE_FAILED) else own


def _means_full(error: BaseException, directory: Path) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error)
    if any(full in text for full in _FULL_TEXTS):
        return True
    return any(failed in text for failed in _TORCH_WRITE_FAILED) and _nearly_full(directory)


def _nearly_full(directory: Path) -> bool:
    return shutil.disk_usage(_existing(directory)).free < _NEARLY_FULL_BYTES


def _existing(directory: Path) -> Path:
    return next((path for path in (directory, *directory.parents) if path.exists()), Path())


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
