"""From files to token ids: read, check, redact, flag, drop duplicates, hold out, keep evaluation data out, mix,
tokenize once. Tells what it did with each row."""

from tunebird_trainer.data.pipeline import prepare, summary
from tunebird_trainer.data.prepared import Canary, Counts, Prepared

__all__ = ["Canary", "Counts", "Prepared", "prepare", "summary"]
