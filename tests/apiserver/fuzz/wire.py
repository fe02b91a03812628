"""HTTPS to a devplane, down to single bytes: connections that are kept, and requests that no client library sends."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from devplane.outside.remote import Remote

Obj = dict[str, Any]

SECONDS = 120
JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML = "application/yaml"


@dataclass(frozen=True)
class Answer:
    """What came back; `asked` is for messages."""

    code: int
    kind: str
    raw: bytes
    asked: str = ""

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    def __str__(self) -> str:
        return f"{self.asked} → {self.code} {self.kind} {self.raw[:600]!r}"


@dataclass
class Wire:
    """One kept connection, opened when it is needed."""

    server: Remote
    _kept: list[http.client.HTTPSConnection] = field(default_factory=list)

    @classmethod
    def of(cls, kubeconfig: Path) -> Wire:
        return cls(Remote.of(kubeconfig))

    @property
    def _address(self) -> tuple[str, int]:
        parts = urlsplit(self.server.url)
        return parts.hostname or "", parts.port or 443

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.server.authority)

    def _connection(self) -> http.client.HTTPSConnection:
        host, port = self._address
        return http.client.HTTPSConnection(host, port, context=self._trust(), timeout=SECONDS)

    def send(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; a kept connection that was closed meanwhile is opened anew, a fresh one that is closed fails."""
        sent = {"Authorization": f"Bearer {self.server.token}", **(headers or {})}
        if self._kept:
            with suppress(OSError, http.client.HTTPException):
                return self._through(self._kept[0], method, path, data, sent)
            self.close()
        self._kept.append(self._connection())
        return self._through(self._kept[0], method, path, data, sent)

    def _through(
        self, connection: http.client.HTTPSConnection, method: str, path: str, data: bytes | None, sent: Obj
    ) -> Answer:
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        shown = f"{method} {path} {data[:400]!r}" if data else f"{method} {path}"
        return Answer(answer.status, answer.headers.get("Content-Type", ""), answer.read(), shown)

    def ask(
        self, method: str, path: str, body: Any = None, kind: str = JSON, accept: str = JSON, **query: Any
    ) -> Answer:
        """`body` is JSON; keyword arguments are the query (``continue_`` loses its underscore)."""
        words = urlencode({key.rstrip("_"): str(value) for key, value in query.items()})
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, **({"Content-Type": kind} if data else {})}
        return self.send(method, f"{path}?{words}" if words else path, data, headers)

    def made(self, path: str, body: Obj) -> Obj:
        """Created, or the test fails."""
        answer = self.ask("POST", path, body)
        assert answer.code == 201, answer
        found: Obj = answer.body
        return found

    def bytes(self, request: bytes) -> bytes:
        """What a connection answers to `request`, until it closes or the answer is whole."""
        with socket.create_connection(self._address, SECONDS) as plain:
            trust = self._trust()
            with trust.wrap_socket(plain, server_hostname=self._address[0]) as secure:
                with suppress(OSError):  # closed by the server while we send: its answer counts
                    secure.sendall(request)
                return _answered(secure)

    @contextmanager
    def watch(self, path: str, **query: Any) -> Iterator[Iterator[Obj]]:
        """The events of a watch, on a connection of its own."""
        connection = self._connection()
        words = urlencode({"watch": "true", **query})
        connection.request("GET", f"{path}?{words}", headers={"Authorization": f"Bearer {self.server.token}"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        try:
            yield (json.loads(line) for line in answer)
        finally:
            connection.close()

    def close(self) -> None:
        while self._kept:
            self._kept.pop().close()


def _answered(connection: ssl.SSLSocket) -> bytes:
    answer = http.client.HTTPResponse(connection)
    try:
        answer.begin()
        return b"%d %b" % (answer.status, answer.read())
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        answer.close()
