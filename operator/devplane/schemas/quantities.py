"""Quantities: amounts with a unit, as resources are counted. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
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
