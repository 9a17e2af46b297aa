"""What an interval says of a prediction, by a band fixed beforehand."""

import enum

import numpy as np

from wdjax.stats.intervals import Interval


class Verdict(enum.StrEnum):
    """What a measurement says of a prediction, by a band fixed beforehand."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


def verdict(
    interval: Interval | None, prediction: float | int, tolerance: float | int = 0
) -> Verdict:
    r"""Judge an interval against the band ``prediction`` ± ``tolerance``.

    Two one-sided tests at 5 % (:func:`~wdjax.stats.equivalence`) are this with a 90 %
    interval; an exact claim is this with :func:`~wdjax.stats.exact`.

    Args:
        interval: what was measured, or ``None`` where it is missing.
        prediction: the centre of the band, in the unit of ``interval``.
        tolerance: the half-width of the closed band, :math:`\ge 0`.

    Returns:
        PASS when the interval lies inside the band, FAIL when the two are disjoint,
        INCONCLUSIVE otherwise, and when anything is missing or not finite.
    """
    return band_verdict(interval, prediction - tolerance, prediction + tolerance)


def band_verdict(
    interval: Interval | None, low: float | int, high: float | int
) -> Verdict:
    r"""Judge an interval against the closed band from ``low`` to ``high``.

    Args:
        interval: what was measured, or ``None`` where it is missing.
        low: lower end of the band; :math:`-\infty` for "at most ``high``".
        high: upper end of the band; :math:`+\infty` for "at least ``low``".

    Returns:
        As :func:`verdict`.
    """
    if interval is None or not np.isfinite(interval).all():
        return Verdict.INCONCLUSIVE
    if low <= interval.low and interval.high <= high:
        return Verdict.PASS
    if interval.high < low or high < interval.low:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE
