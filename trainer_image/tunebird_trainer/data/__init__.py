"""From files to token ids: read, check, redact, flag, drop duplicates, hold out, keep evaluation data out, mix,
tokenize once. `pipeline.py` tells it from top to bottom."""
