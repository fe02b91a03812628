"""TokenRequest: a token of a service account with audiences, a time to live, and an object that it lives with.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from devplane.access.tokens import AUDIENCE, Bound, InvalidTokenError, Tokens
from devplane.errors import ApiError, Cause
from devplane.machinery.targets import Target
from devplane.machinery.verbs import Api
from devplane.resources.metadata import timestamp

Obj = dict[str, Any]

_SHORTEST, _LONGEST = 600, 2**32
_RECREATED = "does not match the UID in record. The object might have been deleted and then recreated"


def request_token(api: Api, tokens: Tokens, target: Target, body: Obj, *, dry_run: bool = False) -> Obj:
    """The TokenRequest with its token; of a dry run the token is good for nothing."""
    api.get(target)
    spec = body.get("spec") or {}
    seconds = spec.get("expirationSeconds") or 3600
    _check_seconds(seconds)
    _check_name(target, body.get("metadata") or {})
    audiences = list(spec.get("audiences") or (AUDIENCE,))
    bound = _bound(api, target, spec.get("boundObjectRef"))
    try:
        token = "" if dry_run else tokens.mint(target.namespace, target.name, audiences, seconds, bound)
    except InvalidTokenError as error:
        raise ApiError.bad_request(str(error)) from error
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": target.name, "namespace": target.namespace, "creationTimestamp": api.now()},
        "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": timestamp(api.clock() + timedelta(seconds=seconds))},
    }


def _check_seconds(seconds: int) -> None:
    if seconds < _SHORTEST:
        detail = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST:
        detail = "may not specify a duration larger than 2^32 seconds"
    else:
        return
    cause = Cause.invalid("spec.expirationSeconds", seconds, detail)
    raise ApiError.invalid("TokenRequest.authentication.k8s.io", "", [cause])


def _check_name(target: Target, metadata: Obj) -> None:
    name, namespace = metadata.get("name") or target.name, metadata.get("namespace") or target.namespace
    if name != target.name:
        why = f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        raise ApiError.bad_request(why)
    if namespace != target.namespace:
        raise ApiError.bad_request(f"namespace in the token request ({namespace}) is not that of the URL")


def _bound(api: Api, target: Target, reference: Obj | None) -> Bound | None:
    if reference is None:
        return None
    api_version, kind = reference.get("apiVersion", ""), reference.get("kind", "")
    if api_version != "v1" or kind not in ("Pod", "Secret", "Node"):
        group, _, version = api_version.rpartition("/")
        shown = f"{group}/{version}, Kind={kind}"
        raise ApiError.bad_request(f"cannot bind token to object of type {shown}")
    name, resource = reference.get("name", ""), f"{kind.lower()}s"
    found = api.store.get(resource, "" if kind == "Node" else target.namespace, name)
    if found is None:
        raise ApiError.not_found(resource, name)
    if kind == "Pod" and found["spec"].get("serviceAccountName") != target.name:
        why = "to pod running with different serviceaccount name."
        raise ApiError.bad_request(f'cannot bind token for serviceaccount "{target.name}" {why}')
    uid = found["metadata"]["uid"]
    asked = reference.get("uid") or uid
    if asked != uid:
        raise ApiError.conflict(kind, name, f"the UID in the bound object reference ({asked}) {_RECREATED}")
    return Bound(name, uid, kind.lower())
