"""A kubeconfig for a pod whose service account's token is mounted: the usual in-cluster path can't be there for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from devplane.context import Context

ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def kubeconfig(pod: Mapping[str, Any], context: Context, directory: Path) -> Path | None:
    """Written to the pod's directory; None where no token is mounted at the usual place."""
    mounts = (mount for one in pod["spec"]["containers"] for mount in one.get("volumeMounts") or ())
    name = next((mount["name"] for mount in mounts if mount["mountPath"] == ACCOUNT_PATH), None)
    if name is None:
        return None
    account = directory / "volumes" / name
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "devplane",
                "cluster": {"server": context.server_url, "certificate-authority": str(account / "ca.crt")},
            }
        ],
        "users": [{"name": "pod", "user": {"tokenFile": str(account / "token")}}],
        "contexts": [
            {
                "name": "devplane",
                "context": {"cluster": "devplane", "user": "pod", "namespace": pod["metadata"]["namespace"]},
            }
        ],
        "current-context": "devplane",
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
