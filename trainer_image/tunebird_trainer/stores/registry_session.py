"""One conversation with an OCI registry: its address, its tokens, and when to ask again."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebird_trainer.outcome import Failure, Reason

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")
_WAITS_SECONDS = (1, 2, 4)
_TIMEOUT_SECONDS = (15, 600)  # to connect, and without a byte


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    repository: str
    reference: str  # a tag or sha256:<hex>

    @classmethod
    def of(cls, uri: str) -> Address:
        match = re.fullmatch(r"oci://([^/]+)/([a-z0-9._/-]+?)(?::([\w][\w.-]{0,127})|@(sha256:[0-9a-f]{64}))", uri)
        if not match:
            remedy = "write oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:DIGEST"
            raise Failure(Reason.INVALID_CONFIG, f"{uri!r} is no address in a registry; {remedy}")
        host, repository, tag, digest = match.groups()
        return cls(host, repository, tag or digest)

    def url(self, kind: str, reference: str) -> str:
        """In the clear on this host alone."""
        plain = _LOOPBACK.fullmatch(self.host)
        return f"{'http' if plain else 'https'}://{self.host}/v2/{self.repository}/{kind}/{reference}"


def problem(uri: str) -> str:
    """What is wrong with an `oci://` address; nothing is with others."""
    if not uri.startswith("oci://"):
        return ""
    try:
        Address.of(uri)
    except Failure as failure:
        return failure.message
    return ""


class Session:
    """Requests with the token that the registry asks for. Broken connections and 5xx are tried again with a wait."""

    def __init__(self, address: Address) -> None:
        import requests

        self.address = address
        self.http = requests.Session()

    def ask(self, method: str, url: str, **rest: Any) -> Any:
        """The registry's answer, whatever its status.

        Raises:
            requests.RequestException: nothing answered, after four tries.
        """
        answer = self._patiently(method, url, **rest)
        if answer.status_code == 401 and self._logged_in(answer.headers.get("WWW-Authenticate", "")):
            answer = self._patiently(method, url, **rest)
        return answer

    def _patiently(self, method: str, url: str, **rest: Any) -> Any:
        import requests

        for wait in (*_WAITS_SECONDS, None):
            if hasattr(rest.get("data"), "seek"):
                rest["data"].seek(0)
            try:
                answer = self.http.request(method, url, timeout=_TIMEOUT_SECONDS, **rest)
            except requests.ConnectionError:
                if wait is None:
                    raise
            else:
                if answer.status_code < 500 or wait is None:
                    return answer
            time.sleep(wait or 0)
        raise AssertionError("unreachable")

    def _logged_in(self, challenge: str) -> bool:
        """Answer a challenge (RFC 6750, and the token endpoint of the distribution specification)."""
        kind, _, rest = challenge.partition(" ")
        login = _login(self.address.host)
        if kind.lower() == "basic" and login:
            self.http.auth = login
            return True
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if kind.lower() != "bearer" or "realm" not in asked:
            return False
        query = {key: asked[key] for key in ("service", "scope") if key in asked}
        answer = self.http.get(asked["realm"], params=query, auth=login, timeout=_TIMEOUT_SECONDS)
        if answer.status_code != 200:
            return False
        token = answer.json().get("token") or answer.json().get("access_token")
        self.http.headers["Authorization"] = f"Bearer {token}"
        return bool(token)


def _login(host: str) -> tuple[str, str] | None:
    """From the environment, else from Docker's config."""
    user, password = os.environ.get("REGISTRY_USERNAME"), os.environ.get("REGISTRY_PASSWORD")
    if user and password:
        return user, password
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        auth = json.loads((home / "config.json").read_text())["auths"][host]["auth"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    user, _, password = base64.b64decode(auth).decode().partition(":")
    return user, password
