"""Lists: limit and continue, the resourceVersion parameters. The continue token names where and when a list began."""

from __future__ import annotations

import copy
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from devplane.errors import ApiError, Cause
from devplane.machinery.verbs import Api
from devplane.resources.registry import Resource
from devplane.storage.selectors import Selector
from devplane.wire.requests import number, revision_of

Obj = dict[str, Any]

_TOKEN_VERSION = "meta.k8s.io/v1"  # noqa: S105 (not a secret)


def listed(
    api: Api, resource: Resource, namespace: str | None, selector: Selector, query: Mapping[str, str]
) -> tuple[list[Obj], Obj]:
    """The objects of one page and the list's metadata."""
    version = query.get("resourceVersion", "")
    _check_version(api, version, query)
    found = api.list(resource, namespace, selector)
    metadata: Obj = {"resourceVersion": str(api.store.revision)}
    limit = number(query, "limit") or 0
    if token := query.get("continue"):
        began, start = _continued(token)
        if began < api.store.oldest:
            raise ApiError.expired("The provided continue parameter is too old to display a consistent list result. "
                                   "You must start a new list without the continue parameter.")  # fmt: skip
        found = [obj for obj in found if _key(obj) > start]
        metadata["resourceVersion"] = str(began)
    elif version == "0":
        limit = 0
    if 0 < limit < len(found):
        page = found[:limit]
        metadata["continue"] = _token(int(metadata["resourceVersion"]), _key(page[-1]))
        if selector.everything:
            metadata["remainingItemCount"] = len(found) - limit
        return page, metadata
    return found, metadata


def as_of(api: Api, revision: int, resource: Resource) -> Api:
    """For reading `resource` as it was at `revision`."""
    past = copy.copy(api)
    past.store = api.store.as_of(revision, resource.key)
    return past


def _check_version(api: Api, version: str, query: Mapping[str, str]) -> None:
    match = query.get("resourceVersionMatch", "")
    if causes := list(_options(match, version, query)):
        raise ApiError.invalid("ListOptions.meta.k8s.io", "", causes)
    number(query, "timeoutSeconds")
    if not version or version == "0":
        return
    wanted, now = revision_of(version), api.store.revision
    if wanted > now:
        details = {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }
        raise ApiError(504, "Timeout", f"Timeout: Too large resource version: {wanted}, current: {now}", details)
    if match == "Exact" and wanted < api.store.oldest:
        raise ApiError.expired(f"The resourceVersion for the provided list is too old: {wanted}")


def _options(match: str, version: str, query: Mapping[str, str]) -> Iterator[Cause]:
    """What the options of a list can't mean together."""
    field = "resourceVersionMatch"
    if match and not version:
        yield Cause.forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match and query.get("continue"):
        yield Cause.forbidden(field, "resourceVersionMatch is forbidden when continue is provided")
    if match not in ("", "Exact", "NotOlderThan"):
        yield Cause.unsupported(field, match, ("Exact", "NotOlderThan", ""))
    if match == "Exact" and version == "0":
        yield Cause.forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if "sendInitialEvents" in query:
        yield Cause.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _key(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _token(revision: int, last: tuple[str, str]) -> str:
    content = {"v": _TOKEN_VERSION, "rv": revision, "start": "/".join(last) + "\0"}
    return urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _continued(token: str) -> tuple[int, tuple[str, str]]:
    try:
        content = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, start = content["rv"], content["start"]
        if type(revision) is not int or not isinstance(start, str):
            raise ValueError(token)
        namespace, _, name = start.rstrip("\0").rpartition("/")
        return revision, (namespace, name)
    except (ValueError, KeyError, TypeError):
        raise ApiError.bad_request("invalid continue token: continue key is not valid") from None
