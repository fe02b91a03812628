"""Messages for the columns of `kubectl get`. Pure."""

from __future__ import annotations

SUMMARY_LENGTH = 72


def shortened(message: str) -> str:
    """The beginning of a message, to the end of a word."""
    if len(message) <= SUMMARY_LENGTH:
        return message
    return f"{message[:SUMMARY_LENGTH].rpartition(' ')[0] or message[:SUMMARY_LENGTH]}…"
