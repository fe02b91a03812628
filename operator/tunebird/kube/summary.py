"""Messages of Kubernetes, and for the columns of `kubectl get`, at the length that people read. Pure."""

from __future__ import annotations

import re

SUMMARY_LENGTH = 72
# What the scheduler adds of its attempts to make room: of devices (since Kubernetes 1.34) and of pods.
_ATTEMPTS = re.compile(r" (no new claims to deallocate, )?preemption:.*", re.DOTALL)


def shortened(message: str) -> str:
    """The beginning of a message, to the end of a word."""
    if len(message) <= SUMMARY_LENGTH:
        return message
    return f"{message[:SUMMARY_LENGTH].rpartition(' ')[0] or message[:SUMMARY_LENGTH]}…"


def scheduling(message: str) -> str:
    """Why no node takes a pod, in the scheduler's words, without what it tried to make room."""
    return _ATTEMPTS.sub("", message)
