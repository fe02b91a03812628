"""From tokens to text, piece by piece: characters that span tokens are held back, and so is what may become a stop."""

from collections.abc import Callable, Sequence

_INCOMPLETE = "\ufffd"


class Pieces:
    """Decodes a growing list of tokens. `decode` turns token ids into text, special tokens left out."""

    def __init__(self, decode: Callable[[Sequence[int]], str]):
        self._decode = decode
        self._tokens: list[int] = []
        self._start = 0  # decoding begins here: a token's text may depend on the one before it
        self._read = 0  # tokens before this one have been returned

    def add(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        self._tokens.append(token)
        text = self._unread()
        if not text or text.endswith(_INCOMPLETE):
            return ""
        self._start, self._read = self._read, len(self._tokens)
        return text

    def flush(self) -> str:
        """What is left, incomplete characters included."""
        text = self._unread()
        self._start = self._read = len(self._tokens)
        return text

    def _unread(self) -> str:
        known = self._decode(self._tokens[self._start : self._read])
        return self._decode(self._tokens[self._start :])[len(known) :]


class Stops:
    """Cuts text at the first stop string; the stop itself is never returned."""

    def __init__(self, stops: Sequence[str]):
        self._stops = tuple(stops)
        self._hold = max((len(stop) for stop in stops), default=1) - 1
        self._held = ""
        self.found: str | None = None

    def add(self, text: str) -> str:
        """The part of the text that is safe to send."""
        text = self._held + text
        hits = [(text.index(stop), stop) for stop in self._stops if stop in text]
        if hits:
            at, self.found = min(hits)
            self._held = ""
            return text[:at]
        cut = len(text) - self._hold if self._hold else len(text)
        self._held = text[max(cut, 0) :]
        return text[: max(cut, 0)]

    def flush(self) -> str:
        text, self._held = self._held, ""
        return text
