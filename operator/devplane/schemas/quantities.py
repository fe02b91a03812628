"""Quantities: amounts with a unit, as resources are counted. Pure."""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from typing import Any

QUANTITY = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_SUFFIX = re.compile(r"(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]+)")
_UNITS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def is_quantity(text: str) -> bool:
    """``500m``, ``1.5Gi``, ``2e3``."""
    match = QUANTITY.fullmatch(text)
    return bool(match and _SUFFIX.fullmatch(match[2]) and match[1].count(".") <= 1 and match[1].strip("+-."))


def amount(text: Any) -> Decimal:
    """A quantity as a number: ``500m`` is 0.5. Zero for what is none."""
    found = re.fullmatch(r"([+-]?[0-9.]+)([A-Za-z]*)([-+]?[0-9]*)", str(text))
    if found is None or not is_quantity(str(text)):
        return Decimal(0)
    number, unit, exponent = Decimal(found[1]), found[2], found[3]
    if exponent:
        return number.scaleb(int(exponent))
    return number * 2 ** _BINARY[unit] if unit in _BINARY else number.scaleb(_UNITS.get(unit, 0))


def requested(spec: dict[str, Any], name: str) -> Decimal:
    """How much of a resource a container or a claim requests."""
    return amount(((spec.get("resources") or {}).get("requests") or {}).get(name, "0"))


_NANO = Decimal(1).scaleb(-9)
_MOST, _LONGEST = Decimal(10) ** 18, 24
"""Beyond, a quantity is left as it is written."""


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """A quantity as the server writes it: ``0.5`` is ``500m``, ``1024Mi`` is ``1Gi``, ``1000`` is ``1k``."""
    if not is_quantity(text):
        return text
    value = amount(text)
    if abs(value) > _MOST or len(text) > _LONGEST:
        return text
    if value != (fine := value.quantize(_NANO, ROUND_UP)):
        value = fine
    if not value:
        return "0"
    if text.endswith("i") and abs(value) >= 1024:
        return _binary(value)
    return _decimal(value, "e" if re.search("[eE][-+]?[0-9]", text) else "")


def _binary(value: Decimal) -> str:
    whole, unit = int(value.to_integral_value(ROUND_UP)), 0
    while whole % 1024 == 0 and unit < 6:
        whole, unit = whole // 1024, unit + 1
    return f"{whole}{('', *_BINARY)[unit]}"


def _decimal(value: Decimal, exponent: str) -> str:
    """With the largest unit that leaves a whole number."""
    unit = 18
    while value.scaleb(-unit) % 1 and unit > -9:
        unit -= 3
    number = int(value.scaleb(-unit))
    if exponent:
        return f"{number}{exponent}{unit}" if unit else str(number)
    return f"{number}{_LETTERS[unit]}"


_LETTERS = {power: letter for letter, power in _UNITS.items()}


def in_thousandths(text: str) -> str:
    """A quantity rounded up to a thousandth."""
    if len(text) > _LONGEST:
        return text
    value = amount(text).quantize(Decimal("0.001"), ROUND_UP)
    return _decimal(value, "")
