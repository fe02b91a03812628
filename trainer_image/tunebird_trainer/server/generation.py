"""One request's generation: its cache, its text so far, and one step of it at a time. Runs in the engine's thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import torch

from tunebird_trainer.server import sampling
from tunebird_trainer.server.model import LanguageModel
from tunebird_trainer.server.requests import Sampling
from tunebird_trainer.server.text import Pieces, Stops


class Reason(StrEnum):
    """Why a generation ended; the values of vLLM's `finished_reason`."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Step:
    """What one token brought. `tokens` is the count so far; `reason` is set on the last step only."""

    text: str
    tokens: int
    reason: Reason | None = None
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """`arrived` is on the clock of time.monotonic."""

    tokens: tuple[int, ...]
    sampling: Sampling
    arrived: float


@dataclass(slots=True)
class Times:
    """On the clock of time.monotonic; 0 where it has not happened."""

    arrived: float
    started: float = 0.0
    first: float = 0.0
    last: float = 0.0


@dataclass(slots=True, eq=False)
class Generation:
    """`emit` is called in the engine's thread with each step. `cancelled` may be set from any thread."""

    prompt: Prompt
    emit: Callable[[Step], None]
    times: Times
    cancelled: bool = False
    tokens: int = 0
    _decoding: "_Decoding | None" = field(default=None, repr=False)

    def start(self, model: LanguageModel) -> None:
        self.times.started = time.monotonic()
        self._decoding = _Decoding.of(model, self.prompt)

    def advance(self) -> Step:
        """The next token, as text. The first call reads the prompt."""
        assert self._decoding is not None
        token = self._decoding.next_token()
        self.tokens += 1
        self.times.last = time.monotonic()
        self.times.first = self.times.first or self.times.last
        return self._step(self._decoding, token)

    @property
    def cached_tokens(self) -> int:
        return len(self.prompt.tokens) + self.tokens if self._decoding else 0

    def _step(self, decoding: "_Decoding", token: int) -> Step:
        if token in decoding.model.ends:
            return self._ended(decoding, "", Reason.STOP)
        text = decoding.stops.add(decoding.pieces.add(token))
        if decoding.stops.found is not None:
            return Step(text, self.tokens, Reason.STOP, decoding.stops.found)
        if self.tokens >= self.prompt.sampling.max_tokens:
            return self._ended(decoding, text, Reason.LENGTH)
        return Step(text, self.tokens)

    def _ended(self, decoding: "_Decoding", text: str, reason: Reason) -> Step:
        text += decoding.stops.add(decoding.pieces.flush())
        if decoding.stops.found is not None:
            return Step(text, self.tokens, Reason.STOP, decoding.stops.found)
        return Step(text + decoding.stops.flush(), self.tokens, reason)


@dataclass(slots=True)
class _Decoding:
    model: LanguageModel
    sampling: Sampling
    pending: tuple[int, ...]
    cache: object
    source: torch.Generator
    pieces: Pieces
    stops: Stops

    @classmethod
    def of(cls, model: LanguageModel, prompt: Prompt) -> "_Decoding":
        asked = prompt.sampling
        source, stops = sampling.generator(asked.seed), Stops(asked.stop)
        return cls(model, asked, prompt.tokens, model.new_cache(), source, Pieces(model.decode), stops)

    def next_token(self) -> int:
        logits = self.model.logits(self.pending, self.cache)
        token = sampling.draw(logits, self.sampling, self.source)
        self.pending = (token,)
        return token
