"""From files to token ids: read, check, redact, flag, drop duplicates, hold out, keep evaluation data out, mix,
tokenize once. Tells what it did with each row."""

from tunebird_trainer.data.pipeline import prepare
from tunebird_trainer.data.prepared import Canary, Counts, Prepared
from tunebird_trainer.data.reporting import summary

__all__ = ["Canary", "Counts", "Prepared", "prepare", "summary"]
