"""How to reach the API server: kubeconfig, service account or exec plugin, read by the kubernetes package.

Only its `config` is used. Since release 37 it imports its models lazily, so that this costs some 20 MB and not 100.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tunebird.kube.errors import Unavailable


class Authorization(Protocol):
    """Answers the Authorization header of this moment: a service account's token is rotated within the hour."""

    async def __call__(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Login:
    """One way to the API server. Paths may be temporary files that hold what a kubeconfig has inline."""

    server: str
    ca_path: str | None
    certificate_path: str | None
    key_path: str | None
    verify: bool
    proxy: str | None
    server_name: str | None
    authorization: Authorization

    def ssl_context(self) -> ssl.SSLContext:
        """Trusts the cluster's CA alone where one is named, the system's otherwise."""
        context = ssl.create_default_context(cafile=self.ca_path)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_path:
            context.load_cert_chain(self.certificate_path, self.key_path)
        return context


async def login() -> Login:
    """An explicit KUBECONFIG wins, then the pod's service account, then ~/.kube/config.

    Raises `Unavailable` with the reason: the token's file may not be there yet.
    """
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

    configuration = Configuration()
    try:
        if _in_cluster():
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            options = {"config_file": _kubeconfig(), "persist_config": False}
            await load_kube_config(client_configuration=configuration, **options)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, TypeError) as error:
        raise Unavailable(f"cannot log in to Kubernetes: {error}") from error

    async def authorization() -> str | None:
        header = await configuration.get_api_key_with_prefix("BearerToken")
        return None if header is None else header.strip().replace("bearer ", "Bearer ", 1)

    return Login(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        certificate_path=configuration.cert_file,
        key_path=configuration.key_file,
        verify=configuration.verify_ssl,
        proxy=configuration.proxy,
        server_name=configuration.tls_server_name,
        authorization=authorization,
    )


def _in_cluster() -> bool:
    return "KUBECONFIG" not in os.environ and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def _kubeconfig() -> str:
    paths = os.environ.get("KUBECONFIG") or "~/.kube/config"
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        raise Unavailable(
            f"cannot log in to Kubernetes: there is no kubeconfig at {paths} and this is not a pod; set KUBECONFIG"
        )
    return paths
