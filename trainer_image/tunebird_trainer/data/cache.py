"""Prepared data on disk under the digest of all that it was made from: made once, by one process, and read by every
other process and attempt. A directory is there whole or not at all; a damaged one is made again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets

from tunebird_trainer import config as configs
from tunebird_trainer.data.prepared import FACTS, Prepared, read
from tunebird_trainer.stores import sources, storage
from tunebird_trainer.survival.heartbeat import pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunebird_trainer.config import Config

_MANIFEST = "whole.json"  # of a finished directory: the digest of every file
_LIBRARIES = ("datasets", "datasketch", "phonenumbers", "py3langid", "pyarrow", "tokenizers", "transformers")
_PARTIAL = ".partial-"
_STALE_SECONDS = 24 * 3600
_POLL_SECONDS = 0.2


def place(config: Config, inputs: dict[str, str], tokenizer: Any) -> Path:
    """Where the data made from these inputs lies. `inputs` are the digests of the files read, by their URI."""
    shape = configs.as_json(config)
    decisive = {name: shape[name] for name in ("datasets", "mixing", "mixingStop", "validation", "preparation")}
    decisive["suites"] = [suite["uri"] for suite in shape["evaluation"]["suites"]]
    decisive["canaries"] = shape["evaluation"]["canaries"]
    decisive["objective"], decisive["continue"] = shape["method"]["objective"], shape["method"]["continue"]
    decisive |= {name: shape["training"][name] for name in ("maxSequenceLength", "lossOn", "seed")}
    decisive |= {"inputs": inputs, "tokenizer": tokenizer_digest(tokenizer), "code": code_digest()}
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return _root(config) / digest[:32]


def loaded_or_made(final: Path, make: Callable[[Path], None]) -> Prepared:
    """Read what lies there, else make it (`make` fills a directory) or wait until another process has."""
    if not whole(final) and _prepares():
        _made(final, make)
    else:
        _awaited(final)
    train, validation = (datasets.Dataset.from_file(str(final / f"{part}.arrow")) for part in ("train", "validation"))
    return read(final / FACTS, train, validation)


def whole(final: Path) -> bool:
    """Whether every file is as it was written; a listing alone would not find one that was cut short."""
    try:
        digests = json.loads((final / _MANIFEST).read_text())
        return all(storage.file_digest(final / name) == digest for name, digest in digests.items())
    except (OSError, ValueError):
        return False


def tokenizer_digest(tokenizer: Any) -> str:
    """Over what decides which ids a text becomes: vocabulary, merges, special tokens, template."""
    parts = [tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template or "", tokenizer.special_tokens_map]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def code_digest() -> str:
    """Over the modules and libraries that decide which ids come out."""
    here = Path(__file__).parent
    lines = [f"{path.name} {storage.file_digest(path)}\n" for path in sorted(here.glob("*.py"))]
    lines += [f"{name} {metadata.version(name)}\n" for name in _LIBRARIES]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _root(config: Config) -> Path:
    given = os.environ.get("TUNEBIRD_CACHE")
    return Path(given) if given else sources.place(config.checkpoint.uri) / "data"


def _prepares() -> bool:
    """Process 0; with a cache of each node's own, the first process of each node."""
    return os.environ.get("LOCAL_RANK" if os.environ.get("TUNEBIRD_CACHE") else "RANK", "0") == "0"


def _made(final: Path, make: Callable[[Path], None]) -> None:
    _clear(final)
    aside = final.parent / f"{_PARTIAL}{final.name}-{os.uname().nodename}-{os.getpid()}"
    storage.discard(aside)
    aside.mkdir(parents=True)
    try:
        with storage.writing(aside):
            make(aside)
            (aside / _MANIFEST).write_text(json.dumps(storage.file_digests(aside)))
            _published(aside, final)
    finally:
        storage.discard(aside)


def _published(aside: Path, final: Path) -> None:
    try:
        storage.publish(aside, final)
    except OSError:
        if not whole(final):  # another job that shares the cache was faster
            raise


def _clear(final: Path) -> None:
    """A damaged directory, and what killed processes left behind."""
    if final.exists():
        print(f"data: {final} is damaged and is made again", flush=True)
        storage.discard(final)
    old = time.time() - _STALE_SECONDS
    for left in final.parent.glob(f"{_PARTIAL}*"):
        if not os.environ.get("TUNEBIRD_CACHE") or left.stat().st_mtime < old:
            storage.discard(left)


def _awaited(final: Path) -> None:
    """No limit of its own: when the preparing process ends or hangs, the launcher ends this one too."""
    if whole(final):
        print(f"data: already prepared in {final}", flush=True)
        return
    while not whole(final):
        pulse.beat()
        time.sleep(_POLL_SECONDS)
