"""Numbers as a report shows them."""

from __future__ import annotations

from snnquant.gates import GATES, Unit

_UNITS = {rule.metric: rule.unit for rule in GATES}


def percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage, or a dash."""
    return "–" if value is None else f"{100 * value:.{digits}f} %".replace("-", "\u2212")


def points(value: float) -> str:
    """Return a difference of fractions in percentage points, with its sign."""
    return f"{100 * value:+.2f} pt".replace("-", "\u2212")


def rate(value: float | None) -> str:
    """Return a rate, or a dash."""
    return "–" if value is None else f"{value:.4f}"


def size(count: float) -> str:
    """Return a number of bytes."""
    for unit, step in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= step:
            return f"{count / step:,.1f} {unit}"
    return f"{count:,.0f} bytes"


def metric(name: str, value: float) -> str:
    """Return the value of a metric that gates look at, in its unit."""
    unit = _UNITS.get(name, Unit.RATIO)
    if unit is Unit.BYTES:
        return f"{value:,.0f} bytes"
    return percent(value) if unit is Unit.FRACTION else f"{value:.4g}"
