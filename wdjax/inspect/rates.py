r"""Rates over a run, step by step in float64, and what they add up to.

``delta`` is :math:`\delta_t` for :math:`t = 0, \dots, T - 1`, the fraction of θ removed
in each step.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from wdjax import check
from wdjax.types import ScalarOrSchedule

Steps = Float[np.ndarray, " steps"]


def over_the_run(name: str, rate: ScalarOrSchedule, steps: int) -> Steps:
    """A rate in each step of a run.

    Args:
        name: the argument's name, for messages.
        rate: a number, or a schedule of steps from 0.
        steps: :math:`T`.

    Returns:
        Its values; schedules are computed in their own precision.

    Raises:
        ValueError: the rate is traced, or a schedule that cannot be.
    """
    if not callable(rate):
        if not check.is_concrete(rate):
            raise ValueError(
                f"{name} is traced; the doctor looks at its value. Call it outside jit "
                "and vmap."
            )
        return np.full(steps, float(rate))
    try:
        values = jax.jit(jax.vmap(rate))(jnp.arange(steps))
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise ValueError(
            f"{name} is a schedule that cannot be traced ({type(error).__name__}), and "
            "would fail in a training step under jit too. Choose by jnp.where, compute "
            "by jax.numpy."
        ) from None
    if values.shape != (steps,):
        raise ValueError(
            f"{name} is a schedule whose value has shape {values.shape[1:]}; it must "
            "be a scalar."
        )
    return np.asarray(values, np.float64)


def budget(delta: Steps) -> float:
    r"""The decay budget, :math:`\sum_t \delta_t`."""
    return float(np.sum(delta))


def initial_weight_left(delta: Steps) -> float:
    r"""The weight of the initialisation at the end, :math:`\prod_t |1 - \delta_t|`."""
    with np.errstate(over="ignore"):  # a rate above 2 is a finding of its own
        return float(np.prod(np.abs(1 - delta)))


def timescale(delta: float) -> float:
    r"""How many steps the weights average over, :math:`1/\delta`; ∞ without decay.

    References:
        Wang & Aitchison, *How to set AdamW's weight decay as you scale model and
        dataset size*, 2024: their :math:`\tau_{\text{iter}}`.
    """
    return 1 / delta if delta else np.inf


def half_life(delta: float) -> float:
    r"""After how many steps half of a weight is left, :math:`\ln 2/(-\ln|1-\delta|)`.

    ∞ where it never is: without decay, and for :math:`\delta \ge 2`.
    """
    left = abs(1 - delta)
    if left == 0:
        return 0.0
    # log1p: 1 − δ rounds δ away below 1e-16, and 8 of its digits at 1e-8.
    rate = -np.log1p(-delta) if delta < 1 else -np.log(left)
    return float(np.log(2) / rate) if rate > 0 else np.inf


def first(condition: Any) -> int:
    """The first step in which a condition holds."""
    return int(np.argmax(condition))
