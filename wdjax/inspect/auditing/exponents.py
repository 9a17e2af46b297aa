r"""Which convention a decay follows: the exponents of :math:`δ_t = λ α^a η_t^b`."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from wdjax.decay.convention import BY_NAME
from wdjax.inspect.auditing.laboratory import Box, DidNotRunError, difference
from wdjax.inspect.auditing.measure import rates
from wdjax.inspect.auditing.trial import Shapes, here

ETA = (1.0, 0.5, 0.25, 0.8, 0.4, 0.9, 0.3, 0.6)  # η_t, unlike any usual schedule's
NAMED = {  # those that are the same, under all their names
    " = ".join(name for name, other in BY_NAME.items() if other == convention): (
        convention
    )
    for convention in BY_NAME.values()
}


class Exponents(NamedTuple):
    """A fitted convention.

    Attributes:
        peak: a.
        schedule: b, or NaN if not known.
        decay: the exponent of λ: 1 where δ is proportional to it.
        residual: the largest deviation of log δ from the fit.
        factor: what multiplies λα^a, in the step of the largest δ_t.
        name: of the convention, where it is one of ours.
    """

    peak: float
    schedule: float
    decay: float
    residual: float
    factor: float
    name: str


def fitted(
    make: Callable[[Any, float], Box],
    learning_rate: float,
    decay: float,
    leaf: int,
    shapes: Shapes,
    *,
    alone: bool,
) -> Exponents:
    """Vary λ, α and the schedule of a factory, and fit the exponents of δ_t.

    Args:
        make: ``(learning_rate, weight_decay)`` to the optimizer.
        learning_rate: α.
        decay: λ.
        leaf: one that decays.
        shapes: of all leaves.
        alone: whether without decay nothing responds to the weights.
    """

    def of(alpha: Any, lam: float) -> np.ndarray:
        box = make(alpha, lam)
        whole = rates(here(box, shapes))[leaf]
        if alone:
            return whole
        beyond = rates(here(difference(box, make(alpha, 0.0)), shapes))[leaf]
        return beyond if np.any(beyond) else whole

    base = of(learning_rate, decay)
    on = np.flatnonzero(np.abs(base) > 1e-6 * np.abs(base).max())
    by_lam, lam_off = _slope(of(learning_rate, 2 * decay), base, on, math.log(2))
    a, a_off = _slope(of(2 * learning_rate, decay), base, on, math.log(2))
    factor = float(np.abs(base).max()) / (decay**by_lam * learning_rate**a)
    eta = jnp.asarray(ETA)

    def schedule(t: Any) -> Any:
        return learning_rate * eta[t % len(ETA)]

    try:
        scheduled = of(schedule, decay)
    except DidNotRunError:  # a factory need not take schedules
        off = max(lam_off, a_off)
        return _named(Exponents(a, math.nan, by_lam, off, factor, ""))
    b, b_off = min(
        (_regression(scheduled, base, on, eta_t) for eta_t in _multipliers(on)),
        key=lambda fit: fit[1],
    )
    off = max(lam_off, a_off, b_off)
    return _named(Exponents(a, b, by_lam, off, factor, ""))


def _multipliers(on: np.ndarray) -> list[np.ndarray]:
    """η of the steps that decay: by updates, or by steps that were taken."""
    eta = np.array(ETA)
    return [eta[on], eta[: len(on)]]


def _slope(
    changed: np.ndarray, base: np.ndarray, on: np.ndarray, by: float
) -> tuple[float, float]:
    """The exponent of a factor, and how far steps differ in it."""
    logs = np.log(np.abs(changed[on] / base[on])) / by
    return float(np.median(logs)), float(np.ptp(logs))


def _regression(
    changed: np.ndarray, base: np.ndarray, on: np.ndarray, eta: np.ndarray
) -> tuple[float, float]:
    """The exponent of η_t, and the largest deviation from the fit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.abs(changed[on] / base[on]))
    x = np.log(eta)
    if not np.isfinite(logs).all():
        return math.nan, math.inf
    if not np.vdot(x, x):  # only where η_t is 1: any exponent fits
        return math.nan, 0.0
    b = float(np.vdot(x, logs) / np.vdot(x, x))
    return b, float(np.max(np.abs(logs - b * x)))


def _named(fit: Exponents) -> Exponents:
    close = 0.02
    for name, convention in NAMED.items():
        off = np.array(convention) - np.array([fit.peak, fit.schedule])
        as_is = abs(fit.decay - 1) < close and abs(fit.factor - 1) < close
        if as_is and np.all(np.abs(off) < close) and fit.residual < close:
            return fit._replace(name=name)
    return fit
