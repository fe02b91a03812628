"""Impersonation: whom a request wants to be taken for, and what its sender must be allowed for that.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from devplane.access.rbac import Action
from devplane.access.tokens import User
from devplane.errors import ApiError

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_USER, _GROUP, _UID, _EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-"
_AUTHENTICATION = "authentication.k8s.io"
_ANONYMOUS = "system:anonymous"
_KNOWN, _UNKNOWN = "system:authenticated", "system:unauthenticated"


def impersonated(headers: CIMultiDictProxy[str]) -> User | None:
    """The user that the headers name, or None where they name nobody."""
    name, uid = _text(headers.get(_USER, "")), _text(headers.get(_UID, ""))
    groups, extra = _groups(headers), _extra(headers)
    if not name:
        if groups or extra or uid:
            raise _nobody(groups, uid, extra)
        return None
    return User(name, uid, _completed(name, groups or _groups_of(name)), extra)


def _nobody(groups: tuple[str, ...], uid: str, extra: dict[str, list[str]]) -> ApiError:
    """What was asked for, as Go prints references to objects: kind, namespace, name, uid, version, …, field."""
    asked = [f"{{Group  {one}    }}" for one in groups]
    asked += [f"{{UserExtra  {one}  {_AUTHENTICATION}/v1  {key}}}" for key, values in extra.items() for one in values]
    asked += [f"{{UID  {uid}  {_AUTHENTICATION}/v1  }}"] if uid else []
    return ApiError.bad_request(f"requested [{' '.join(asked)}] without impersonating a user")


def needed(headers: CIMultiDictProxy[str], user: User) -> list[Action]:
    """What somebody must be allowed to do in order to be taken for `user`."""
    found = [_as_user(user.name)]
    found += [Action("impersonate", resource="groups", name=one) for one in _groups(headers)]
    for key, values in user.extra.items():
        found += [Action("impersonate", _AUTHENTICATION, f"userextras/{key}", name=one) for one in values]
    if user.uid:
        found.append(Action("impersonate", _AUTHENTICATION, "uids", name=user.uid))
    return found


def _as_user(name: str) -> Action:
    match name.split(":"):
        case ["system", "serviceaccount", namespace, account]:
            return Action("impersonate", resource="serviceaccounts", namespace=namespace, name=account)
        case _:
            return Action("impersonate", resource="users", name=name)


def _extra(headers: CIMultiDictProxy[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in headers.items():
        if key.lower().startswith(_EXTRA.lower()):
            found.setdefault(unquote(key[len(_EXTRA) :].lower()), []).append(_text(value))
    return found


def _groups(headers: CIMultiDictProxy[str]) -> tuple[str, ...]:
    return tuple(_text(one) for one in headers.getall(_GROUP, ()))


def _text(value: str) -> str:
    """A header's value with a sign for what is no UTF-8: it is told again in answers."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _groups_of(name: str) -> tuple[str, ...]:
    match name.split(":"):
        case ["system", "serviceaccount", namespace, _]:
            return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        case _:
            return ()


def _completed(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Everybody is either authenticated or not."""
    if name == _ANONYMOUS:
        return groups if _UNKNOWN in groups else (*groups, _UNKNOWN)
    return groups if {_KNOWN, _UNKNOWN} & set(groups) else (*groups, _KNOWN)
