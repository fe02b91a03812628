"""The API as plain requests, over the connection of the `kubernetes` package, which knows every way to log in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiClient

Obj = dict[str, Any]

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Answer:
    code: int
    body: Any
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


@dataclass(frozen=True)
class Raw:
    """Requests in a namespace: ``raw.at("configmaps", "one")`` is a path there."""

    api: ApiClient
    namespace: str

    def at(self, resource: str, name: str = "", sub: str = "", group: str = "") -> str:
        """`group` as in ``apps/v1``; empty is the core group."""
        root = f"/apis/{group}" if group else "/api/v1"
        parts = [root, "namespaces", self.namespace, resource, name, sub]
        return "/".join(part for part in parts if part)

    def ask(
        self, method: str, path: str, body: Any = None, kind: str = JSON, accept: str = JSON, **query: Any
    ) -> Answer:
        """`body` is JSON, or bytes of `kind`. Keyword arguments are the query; they lose a last `_` (``continue_``)."""
        answer = self._send(method, path, body, kind, accept, query)
        data = answer.read()
        return Answer(answer.status, json.loads(data) if data[:1] in (b"{", b"[") else data, dict(answer.headers))

    def _send(self, method: str, path: str, body: Any, kind: str, accept: str, query: Obj) -> Any:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = kind
        words = [(key.rstrip("_"), str(value)) for key, value in query.items()]
        serialized = self.api.param_serialize(
            method, path, query_params=words, header_params=headers, auth_settings=["BearerToken"]
        )
        _, url, sent, _, _ = serialized
        text = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        pool = self.api.rest_client.pool_manager
        return pool.request(method, url, body=text, headers=sent, preload_content=False, retries=False, timeout=30)

    def get(self, path: str, **query: Any) -> Answer:
        return self.ask("GET", path, **query)

    def create(self, path: str, body: Obj, **query: Any) -> Answer:
        return self.ask("POST", path, body, **query)

    def made(self, path: str, body: Obj, **query: Any) -> Obj:
        """Create it; fails unless it is there afterwards."""
        answer = self.create(path, body, **query)
        assert answer.code == 201, answer.body
        found: Obj = answer.body
        return found

    def apply(self, path: str, body: Obj, manager: str, **query: Any) -> Answer:
        return self.ask("PATCH", path, body, APPLY, fieldManager=manager, **query)

    @contextmanager
    def watch(self, path: str, accept: str = JSON, **query: Any) -> Iterator[Iterator[Obj]]:
        """The events of a watch, as long as they are asked for; it ends by itself after ten seconds."""
        answer = self._send("GET", path, None, JSON, accept, {"watch": "true", "timeoutSeconds": 10, **query})
        assert answer.status == 200, answer.read()
        try:
            yield _lines(answer)
        finally:
            answer.close()


def _lines(answer: Any) -> Iterator[Obj]:
    held = b""
    for chunk in answer.stream(65536, decode_content=True):
        held += chunk
        *whole, held = held.split(b"\n")
        for line in whole:
            yield json.loads(line)
