"""How kopf logs in, with what the operator's own client uses, and how it ends."""

from __future__ import annotations

from typing import Any

import kopf

from tunebird.kube.login import login


def register(registry: kopf.OperatorRegistry) -> None:
    """Tell kopf; it asks again when the API server no longer accepts what it got."""
    kopf.on.login(registry=registry)(logged_in)
    kopf.on.cleanup(registry=registry)(stopping)


async def logged_in(**_: Any) -> kopf.ConnectionInfo:
    """The connection that kopf's watches use."""
    access = await login()
    scheme, _space, token = (await access.authorization() or "").partition(" ")
    return kopf.ConnectionInfo(
        server=access.server,
        ca_path=access.ca_path,
        insecure=not access.verify,
        scheme=scheme or None,
        token=token or None,
        certificate_path=access.certificate_path,
        private_key_path=access.key_path,
        proxy_url=access.proxy,
    )


async def stopping(memo: Any, **_: Any) -> None:
    """Release kopf's own waiter for the flag, or it waits five seconds for it (kopf 1.45.2, `run_tasks`)."""
    memo.app.stopping.set()
