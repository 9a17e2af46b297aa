"""Exponents of a power law in several variables, and their intervals."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from wdjax.stats.intervals import UNKNOWN, Interval, jackknife

Exponents = Float[np.ndarray, " factors"]


class PowerLaw(NamedTuple):
    r"""A fitted :math:`y = C \prod_j x_j^{p_j}`.

    Attributes:
        exponents: :math:`p_j` under the name of :math:`x_j`.
        constant: :math:`C`.
        residual: the standard deviation of :math:`\log y` about the law, with
            (points − factors − 1) degrees of freedom; NaN without any.
        num_points: how many points there were, without those that are NaN.
    """

    exponents: dict[str, Interval]
    constant: float
    residual: float
    num_points: int


class _Fit(NamedTuple):
    intercept: float
    exponents: Exponents
    standard_errors: Exponents
    residual: float
    num_points: int


def power_law(
    factors: Mapping[str, Float[np.ndarray, " points"]],
    y: Float[np.ndarray, " points"],
    without_seed: Float[np.ndarray, "seeds points"],
    level: float = 0.95,
) -> PowerLaw:
    r"""Least squares of :math:`\log y` on several :math:`\log x_j`.

    .. math:: \log y_i = \log C + \sum_j p_j \log x_{ij} + e_i

    **The interval** of an exponent is the wider of two, as each is blind to what the
    other sees. The *regression* interval, Student's with
    (points − factors − 1) degrees of freedom, takes the points for independent, so it
    does not see what one seed does to all of them. The *jackknife* over seeds,
    Student's with (seeds − 1), refits the law to the estimates made without each seed
    in turn; it does not see that the points do not lie on a power law. Coverage at a
    nominal 95 %, three exponents from nine points a factor 2 apart, 5 seeds, 2,000
    repetitions, spreads of :math:`\log y` or of the exponents:

    ========================================  ==========  =========  =====
    what spreads                              regression  jackknife  wider
    ========================================  ==========  =========  =====
    every estimate, by .5                           .951       .951   .986
    by .2, and exponents by .4 between seeds        .654       .956   .960
    by .2, and points by .4 about the law           .953       .422   .953
    ========================================  ==========  =========  =====

    Only the wider never covers less than 95 %.

    Args:
        factors: :math:`x_j > 0` by name.
        y: what was estimated at each point from all seeds, > 0; NaN where there is no
            estimate.
        without_seed: the same, estimated without each seed in turn.
        level: the coverage, in (0, 1).

    Returns:
        The law. Its exponents are unknown where the points left do not determine them;
        the ends of their intervals are NaN where there is no degree of freedom left, or
        a single seed, or an estimate without some seed does not exist.

    Raises:
        ValueError: a factor is not positive.
    """
    for name, x in factors.items():
        if not (np.isfinite(x) & (x > 0)).all():
            raise ValueError(f"The factor {name!r} must be positive: {x}.")
    log_x = np.stack([np.log(x) for x in factors.values()], axis=1)
    fit = _fit(log_x, np.log(y))
    without = [_fit(log_x, np.log(row)).exponents for row in without_seed]
    degrees = fit.num_points - len(factors) - 1
    points = stats.t.ppf((1 + level) / 2, max(degrees, 1))
    # np.maximum and not max: NaN, where the jackknife is not defined, must win.
    seeds = jackknife(np.reshape(without, (-1, len(factors))), level)
    half = np.maximum(points * fit.standard_errors, seeds)
    exponents = {
        name: Interval(float(p), float(p - h), float(p + h))
        if np.isfinite(p)
        else UNKNOWN
        for name, p, h in zip(factors, fit.exponents, half, strict=True)
    }
    constant = float(np.exp(fit.intercept))
    return PowerLaw(exponents, constant, fit.residual, fit.num_points)


def _fit(
    log_x: Float[np.ndarray, "points factors"], log_y: Float[np.ndarray, " points"]
) -> _Fit:
    """Least squares on the finite points, about their mean."""
    kept = np.isfinite(log_y)
    n, k = int(kept.sum()), log_x.shape[1]
    unknown = np.full(k, np.nan)
    if n < k + 1:
        return _Fit(np.nan, unknown, unknown, np.nan, n)
    x, y = log_x[kept] - log_x[kept].mean(axis=0), log_y[kept] - log_y[kept].mean()
    p, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    if rank < k:
        return _Fit(np.nan, unknown, unknown, np.nan, n)
    intercept = float(log_y[kept].mean() - log_x[kept].mean(axis=0) @ p)
    degrees = n - k - 1
    if degrees == 0:
        return _Fit(intercept, p, unknown, np.nan, n)
    e = y - x @ p
    variance = float(e @ e) / degrees
    errors = np.sqrt(variance * np.diag(np.linalg.inv(x.T @ x)))
    return _Fit(intercept, p, errors, variance**0.5, n)
