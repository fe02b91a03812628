"""The functions that Kubernetes adds to CEL's own, and how values of a schema look to CEL. Pure.

The engine (`cel`) knows a function by its name alone, so `indexOf` serves strings and lists both.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, urlsplit

from devplane.schemas.formats import FORMATS
from devplane.schemas.quantities import amount, is_quantity
from devplane.schemas.structure import Node
from devplane.schemas.types import Obj
from devplane.schemas.violations import expression

KEYWORDS = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_NAME = re.compile(r"[A-Za-z_.\-/][A-Za-z0-9_.\-/]*")
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def escaped(name: str) -> str | None:
    """A property's name in rules: ``a-b`` is ``a__dash__b``, ``namespace`` is ``__namespace__``; None: out of reach."""
    if name in KEYWORDS:
        return f"__{name}__"
    if not _NAME.fullmatch(name):
        return None
    for text, replacement in _ESCAPES:
        name = name.replace(text, replacement)
    return name


def to_cel(value: Any, node: Node, *, is_root: bool = False) -> Any:
    """A value as rules see it: declared fields only, typed by the schema."""
    if isinstance(value, dict):
        return _object(value, node, is_root=is_root or node.is_embedded)
    if isinstance(value, list):
        return [to_cel(one, node.items) for one in value] if node.items is not None else value
    if node.kind == "number" and isinstance(value, int):
        return float(value)
    return _text(value, node.schema.get("format")) if isinstance(value, str) else value


def _object(value: Obj, node: Node, *, is_root: bool) -> Obj:
    if node.values is not None:
        return {name: to_cel(one, node.values) for name, one in value.items()}
    found = {}
    for name, one in value.items():
        child, short = node.properties.get(name), escaped(name)
        if child is not None and short is not None:
            found[short] = to_cel(one, child)
    if is_root:
        metadata = value.get("metadata") or {}
        found["metadata"] = {key: metadata[key] for key in ("name", "generateName") if key in metadata}
        found |= {key: value[key] for key in ("apiVersion", "kind") if key in value}
    return found


def _text(text: str, layout: str | None) -> Any:
    if layout == "date-time":
        return datetime.fromisoformat(text)
    if layout == "date":
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), tzinfo=UTC)
    if layout == "duration":
        return seconds(text)
    return b64decode(text) if layout == "byte" else text


def seconds(text: str) -> timedelta:
    """A duration: ``1h30m``."""
    parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d|w)", text)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return timedelta(seconds=-total if text.startswith("-") else total)


def _index_of(within: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(within, str):
        return within.find(wanted, start)
    return next((at for at, one in enumerate(within) if one == wanted), -1)


def _last_index_of(within: Any, wanted: Any) -> int:
    if isinstance(within, str):
        return within.rfind(wanted)
    return next((at for at in reversed(range(len(within))) if within[at] == wanted), -1)


def _format(template: str, values: list[Any]) -> str:
    left = iter(values)
    return re.sub(r"%(%|(?:\.\d+)?[sdfebxXo])", lambda verb: _verb(verb[1], left), template)


def _verb(verb: str, left: Any) -> str:
    if verb == "%":
        return "%"
    value = next(left)
    if verb == "s":
        return str(value).lower() if isinstance(value, bool) else str(value)
    if verb[-1] in "fe":
        return f"{float(value):{verb if verb[0] == '.' else '.6' + verb}}"
    return f"{value:{verb}}"


_QUANTITY = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_CONVERSION = "parse error during conversion from string"


def _quantity(text: str) -> Obj:
    if not is_quantity(text):
        raise ValueError(f"quantities must match the regular expression '{_QUANTITY}'")
    return {"quantity": str(amount(text))}


def _number(quantity: Any) -> Decimal:
    return Decimal(quantity["quantity"]) if isinstance(quantity, dict) else Decimal(quantity)


def _compare(one: Obj, other: Obj) -> int:
    difference = _number(one) - _number(other)
    return (difference > 0) - (difference < 0)


def _url(text: str) -> Obj:
    if not _is_url(text):
        raise ValueError(f'URL {_CONVERSION}: parse "{text}": missing protocol scheme')
    return {"url": text}


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme) or text.startswith("/")
    except ValueError:
        return False


