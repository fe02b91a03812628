"""Structured logs: what happened, and the names it happened to. No spec, token or Secret is ever a field.

log.info("Applied HTTPRoute", extra={"object": str(key)})
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

Format = Literal["json", "text"]

# What every record has; the rest was given as `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# kopf hangs whole objects and its settings onto its records.
_FOREIGN = frozenset({"k8s_ref", "k8s_skip", "k8s_settings", "settings"})


def configure(form: Format, level: int = logging.INFO) -> None:
    """Log to stderr; what kopf says about each object is kept down to warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    logging.getLogger("kopf.activities").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The `extra` of a record."""
    return {key: value for key, value in vars(record).items() if key not in _OWN and key not in _FOREIGN}


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """For people: time, level, message, key=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class's name
        told = " ".join(f"{key}={value}" for key, value in fields(record).items())
        return f"{super().formatMessage(record)} {told}".rstrip()
