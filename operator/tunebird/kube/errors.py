"""What can go wrong between the operator and the API server, in the three kinds that a loop treats differently."""


class KubeError(Exception):
    """Base of this module's errors; the message is the server's own where there is one."""


class Unavailable(KubeError):  # noqa: N818  a state of the world, read as one
    """The server could not answer (connection, timeout, 429, 5xx): retry with backoff, leave conditions as they are."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Conflict(KubeError):  # noqa: N818  a state of the world, read as one
    """Somebody else wrote first (409 Conflict or AlreadyExists, or what was to be changed is gone): observe again."""


class Rejected(KubeError):  # noqa: N818  a state of the world, read as one
    """The server understood and refuses (400, 403, 404, 405, 422): retrying the same request is useless.

    `code` and `reason` are the Status's, e.g. 422 and ``Invalid``.
    """

    def __init__(self, message: str, *, code: int, reason: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
