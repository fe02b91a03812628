"""Every environment variable of the operator, validated once; all that is wrong is told at once, with the remedy."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Self, TypeVar
from urllib.parse import urlsplit

from tunebird import __version__

T = TypeVar("T")

_DURATION = re.compile(r"([0-9]+)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORTS = range(65536)


class ConfigError(Exception):
    """Some variables are wrong; `errors` has a line for each."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 is any free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Config:
    """What the operator was started with."""

    watch_namespaces: tuple[str, ...]  # empty: all
    namespace: str
    identity: str
    trainer_image: str
    server_image: str
    report_url: str  # empty: trainers don't report
    report_listen: Address
    http_listen: Address
    allow_file_uris: bool
    log_format: Literal["json", "text"]
    resync_seconds: float

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Raises `ConfigError`."""
        read = _Reader(env)
        config = cls(
            watch_namespaces=read.value("TUNEBIRD_WATCH_NAMESPACES", "", _namespaces),
            namespace=read.value("POD_NAMESPACE", "tunebird-system", _namespace),
            identity=_identity(env),
            trainer_image=read.value("TUNEBIRD_TRAINER_IMAGE", f"tunebird/trainer:{__version__}", _image),
            server_image=read.value("TUNEBIRD_SERVER_IMAGE", f"tunebird/server:{__version__}", _image),
            report_url=read.value("TUNEBIRD_REPORT_URL", "", _url),
            report_listen=read.value("TUNEBIRD_REPORT_LISTEN", "0.0.0.0:8082", _address),
            http_listen=read.value("TUNEBIRD_HTTP_LISTEN", "0.0.0.0:8080", _address),
            allow_file_uris=read.value("TUNEBIRD_ALLOW_FILE_URIS", "false", _boolean),
            log_format=read.value("TUNEBIRD_LOG_FORMAT", "json", _log_format),
            resync_seconds=read.value("TUNEBIRD_RESYNC", "60s", _resync),
        )
        if read.errors:
            raise ConfigError(tuple(read.errors))
        return config


class _Reader:
    """Reads variables and keeps what is wrong with them; one that is empty counts as not set."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.errors: list[str] = []

    def value(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        """The parsed value; of a wrong one the error is noted and the default is read instead."""
        text = self._env.get(name, "").strip() or default
        try:
            return parse(text)
        except ValueError as error:
            self.errors.append(f"{name}={text}: {error}")
            return parse(default)


def _identity(env: Mapping[str, str]) -> str:
    """The pod's own, so that a restarted container keeps its Lease; outside of pods one that never repeats."""
    return f"{env.get('HOSTNAME') or 'tunebird'}_{env.get('POD_UID') or uuid.uuid4()}"


def _namespace(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a namespace; use lower case letters, digits and '-'")
    return text


def _namespaces(text: str) -> tuple[str, ...]:
    return tuple(sorted({_namespace(part.strip()) for part in text.split(",") if part.strip()}))


def _image(text: str) -> str:
    if any(char.isspace() for char in text) or text != text.strip("/:@"):
        raise ValueError("this is not an image; write it as repository:tag or repository@sha256:…")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("this is not a URL that trainers can reach; write http://<service>.<namespace>:<port>")
    return text.rstrip("/")


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) not in _PORTS:
        raise ValueError("write an address and a port up to 65535, e.g. 0.0.0.0:8080")
    return Address(host.strip("[]"), int(port))


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.lower() == "true"


def _log_format(text: str) -> Literal["json", "text"]:
    match text:
        case "json":
            return "json"
        case "text":
            return "text"
        case _:
            raise ValueError("write json or text")


def _resync(text: str) -> float:
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 1.0 <= seconds <= 3600.0:
        raise ValueError("write a duration between 1s and 1h, e.g. 60s")
    return seconds
