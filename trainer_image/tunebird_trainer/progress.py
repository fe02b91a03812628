"""Tells people and the operator how far a run is. A thread of its own, one report in hand, older ones dropped: training
never waits for a slow terminal or a lost endpoint."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

POST_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    attempt: int
    phase: str
    step: int = 0
    of: int = 0
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: int | None = None
    checkpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to post; the token is read again for every report because the kubelet renews it."""

    url: str
    token_file: Path | None

    @classmethod
    def from_environment(cls) -> Endpoint | None:
        url = os.environ.get("TUNEBIRD_REPORT_URL", "")
        if not url.startswith(("http://", "https://")):
            return None
        token_file = os.environ.get("TUNEBIRD_REPORT_TOKEN_FILE")
        return cls(url, Path(token_file) if token_file else None)

    def post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        if self.token_file:
            headers["Authorization"] = f"Bearer {self.token_file.read_text().strip()}"
        request = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310  only http and https get here
        with urllib.request.urlopen(request, timeout=POST_TIMEOUT_SECONDS) as answer:  # noqa: S310
            answer.read()


class Reporter:
    """Prints and posts the latest progress every few seconds; `close` sends what is left."""

    def __init__(self, every_seconds: float, endpoint: Endpoint | None) -> None:
        self.every_seconds = every_seconds
        self.endpoint = endpoint
        self._latest: Progress | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._complained = ""
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def offer(self, progress: Progress) -> None:
        with self._lock:
            self._latest = progress

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=POST_TIMEOUT_SECONDS + 1)

    def _run(self) -> None:
        while not self._closing.wait(self.every_seconds):
            self._tell()
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            progress, self._latest = self._latest, None
        if progress is None:
            return
        if progress.of:  # before the first step there is nothing to count
            _show(progress)
        if self.endpoint:
            self._post(self.endpoint, progress)

    def _post(self, endpoint: Endpoint, progress: Progress) -> None:
        try:
            endpoint.post(json.dumps(report(progress, datetime.now(UTC))).encode())
        except (OSError, ValueError, urllib.error.URLError) as error:
            self._complain(str(error))

    def _complain(self, problem: str) -> None:
        if problem != self._complained:
            print(f"progress: report not delivered: {problem}; training goes on", flush=True)
        self._complained = problem


def report(progress: Progress, now: datetime) -> dict[str, Any]:
    """The body of a report: Kubeflow's trainerStatus beside what only Tunebird says."""
    numbers = {"loss": progress.loss, "evalLoss": progress.eval_loss, "learningRate": progress.learning_rate,
               "tokensPerSecond": progress.tokens_per_second}  # fmt: skip
    metrics = [{"name": name, "value": f"{value:.6g}"} for name, value in numbers.items() if _finite(value)]
    return {
        "trainerStatus": {
            "progressPercentage": 100 * progress.step // progress.of if progress.of else 0,
            "estimatedRemainingSeconds": progress.eta_seconds,
            "metrics": metrics,
            "lastUpdatedTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "tunebird": {
            "attempt": progress.attempt, "phase": progress.phase, "step": progress.step, "of": progress.of,
            "epoch": progress.epoch, **{name: value if _finite(value) else None for name, value in numbers.items()},
            "etaSeconds": progress.eta_seconds, "checkpoint": progress.checkpoint,
        },
    }  # fmt: skip


def line(progress: Progress) -> str:
    parts = [f"{progress.phase}: step {progress.step}/{progress.of}"]
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch:.2f}")
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4f}")
    if progress.eval_loss is not None:
        parts.append(f"eval loss {progress.eval_loss:.4f}")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:.0f} tok/s")
    if progress.eta_seconds is not None:
        parts.append(f"eta {_duration(progress.eta_seconds)}")
    return "  ".join(parts)


class Speed:
    """Tokens a second and time left, measured over the steps of this process only, or a resumed run would be too
    optimistic."""

    def __init__(self, step: int, tokens: int) -> None:
        self.started = time.monotonic()
        self.step, self.tokens = step, tokens

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def tokens_per_second(self, tokens: int) -> float:
        return round((tokens - self.tokens) / max(self.seconds, 1e-6), 1)

    def eta_seconds(self, step: int, of: int) -> int | None:
        done = step - self.step
        return math.ceil(self.seconds / done * (of - step)) if done > 0 else None


def _show(progress: Progress) -> None:
    if not sys.stdout.isatty():
        print(line(progress), flush=True)
        return
    width = 24
    filled = width * progress.step // progress.of
    end = "\n" if progress.step == progress.of else ""
    print(f"\r\033[K[{'█' * filled}{'·' * (width - filled)}] {line(progress)}", end=end, flush=True)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
