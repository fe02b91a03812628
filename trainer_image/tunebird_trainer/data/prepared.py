"""What preparation hands on: columns of token ids on disk, what became of every row, and a digest over what the model
sees."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tunebird_trainer.data.work import built, plain

if TYPE_CHECKING:
    from pathlib import Path

    import datasets

    from tunebird_trainer.data.formats import Message


FACTS = "prepared.json"


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of one dataset's rows."""

    name: str
    uri: str
    format: str
    digest: str
    license: str
    rows: int
    revision: str = ""
    invalid: int = 0
    duplicates: int = 0
    near_duplicates: int = 0
    unsafe: int = 0  # dropped as such; the report counts those that were flagged
    contaminated: int = 0
    left_out: int = 0  # by limit or weight
    too_long: int = 0
    placeholders: int = 0
    held_out: int = 0
    trained: int = 0  # rows, each once
    repeated: int = 0  # how often rows were taken again to reach the weight


@dataclass(frozen=True, slots=True)
class Canary:
    """A random sequence planted in the training data, to measure how far the model memorises (Carlini et al. 2019,
    "The Secret Sharer"). Its space is `alphabet` to the power of the secret's length."""

    prompt: str  # asked as a user, or the text before the secret
    answer: str  # as planted; holds the secret
    secret: str
    alphabet: str
    copies: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """`train` and `validation` have the columns input_ids and labels (-100 is not learned), or for preference training
    prompt_ids, chosen_ids and rejected_ids; they are memory-mapped. `report` is for the model card, see `report.py`."""

    train: datasets.Dataset
    validation: datasets.Dataset
    counts: tuple[Counts, ...]
    prompts: tuple[tuple[Message, ...], ...]  # openings of rows to try, held-out ones first; none for documents
    digest: str
    tokens: int  # of train, each sequence once
    learned: int  # of these in the loss
    report: dict[str, Any] = field(default_factory=dict)
    canaries: tuple[Canary, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All of Prepared but its columns, as kept beside them."""

    counts: tuple[Counts, ...]
    prompts: tuple[tuple[Message, ...], ...]
    digest: str
    tokens: int
    learned: int
    report: dict[str, Any]
    canaries: tuple[Canary, ...]

    def write(self, path: Path) -> None:
        facts = asdict(self) | {"prompts": plain(self.prompts)}
        path.write_text(json.dumps(facts, indent=1))


def read(path: Path, train: datasets.Dataset, validation: datasets.Dataset) -> Prepared:
    facts = json.loads(path.read_text())
    return Prepared(
        train,
        validation,
        counts=tuple(Counts(**each) for each in facts["counts"]),
        prompts=built(facts["prompts"]),
        digest=facts["digest"],
        tokens=facts["tokens"],
        learned=facts["learned"],
        report=facts["report"],
        canaries=tuple(Canary(**each) for each in facts["canaries"]),
    )
