"""``/devplane/…``: faults on demand over HTTPS, for whoever holds the token of the file ``faults.token``.

It is no part of the Kubernetes API, and no token of that opens it.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from devplane.access.authentication import check_origin
from devplane.errors import ApiError
from devplane.faults.reading import check_keys, rules
from devplane.faults.rules import FaultError, Faults

if TYPE_CHECKING:
    from devplane.kubelet import Kubelet


WHOM = ("namespace", "pod", "container")


class FaultEndpoint:
    """`kubelet` kills containers once it runs."""

    def __init__(self, faults: Faults, token: str) -> None:
        self._faults = faults
        self._token = token.encode()
        self.kubelet: Kubelet | None = None

    def register(self, app: web.Application) -> None:
        app.router.add_route("*", "/devplane/{what}", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            check_origin(request.headers)
            self._check_token(request)
            match request.method, request.match_info["what"]:
                case "GET", "faults":
                    return _answer(200, {"faults": self._faults.report()})
                case "PUT", "faults":
                    self._faults.replace(rules(await _body(request)))
                    return _answer(200, {"faults": self._faults.report()})
                case "DELETE", "faults":
                    self._faults.replace(())
                    return _answer(200, {"faults": []})
                case "POST", "kill":
                    self._kill(await _body(request))
                    return _answer(200, {})
                case _:
                    raise ApiError.no_such_path()
        except FaultError as error:
            return _answer(400, {"message": str(error)})
        except ApiError as error:
            return _answer(error.code, error.status())

    def _check_token(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, self._token):
            raise ApiError.unauthorized()

    def _kill(self, body: dict[str, Any]) -> None:
        """SIGKILL to a container's processes, as if something else on the node had sent it."""
        check_keys("", body, WHOM)
        for key in WHOM:
            if not isinstance(body.get(key), str) or not body[key]:
                raise FaultError(f"{key}: {body.get(key)!r} is no name; say whom with {', '.join(WHOM)}")
        namespace, pod, container = (body[key] for key in WHOM)
        if self.kubelet is None or not self.kubelet.kill(namespace, pod, container):
            remedy = f"`kubectl -n {namespace} get pods` shows what does"
            raise FaultError(f"namespace/pod/container: {namespace}/{pod}/{container} does not run here; {remedy}")


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        found = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise FaultError(f"the body is not JSON: {error}; docs/devplane.md shows one") from error
    if not isinstance(found, dict):
        raise FaultError(f"the body {found!r} is not a JSON object; docs/devplane.md shows one")
    return found


def _answer(code: int, content: Any) -> web.Response:
    return web.Response(status=code, body=orjson.dumps(content), headers={"Content-Type": "application/json"})
