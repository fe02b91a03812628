"""Who makes a request, and whether the request may come from where it comes from."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from devplane.access.certs import SERVICE_NAMES
from devplane.access.rbac import Action
from devplane.access.tokens import InvalidTokenError, Tokens, User
from devplane.errors import ApiError

ADMIN = User("devplane-admin", groups=("system:masters", "system:authenticated"))
ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))

_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", *SERVICE_NAMES})
PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})


class Authentication:
    """Bearer tokens: the admin's, and those of service accounts."""

    def __init__(self, admin_token: str, tokens: Tokens) -> None:
        self._admin_token = admin_token.encode()
        self._tokens = tokens

    def user(self, headers: Mapping[str, str]) -> User:
        """Raises 401 for a token that is not good; no token at all, or another scheme, is the anonymous user."""
        given = headers.get("Authorization", "")
        scheme, _, token = given.partition(" ")
        if not given or scheme.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        if hmac.compare_digest(token.strip().encode(), self._admin_token):
            return ADMIN
        try:
            return self._tokens.verify(token.strip()).user
        except InvalidTokenError:
            raise ApiError.unauthorized() from None


def check_origin(headers: Mapping[str, str]) -> None:
    """A web page must not reach this server through a name that leads to loopback, nor at all from a browser."""
    host = _host(f"//{headers.get('Host', '')}")
    if host not in _LOCAL_HOSTS and not _is_loopback(host):
        raise ApiError(403, "Forbidden", f"host {host!r} is not served; use 127.0.0.1 or localhost", {})
    origin = headers.get("Origin")
    if origin is not None and _host(origin) not in _LOCAL_HOSTS:
        raise ApiError(403, "Forbidden", f"origin {origin!r} is not allowed", {})


def _is_loopback(host: str) -> bool:
    """Such as the Service's; no name leads a browser to an address that it says itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(url: str) -> str:
    """Empty where there is none, or none that can be read, such as ``[::1``."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def forbidden(user: User, action: Action, reason: str = "") -> ApiError:
    """403 in the words of the authorizer."""
    why = f": {reason}" if reason else ""
    if action.path:
        message = f'User "{user.name}" cannot {action.verb} path "{action.path}"'
        return ApiError(403, "Forbidden", f"forbidden: {message}{why}", {})
    plural = action.resource.partition("/")[0]
    scope = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
    where = f'resource "{action.resource}" in API group "{action.group}" {scope}'
    named = f"{plural}.{action.group}" if action.group else plural
    return ApiError.forbidden(named, action.name, f'User "{user.name}" cannot {action.verb} {where}{why}')
