"""The formats that a CRD's schema may ask of a string; unknown ones are not checked, as on a real server. Pure."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import date

_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_DURATION = re.compile(r"([+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w))+|0")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_HOST = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\.?")
_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")
_URI = re.compile(r"[A-Za-z][-A-Za-z0-9+.]*:[^\s]+|/[^\s]*")
_UUID = re.compile(r"[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}")


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def checked(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return checked


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _is_date_time(text: str) -> bool:
    return _DATE_TIME.fullmatch(text) is not None and _parses(date.fromisoformat)(text[:10])


FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": _parses(lambda text: b64decode(text, validate=True)),
    "cidr": lambda text: "/" in text and _parses(lambda one: ipaddress.ip_network(one, strict=False))(text),
    "date": _parses(date.fromisoformat),
    "date-time": _is_date_time,
    "datetime": _is_date_time,
    "duration": _matches(_DURATION),
    "email": _matches(_EMAIL),
    "hostname": lambda text: len(text) <= 255 and _HOST.fullmatch(text) is not None,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "mac": _matches(_MAC),
    "uri": _matches(_URI),
    "uuid": _matches(_UUID),
}


def is_format(text: str, name: str) -> bool:
    check = FORMATS.get(name)
    return check is None or check(text)
