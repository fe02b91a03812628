"""Trainers on a tiny model in this process, on columns of token ids that need no files."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import datasets

from trainer.factories import placed
from tunebird_trainer import config_file
from tunebird_trainer.config import Objective
from tunebird_trainer.data.prepared import Prepared
from tunebird_trainer.survival.checkpoints import Checkpoints, Fingerprint
from tunebird_trainer.training.keeper import Keeper, Watch
from tunebird_trainer.training.loading import load_model
from tunebird_trainer.training.trainer import Start, build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tunebird_trainer.config import Config

FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
DPO = {"method__objective": "dpo"}
VOCABULARY = range(5, 395)


def config(home: Path, model: Path, **changes: Any) -> Config:
    return config_file.parse(placed(home, model, **changes))


def labelled(count: int, seed: int = 0) -> datasets.Dataset:
    """Rows of 4 to 40 tokens, the first half not learned."""
    draw = random.Random(seed)
    rows = [draw.choices(VOCABULARY, k=draw.randint(4, 40)) for _ in range(count)]
    labels = [[-100] * (len(row) // 2) + row[len(row) // 2 :] for row in rows]
    return datasets.Dataset.from_dict({"input_ids": rows, "labels": labels})


def pairs(count: int, seed: int = 0) -> datasets.Dataset:
    """Chosen answers are made of small ids, rejected ones of large ids: easily learned."""
    draw = random.Random(seed)

    def words(part: range) -> list[list[int]]:
        return [draw.choices(part, k=draw.randint(2, 20)) for _ in range(count)]

    columns = {
        "prompt_ids": words(VOCABULARY),
        "chosen_ids": words(range(5, 100)),
        "rejected_ids": words(range(300, 395)),
    }
    return datasets.Dataset.from_dict(columns)


def prepared(config: Config, train: int = 12, validation: int = 4) -> Prepared:
    rows = pairs if config.method.objective is Objective.DPO else labelled
    return Prepared(rows(train), rows(validation, seed=1), (), (), "sha256:0", 0, 0)


def trainer(
    config: Config,
    tokenizer: Any,
    data: Prepared,
    root: Path,
    start: Start | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Any:
    checkpoints = Checkpoints(root / "checkpoints", config.checkpoint.keep, Fingerprint("m", "d", "c", "x"))
    checkpoints.root.mkdir(parents=True, exist_ok=True)
    watch = Watch(stop, lambda _: None, lambda _: None, 1)
    from tunebird_trainer.stores import sources

    model = load_model(sources.fetch_model(config.model), config)
    return build(config, model, tokenizer, data, Keeper(config, checkpoints, watch), start or Start())


def weights(trained: Any) -> dict[str, bytes]:
    return {
        name: each.detach().float().numpy().tobytes()
        for name, each in trained.model.named_parameters()
        if each.requires_grad
    }
