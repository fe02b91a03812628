"""Small things the trainer's tests are made of; each shows only what matters to its test."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

BASE: dict[str, Any] = {
    "version": 1,
    "job": {"namespace": "ml", "name": "support-bot", "uid": "11111111-2222", "attempt": 1},
    "model": {"uri": "file:///nowhere", "revision": "", "digest": "", "chatTemplate": "model"},
    "datasets": [
        {"name": "support", "uri": "file:///nowhere", "format": "auto", "weight": 1, "limit": None, "license": ""}
    ],
    "mixing": "concatenate",
    "validation": {"percent": 10},
    "preparation": {"onInvalid": "Fail", "onTooLong": "Drop"},
    "method": {
        "objective": "sft",
        "tuning": "lora",
        "lora": {
            "rank": 4,
            "alpha": 8,
            "dropout": 0.0,
            "targetModules": "all-linear",
            "useDora": False,
            "useRslora": False,
        },
        "quantization": "none",
    },
    "training": {
        "epochs": 3.0,
        "maxSteps": 4,
        "learningRate": 0.001,
        "schedule": {"type": "cosine", "warmup": 0.1},
        "optimizer": "adamw",
        "precision": "fp32",
        "microBatchSize": 2,
        "gradientAccumulationSteps": 2,
        "globalBatchSize": 4,
        "maxSequenceLength": 64,
        "packing": False,
        "lossOn": "completions",
        "evaluateEvery": None,
        "seed": 42,
        "deterministic": False,
        "activationCheckpointing": False,
        "worstCaseStep": False,
    },
    "distributed": {"numNodes": 1, "processesPerNode": 1},
    "checkpoint": {"uri": "file:///nowhere", "everySeconds": 600, "everySteps": None, "keep": 2},
    "output": {
        "uri": "file:///nowhere",
        "forms": ["adapter", "merged"],
        "card": {"intendedUse": "", "limitations": "", "license": "", "contact": ""},
    },
    "report": {"everySeconds": 0.2},
}


def config(**changes: Any) -> dict[str, Any]:
    """The base config with changes named by path: `config(training__maxSteps=2)`."""
    made = copy.deepcopy(BASE)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = made
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place[parent]
        place[int(last) if isinstance(place, list) else last] = value
    return made


def placed(home: Path, model: Path, **changes: Any) -> dict[str, Any]:
    """A config whose data, checkpoints and output lie under `home`."""
    data = home / "data.jsonl"
    if not data.exists():
        write_rows(data, sums(24))
    here = {
        "model__uri": f"file://{model}",
        "datasets__0__uri": f"file://{data}",
        "checkpoint__uri": f"file://{home}/checkpoints",
        "output__uri": f"file://{home}/out",
    }
    return config(**{**here, **changes})


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def sums(count: int) -> list[dict[str, Any]]:
    draw = random.Random(0)
    pairs = [(draw.randint(1, 99), n) for n in range(count)]
    return [chat(f"What is {a} and {b}?", f"It is {a + b}.") for a, b in pairs]


def write_rows(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def artifact_digest(home: Path) -> str:
    """Of the bytes of every published file but the manifest. The card names the data's place, which differs by home."""
    from tunebird_trainer.stores import storage

    files = storage.file_digests(home / "out", leave_out=["tunebird.json", "README.md"])
    card = (home / "out" / "README.md").read_text().replace(str(home), "HOME")
    return storage.digest_of({**files, "README.md": hashlib.sha256(card.encode()).hexdigest()})