def _part(read: Callable[[SplitResult], str]) -> Callable[[Obj], str]:
    return lambda url: read(urlsplit(url["url"]))


def _is_ip(text: str) -> bool:
    return FORMATS["ipv4"](text) or FORMATS["ipv6"](text)


def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(value["ip"] if isinstance(value, dict) else value)


def _network(value: Obj) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(value["cidr"], strict=False)


def _ip(text: str) -> Obj:
    try:
        return {"ip": str(_address(text))}
    except ValueError:
        why = f'ParseAddr("{text}"): unable to parse IP'
        raise ValueError(f'IP Address "{text}" {_CONVERSION}: {why}') from None


def _cidr(text: str) -> Obj:
    try:
        if "/" in text:
            return {"cidr": str(_network({"cidr": text}))}
        why = "no '/'"
    except ValueError as error:
        why = str(error)
    twice = f"network address {_CONVERSION}: network address {_CONVERSION}"
    raise ValueError(f'{twice}: netip.ParsePrefix("{text}"): {why}')


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "charAt": lambda text, at: text[at : at + 1],
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "lowerAscii": lambda text: text.lower(),
    "upperAscii": lambda text: text.upper(),
    "replace": lambda text, old, new, limit=-1: text.replace(old, new, limit),
    "split": lambda text, by, limit=-1: list(text) if by == "" else text.split(by, limit - 1 if limit > 0 else -1),
    "substring": lambda text, start, end=None: text[start:end],
    "trim": lambda text: text.strip(),
    "join": lambda texts, by="": by.join(texts),
    "format": _format,
    "find": lambda text, pattern: found[0] if (found := expression(pattern).search(text)) else "",
    "findAll": lambda text, pattern, limit=-1: [one[0] for one in expression(pattern).finditer(text)][
        : limit if limit >= 0 else None
    ],
    "isSorted": lambda items: all(items[at] <= items[at + 1] for at in range(len(items) - 1)),
    "sum": lambda items: sum(items, timedelta()) if items and isinstance(items[0], timedelta) else sum(items),
    "min": min,
    "max": max,
    "isIP": _is_ip,
    "ip": _ip,
    "family": lambda value: _address(value).version,
    "isLoopback": lambda value: _address(value).is_loopback,
    "isUnspecified": lambda value: _address(value).is_unspecified,
    "isCIDR": FORMATS["cidr"],
    "cidr": _cidr,
    "prefixLength": lambda value: _network(value).prefixlen,
    "containsIP": lambda value, address: _address(address) in _network(value),
    "isURL": _is_url,
    "url": _url,
    "getScheme": _part(lambda parts: parts.scheme),
    "getHost": _part(lambda parts: parts.netloc),
    "getHostname": _part(lambda parts: parts.hostname or ""),
    "getPort": _part(lambda parts: str(parts.port or "")),
    "getEscapedPath": _part(lambda parts: parts.path),
    "isQuantity": is_quantity,
    "quantity": _quantity,
    "isInteger": lambda quantity: _number(quantity) % 1 == 0,
    "asInteger": lambda quantity: int(_number(quantity)),
    "asApproximateFloat": lambda quantity: float(_number(quantity)),
    "sign": lambda quantity: (_number(quantity) > 0) - (_number(quantity) < 0),
    "isGreaterThan": lambda one, other: _compare(one, other) > 0,
    "isLessThan": lambda one, other: _compare(one, other) < 0,
    "compareTo": _compare,
    "add": lambda one, other: {"quantity": str(_number(one) + _number(other))},
    "sub": lambda one, other: {"quantity": str(_number(one) - _number(other))},
}
