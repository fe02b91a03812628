"""What the operator's environment decides for every FineTuneJob."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FineTuneJobSettings:
    """`report_url` is how trainer pods reach the operator; empty: they don't report progress."""

    trainer_image: str
    report_url: str = ""
    allow_file_uris: bool = False
