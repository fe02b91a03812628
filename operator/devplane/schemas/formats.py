"""The formats that a CRD's schema may ask of a string; unknown ones are not checked, as on a real server. Pure."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import date

_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_DURATION = re.compile(r"([+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w))+|0")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+|[^@<>]*<[^@\s<>]+@[^@\s<>]+>")
# One label, or a name whose last label is letters, two or more.
_HOST = re.compile(r"[^\W_](-?[^\W_]{0,62})?|([^\W_](([^\W_]|-){0,61}[^\W_])?\.)+[^\W\d_]{2,63}")
_COLOR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_BYTE = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_RGB = re.compile(rf"rgb\({_BYTE},{_BYTE},{_BYTE}\)")
_SSN = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}")
_BSON = re.compile(r"[0-9a-fA-F]{24}")
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


def _uuid(version: str) -> Callable[[str], bool]:
    variant = "[0-9a-f]" if version == "3" else "[89ab]"
    return _matches(re.compile(rf"(?i)[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}[0-9a-f]{{3}}-?{variant}[0-9a-f]{{3}}-?"
                               r"[0-9a-f]{12}"))  # fmt: skip


def _isbn10(text: str) -> bool:
    bare = re.sub(r"[\s-]", "", text)
    digits = [10 if one == "X" else int(one) for one in bare] if re.fullmatch(r"\d{9}[\dX]", bare) else []
    return bool(digits) and sum((at + 1) * one for at, one in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    bare = re.sub(r"[\s-]", "", text)
    return (
        bare.isdecimal() and len(bare) == 13 and sum(int(one) * (1, 3)[at % 2] for at, one in enumerate(bare)) % 10 == 0
    )


def _card(text: str) -> bool:
    """Thirteen to nineteen digits whose checksum is right (Luhn)."""
    bare = re.sub(r"\D", "", text)
    doubled = [int(one) * (1 + at % 2) for at, one in enumerate(reversed(bare))]
    return 13 <= len(bare) <= 19 and sum(one - 9 * (one > 9) for one in doubled) % 10 == 0


def _is_ipv4(text: str) -> bool:
    """Zeros in front of a number are taken."""
    return re.fullmatch(r"\d+(\.\d+){3}", text) is not None and all(int(one) < 256 for one in text.split("."))


FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(_BSON),
    "byte": lambda text: bool(text) and _parses(lambda one: b64decode(one, validate=True))(text),
    "cidr": lambda text: "/" in text and _parses(lambda one: ipaddress.ip_network(one, strict=False))(text),
    "creditcard": _card,
    "date": _parses(date.fromisoformat),
    "date-time": _is_date_time,
    "datetime": _is_date_time,
    "duration": _matches(_DURATION),
    "email": _matches(_EMAIL),
    "hexcolor": _matches(_COLOR),
    "hostname": lambda text: len(text) <= 255 and _HOST.fullmatch(text) is not None,
    "ipv4": _is_ipv4,
    "ipv6": lambda text: "%" not in text and _parses(ipaddress.IPv6Address)(text),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "mac": _matches(_MAC),
    "rgbcolor": _matches(_RGB),
    "ssn": _matches(_SSN),
    "uri": _matches(_URI),
    "uuid": _matches(_UUID),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
}


def is_format(text: str, name: str) -> bool:
    check = FORMATS.get(name)
    return check is None or check(text)
