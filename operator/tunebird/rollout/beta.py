"""The incomplete beta function in logarithms, without an array library: the operator stays small at rest."""

from __future__ import annotations

from math import exp, inf, lgamma, log, log1p

_TINY = 1e-300
_PRECISION = 1e-13
_MOST_TERMS = 20_000


def log_beta(a: float, b: float) -> float:
    """ln B(a, b)."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def log_upper(x: float, a: float, b: float) -> float:
    """ln(1 - I_x(a, b)): the log of the chance that a Beta(a, b) variable lies above `x`; 0 < x < 1.

    The tail that is small is computed directly, so nothing is lost to rounding far out.
    """
    if x > (a + 1) / (a + b + 2):
        return _log_tail(1 - x, b, a)
    lower = _log_tail(x, a, b)
    return log1p(-exp(lower)) if lower < 0 else -inf


def _log_tail(x: float, a: float, b: float) -> float:
    """ln I_x(a, b) for x below about the mean, by the continued fraction (DLMF 8.17.22)."""
    front = a * log(x) + b * log1p(-x) - log_beta(a, b) - log(a)
    return front - log(_fraction(x, a, b))


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + …)) by Lentz's method."""
    value = c = 1.0
    d = 0.0
    for term in range(1, _MOST_TERMS):
        coefficient = _coefficient(term, x, a, b)
        d = 1 / (_away_from_zero(1 + coefficient * d))
        c = _away_from_zero(1 + coefficient / c)
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            return value
    raise ArithmeticError(f"the incomplete beta function does not converge at x={x}, a={a}, b={b}")


def _coefficient(term: int, x: float, a: float, b: float) -> float:
    m = term // 2
    if term % 2:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
