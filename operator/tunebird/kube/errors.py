"""What can go wrong between the operator and the API server, in the three kinds that a loop treats differently."""


class KubeError(Exception):
    """Base of this module's errors; the message is the server's own where there is one."""


class Unavailable(KubeError):
    """The server could not answer (connection, timeout, 429, 5xx): retry with backoff, leave conditions as they are."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Conflict(KubeError):
    """Somebody else wrote first (409 Conflict or AlreadyExists): observe again at once."""


class Rejected(KubeError):
    """The server understood and refuses (400, 403, 405, 422): retrying the same request is useless.

    `code` and `reason` are the Status's, e.g. 422 and ``Invalid``.
    """

    def __init__(self, message: str, *, code: int, reason: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
