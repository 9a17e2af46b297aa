"""Numbers as a reader meets them."""

import math

from wdjax.stats import Interval


def number(value: float) -> str:
    """Four digits at most, without the zeros of an exponent; nan is "unknown"."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    mantissa, mark, power = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(power)}" if mark else mantissa


def tick(value: float) -> str:
    """Two digits, for an axis."""
    return number(float(f"{value:.2g}"))


def signed(value: float, spec: str = ".2f") -> str:
    """With a minus of its own."""
    return format(value, spec).replace("-", "−")


def measured(name: str, interval: Interval, seeds: int) -> str:
    """A mean with its interval; errors, which are fractions, in percent."""
    error = name.endswith("_error")
    factor, unit, spec = (100, " %", ".2f") if error else (1, "", ".4g")
    estimate, low, high = (factor * v for v in interval)
    if math.isnan(estimate):
        return "none, diverged"
    shown = f"{estimate:{spec}}{unit}"
    if math.isnan(low):
        return f"{shown} (one seed)" if seeds == 1 else shown
    return f"{shown} [{low:{spec}}, {high:{spec}}]"


def slope(interval: Interval) -> str:
    """A slope with its interval, or that there is none."""
    if math.isnan(interval.estimate):
        return "undecided"
    if math.isnan(interval.low):
        return signed(interval.estimate)
    return (
        f"{signed(interval.estimate)} [{signed(interval.low)}, {signed(interval.high)}]"
    )


def title(name: str) -> str:
    """A variable's name in words."""
    return name.replace("_", " ")
