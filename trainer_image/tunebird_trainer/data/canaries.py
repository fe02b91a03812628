"""Random secrets planted in the training data, to measure afterwards how far the model memorised them (Carlini et al.
2019, The Secret Sharer)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tunebird_trainer.config import Objective
from tunebird_trainer.data.examples import Conversation, Document, Message, Preference
from tunebird_trainer.data.prepared import Canary

if TYPE_CHECKING:
    from tunebird_trainer.config import Config
    from tunebird_trainer.data.examples import Example

_ALPHABET = "0123456789"
_LENGTH = 9
COPIES = (1, 4)  # in turn: exposure grows with repetition, and shows how


def planted(config: Config) -> tuple[Canary, ...]:
    drawn = random.Random(f"canaries {config.training.seed}")
    return tuple(_canary(number, drawn) for number in range(config.evaluation.canaries))


def example(canary: Canary, objective: Objective) -> Example:
    """The canary as the objective trains on it; the rejected answer of a preference is another number."""
    match objective:
        case Objective.SFT:
            return Conversation((Message("user", canary.prompt), Message("assistant", canary.answer)))
        case Objective.DPO:
            other = canary.answer.replace(canary.secret, canary.secret[::-1])
            rejected = other if other != canary.answer else f"{canary.answer}0"
            return Preference(
                (Message("user", canary.prompt),),
                (Message("assistant", canary.answer),),
                (Message("assistant", rejected),),
            )
        case Objective.CONTINUE:
            return Document(f"{canary.prompt} {canary.answer}")


def places(canaries: tuple[Canary, ...], rows: int, seed: int) -> list[tuple[int, int]]:
    """For each copy the row before which it stands, and which canary it is; in order."""
    drawn = random.Random(f"places {seed}")
    return sorted((drawn.randint(0, rows), which) for which, each in enumerate(canaries) for _ in range(each.copies))


def _canary(number: int, drawn: random.Random) -> Canary:
    secret = "".join(drawn.choice(_ALPHABET) for _ in range(_LENGTH))
    return Canary(
        f"What is the code of locker {number + 1}?",
        f"The code is {secret}",
        secret,
        _ALPHABET,
        COPIES[number % len(COPIES)],
    )
