"""What `devplane node` asks of a running control plane, over HTTPS with its kubeconfig."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from devplane.node import FAILED

SECONDS = 10


class RemoteError(Exception):
    """The control plane can't be reached, or refuses; the message is for people."""


def mark_node(kubeconfig: Path, name: str, *, failed: bool) -> None:
    """Let a node fail, or return."""
    body = {"metadata": {"annotations": {FAILED: "true" if failed else None}}}
    _request(kubeconfig, "PATCH", f"/api/v1/nodes/{name}", body)


def _request(kubeconfig: Path, method: str, path: str, body: dict[str, Any]) -> None:
    try:
        config = yaml.safe_load(kubeconfig.read_text())
    except OSError as error:
        raise RemoteError(f"{kubeconfig}: {error.strerror}; is it the data directory of a control plane?") from error
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "application/merge-patch+json"}
    request = urllib.request.Request(  # noqa: S310 - the server of the kubeconfig
        f"{cluster['server']}{path}", json.dumps(body).encode(), headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS, context=ssl.create_default_context(cadata=authority)):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        raise RemoteError(json.loads(error.read())["message"]) from error
    except OSError as error:
        raise RemoteError(f"{cluster['server']} does not answer: {error}; is the control plane running?") from error
