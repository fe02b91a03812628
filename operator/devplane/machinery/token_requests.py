"""TokenRequest: a token of a service account with audiences, a time to live, and an object that it lives with.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from devplane.access.tokens import AUDIENCE, Bound, InvalidTokenError, Tokens
from devplane.errors import ApiError, Cause
from devplane.machinery.targets import Target, Write
from devplane.machinery.verbs import Api
from devplane.resources.metadata import timestamp
from devplane.resources.registry import Resource

Obj = dict[str, Any]

_SHORTEST, _LONGEST = 600, 2**32
_RECREATED = "does not match the UID in record. The object might have been deleted and then recreated"


_REQUESTS = Resource("authentication.k8s.io", "v1", "tokenrequests", "tokenrequest", "TokenRequest", namespaced=True)


def request_token(api: Api, tokens: Tokens, target: Target, body: Obj, write: Write) -> Obj:
    """The TokenRequest with its token; of a dry run the token is good for nothing."""
    api.get(target)
    given = {key: value for key, value in (body.get("spec") or {}).items() if value is not None}
    body["spec"] = {"expirationSeconds": 3600, **given}
    asked = api.posted(_REQUESTS, target.namespace, body, write)
    spec = asked["spec"]
    seconds = spec.get("expirationSeconds", 0)
    _check_name(target, asked["metadata"])
    _check_seconds(seconds)
    audiences = list(spec.get("audiences") or (AUDIENCE,))
    bound = _bound(api, target, spec.get("boundObjectRef"))
    try:
        token = "" if write.dry_run else tokens.mint(target.namespace, target.name, audiences, seconds, bound)
    except InvalidTokenError as error:
        raise ApiError.bad_request(str(error)) from error
    metadata = {"name": target.name, "namespace": target.namespace, "creationTimestamp": api.now()}
    owned = {key: asked["metadata"][key] for key in ("managedFields",) if key in asked["metadata"]}
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {**metadata, **owned},
        "spec": {"boundObjectRef": None, **spec, "audiences": audiences, "expirationSeconds": seconds},
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
    raise ApiError.invalid(_REQUESTS.kind_name, "", [cause])


def _check_name(target: Target, metadata: Obj) -> None:
    name = metadata.get("name") or target.name
    if name != target.name:
        cause = Cause.invalid("metadata.name", name, "must match the service account name if specified")
        raise ApiError.invalid(_REQUESTS.kind_name, target.name, [cause])


def _bound(api: Api, target: Target, reference: Obj | None) -> Bound | None:
    if reference is None:
        return None
    api_version, kind = reference.get("apiVersion", ""), reference.get("kind", "")
    if api_version != "v1" or kind not in ("Pod", "Secret", "Node"):
        group, _, version = api_version.rpartition("/")
        shown = f"{group}/{version}, Kind={kind}"
        raise ApiError.bad_request(f"cannot bind token to object of type {shown}")
    name, resource = reference.get("name", ""), f"{kind.lower()}s"
    if not name:
        raise ApiError.bad_request("Name parameter required.")
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
