"""DELETE: the options of a request, and what it is answered."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from devplane.errors import ApiError, not_registered
from devplane.machinery.deletion import Deleted
from devplane.wire.answers import encoded
from devplane.wire.negotiation import Form
from devplane.wire.requests import Asked, is_true, number, unknown_dry_run

Obj = dict[str, Any]

# Kinds whose DELETE answers the object even when it is gone.
_ANSWERS_OBJECT = frozenset({
    "pods", "persistentvolumes", "persistentvolumeclaims", "podtemplates", "resourcequotas", "serviceaccounts",
    "services", "replicationcontrollers", "storageclasses.storage.k8s.io", "namespaces",
})  # fmt: skip
_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"


async def options_body(asked: Asked) -> Obj:
    """DeleteOptions as the body has them, completed by the query."""
    raw = await asked.request.read()
    body: Obj = dict(await asked.body()) if raw.strip() else {}
    query = asked.query
    kind, version = body.get("kind") or "DeleteOptions", body.get("apiVersion") or "v1"
    if kind != "DeleteOptions":
        raise ApiError.bad_request(not_registered(version, kind, _SCHEME))
    if (dry_run := body.get("dryRun") or query.getall("dryRun", [])) and set(dry_run) != {"All"}:
        raise ApiError.invalid("DeleteOptions.meta.k8s.io", "", [unknown_dry_run(dry_run)])
    for key in ("propagationPolicy", "dryRun"):
        if query.get(key):
            body.setdefault(key, query[key])
    if (seconds := number(query, "gracePeriodSeconds")) is not None:
        body.setdefault("gracePeriodSeconds", seconds)
    if query.get("orphanDependents"):
        body.setdefault("orphanDependents", is_true(query["orphanDependents"]))
    return body


def answers_object(asked: Asked, deleted: Deleted) -> bool:
    """The object, rather than a Status that says that it is gone."""
    return not deleted.gone or asked.place.resource.key in _ANSWERS_OBJECT


def gone(asked: Asked, deleted: Deleted) -> web.Response:
    resource = asked.place.resource
    details = {
        "name": asked.place.name,
        "group": resource.group,
        "kind": resource.plural,
        "uid": deleted.object["metadata"]["uid"],
    }
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
    return encoded(200, status, Form())
