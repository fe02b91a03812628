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
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

POST_TIMEOUT_SECONDS = 5.0
WINDOW = 20  # steps that speed and time left are measured over


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
    activity: str = ""  # within the phase, where no step tells it: "10/20 answers"


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
        self._shown: Progress | None = None
        self._showing = threading.Lock()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._complained = ""
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def offer(self, progress: Progress) -> None:
        with self._lock:
            self._latest = progress

    def show(self) -> None:
        """Print what is in hand now: something else is about to be printed."""
        with self._lock:
            progress = self._latest
        if progress is not None:
            self._show_news(progress)

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
        self._show_news(progress)
        if self.endpoint:
            self._post(self.endpoint, progress)

    def _show_news(self, progress: Progress) -> None:
        """Not before the first step, when there is nothing to count, and nothing twice because a phase or what is done
        in it has changed: the log tells that in lines of its own."""
        news = replace(progress, phase="", checkpoint=None, activity="")
        with self._showing:
            if progress.of and news != self._shown:
                self._shown = news
                _show(progress)

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
            "etaSeconds": progress.eta_seconds, "checkpoint": progress.checkpoint, "activity": progress.activity,
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
    """Tokens a second and time left, from the latest steps of this process. Its first step, which also compiles and
    skips what an earlier attempt trained on, counts for nothing; evaluations and checkpoints count as time that a step
    brings with it, not as time to train."""

    def __init__(self, tokens: int) -> None:
        self._mark, self._tokens = time.monotonic(), tokens
        self._laps: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self._steps = 0
        self._interrupted_seconds = 0.0
        self.last_tokens_per_second = 0.0  # of the step in hand, the first one too

    def step(self, tokens: int) -> None:
        """A step has ended, after which so many tokens were seen."""
        seconds, learned = self._elapsed(), tokens - self._tokens
        self._tokens = tokens
        self.last_tokens_per_second = round(learned / max(seconds, 1e-6), 1)
        if self._steps:
            self._laps.append((seconds, learned))
        self._steps += 1

    def interrupted(self) -> None:
        """What has gone by since the last step was no training."""
        seconds = self._elapsed()
        if self._steps:
            self._interrupted_seconds += seconds

    def tokens_per_second(self) -> float | None:
        if not self._laps:
            return None
        return round(sum(tokens for _, tokens in self._laps) / max(self._seconds, 1e-6), 1)

    def eta_seconds(self, step: int, of: int) -> int | None:
        if not self._laps:
            return 0 if step == of else None
        each = self._seconds / len(self._laps) + self._interrupted_seconds / self._steps
        return math.ceil(each * (of - step))

    @property
    def _seconds(self) -> float:
        return sum(seconds for seconds, _ in self._laps)

    def _elapsed(self) -> float:
        before, self._mark = self._mark, time.monotonic()
        return self._mark - before


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
