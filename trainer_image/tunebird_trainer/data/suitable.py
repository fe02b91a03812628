"""Which formats of rows each objective trains on, and what to do where the two don't meet."""

from __future__ import annotations

from tunebird_trainer.config import Objective
from tunebird_trainer.data.formats import Format

FORMATS: dict[Objective, tuple[Format, ...]] = {
    Objective.SFT: (Format.MESSAGES, Format.PROMPT_COMPLETION, Format.ALPACA, Format.SHAREGPT),
    Objective.DPO: (Format.PREFERENCE,),
    Objective.CONTINUE: (Format.TEXT,),
}


def mismatch(objective: Objective, chosen: Format) -> str | None:
    """Why the objective can't train on such rows, and the remedy; None when it can."""
    if chosen in FORMATS[objective]:
        return None
    trains = next((each for each, formats in FORMATS.items() if chosen in formats), None)
    remedy = f"use method.objective: {trains}" if trains else "no objective of this version trains on labelled answers"
    return f"format {chosen} is not for objective {objective}, which takes {' | '.join(FORMATS[objective])}; {remedy}"
