"""Refusals, as values: what the client reads in an error body. The shapes are vLLM's."""

from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)  # not frozen: raising sets __traceback__
class Refusal(Exception):  # noqa: N818  an answer, most often not the server's error
    """An answer other than 200. `cause` names the server's own faults for `tunebird_request_errors_total`."""

    status: int
    type: str
    message: str
    param: str | None = None
    cause: str = "internal"

    def body(self) -> dict[str, Any]:
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.status}
        return {"error": error}


def unknown_model(name: str, served: str) -> Refusal:
    message = f"The model `{name}` does not exist. Valid aliases: {served}."
    return Refusal(404, "NotFoundError", message, "model")


def invalid(message: str, parameter: str, value: object) -> Refusal:
    return Refusal(400, "BadRequestError", f"{message} (parameter={parameter}, value={value})", parameter)


def unsupported(parameter: str, value: object, remedy: str) -> Refusal:
    return invalid(f"{parameter} is not supported by this server; {remedy}", parameter, value)


def overloaded(waiting: int) -> Refusal:
    message = f"The server has {waiting} requests waiting, which is its limit. Please retry later."
    return Refusal(503, "ServiceUnavailableError", message, cause="overloaded")


def not_ready(why: str) -> Refusal:
    return Refusal(503, "ServiceUnavailableError", f"The server is not ready: {why}.", cause="not_ready")


def internal(message: str, cause: str) -> Refusal:
    return Refusal(500, "InternalServerError", message, cause=cause)
