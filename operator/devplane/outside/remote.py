"""A running control plane, asked over HTTPS with its kubeconfig: by `devplane node`, and by tests for its faults."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from devplane.node import FAILED

Obj = dict[str, Any]

SECONDS = 10


class RemoteError(Exception):
    """The control plane can't be reached, or refuses; the message is for people."""


@dataclass(frozen=True, slots=True)
class Remote:
    """`authority` is PEM; `token` is the one that requests carry."""

    url: str
    authority: str
    token: str

    @classmethod
    def of(cls, kubeconfig: Path) -> Remote:
        """As devplane writes kubeconfigs: one cluster, one user with a token."""
        try:
            config = yaml.safe_load(kubeconfig.read_text())
        except OSError as error:
            message = f"{kubeconfig}: {error.strerror}; is it the data directory of a control plane?"
            raise RemoteError(message) from error
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], authority, user["token"])

    def ask(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> tuple[int, Obj]:
        """The code and the JSON of the answer, whatever the code.

        Raises:
            RemoteError: there is no answer.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310 - of the kubeconfig
        trust = ssl.create_default_context(cadata=self.authority)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS, context=trust) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError as error:
            raise RemoteError(f"{self.url} does not answer: {error}; is the control plane running?") from error


def mark_node(kubeconfig: Path, name: str, *, failed: bool) -> None:
    """Let a node fail, or return."""
    body = {"metadata": {"annotations": {FAILED: "true" if failed else None}}}
    code, answer = Remote.of(kubeconfig).ask(
        "PATCH", f"/api/v1/nodes/{name}", body, content_type="application/merge-patch+json"
    )
    if code >= 400:
        raise RemoteError(answer["message"])


class RemoteFaults:
    """Faults on demand of a running control plane (`docs/devplane.md` names them); `token` is that of faults.token."""

    def __init__(self, server: Remote, token: str) -> None:
        self._server = Remote(server.url, server.authority, token)

    def set(self, *rules: Mapping[str, Any]) -> None:
        """These rules are in force from now on, and no others.

        Raises:
            ValueError: a rule can't be meant.
        """
        self._done("PUT", "faults", {"faults": rules})

    def clear(self) -> None:
        self._done("DELETE", "faults")

    def struck(self) -> list[int]:
        """How often each of the rules struck, in their order."""
        return [one["struck"] for one in self._done("GET", "faults")["faults"]]

    def kill(self, namespace: str, pod: str, container: str) -> None:
        """SIGKILL to all processes of a container."""
        self._done("POST", "kill", {"namespace": namespace, "pod": pod, "container": container})

    def _done(self, method: str, what: str, body: Any = None) -> Obj:
        code, answer = self._server.ask(method, f"/devplane/{what}", body)
        if code >= 400:
            raise ValueError(answer["message"])
        return answer
