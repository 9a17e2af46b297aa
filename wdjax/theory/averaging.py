r"""Decoupled decay makes the weights an average of past updates.

Whatever the optimizer, a step with decoupled decay is

.. math:: \theta_{t+1} = (1-\delta_t)\,\theta_t - \alpha_t r_t,
          \qquad t = 0, \dots, T-1,

with :math:`r_t` its direction (momentum, preconditioner and all), and so

.. math:: \theta_T = \underbrace{\prod_s (1-\delta_s)}_{\text{initial weight}} \theta_0
          - \sum_t \alpha_t
          \underbrace{\prod_{s>t} (1-\delta_s)}_{\text{survival}} r_t .

This is an identity: nothing is assumed of :math:`r_t`. With
:math:`q_t = -\alpha_t r_t/\delta_t` it is an exponential moving average of the
:math:`q_t`, whose memory the decay rates alone decide. Derived here, by induction on
:math:`T`.

Throughout, ``decay_rates`` are :math:`\delta_0, \dots, \delta_{T-1} \in [0, 1]`, the
fractions of θ removed in each step, and ``decay_rate`` is that of a constant schedule
or of the peak. Inverses end in ``_decay``. From :math:`\delta = \lambda\alpha^a` at the
peak, the coefficient is :math:`\lambda = \delta/\alpha^a`, with :math:`a` of the
convention.

References:
    Wang & Aitchison, *How to set AdamW's weight decay as you scale model and dataset
    size*, 2024: AdamW as an average, and its timescale.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdjax.types import ScalarLike

Steps = Float[Array, " steps"]
Scalar = Float[Array, ""]


def survival(decay_rates: Steps) -> Steps:
    r"""What is left of each step's update after the last step.

    .. math:: \prod_{s=t+1}^{T-1} (1 - \delta_s)

    The last update is whole: decay reads the weights from before it.

    Args:
        decay_rates: :math:`\delta_t \in [0, 1]`.

    Returns:
        Fractions in [0, 1], one for each step, rising to 1.
    """
    later = jnp.concatenate([1 - decay_rates[1:], jnp.ones(1, decay_rates.dtype)])
    return jnp.cumprod(later[::-1])[::-1]


def initial_weight(decay_rates: Steps) -> Scalar:
    r"""What is left of the initialisation after the last step.

    .. math:: \prod_{t=0}^{T-1} (1 - \delta_t) \le e^{-\sum_t\delta_t}

    :func:`initial_weight_of_budget` is the bound on the right. It is met to the
    relative order :math:`\tfrac12\sum_t\delta_t^2`, half the budget times a rate.

    Args:
        decay_rates: :math:`\delta_t \in [0, 1]`.

    Returns:
        A fraction in [0, 1].
    """
    return jnp.prod(1 - decay_rates)


def unrolled(
    theta_0: Float[Array, " d"],
    directions: Float[Array, "steps d"],
    learning_rates: Steps,
    decay_rates: Steps,
) -> Float[Array, " d"]:
    r"""The weights after the last step, as a sum over all steps.

    .. math:: \theta_T = \prod_s (1-\delta_s)\,\theta_0
              - \sum_t \alpha_t \prod_{s>t} (1-\delta_s)\, r_t

    Exact for every optimizer with decoupled decay (see the module).

    Args:
        theta_0: weights before the first step.
        directions: :math:`r_t`, what the learning rate multiplies; each step's own.
        learning_rates: :math:`\alpha_t`.
        decay_rates: :math:`\delta_t \in [0, 1]`.

    Returns:
        :math:`\theta_T`.
    """
    weights = learning_rates * survival(decay_rates)
    return initial_weight(decay_rates) * theta_0 - weights @ directions


def target_weights(decay_rates: Steps) -> Steps:
    r"""How much of the final weights is each step's target :math:`q_t`.

    .. math:: \delta_t \prod_{s>t} (1-\delta_s), \qquad
              \theta_T = \prod_s(1-\delta_s)\,\theta_0
              + \sum_t \delta_t \prod_{s>t} (1-\delta_s)\, q_t

    with :math:`q_t = -\alpha_t r_t/\delta_t`. With :func:`initial_weight` they sum to
    1: the final weights are an average of initialisation and targets.

    Args:
        decay_rates: :math:`\delta_t \in [0, 1]`.

    Returns:
        Fractions in [0, 1], one for each step.
    """
    return decay_rates * survival(decay_rates)


def timescale(decay_rate: ScalarLike) -> ScalarLike:
    r"""The mean age of an update in the average, in steps.

    .. math:: \tau = \frac1\delta = \sum_{k\ge1} k\,\delta(1-\delta)^{k-1}

    Assumes a constant rate, and a run that is long beside :math:`\tau`. Its own
    inverse: :math:`\delta = 1/\tau`.

    Args:
        decay_rate: :math:`\delta \in (0, 1]`.

    Returns:
        :math:`\tau \ge 1`, in steps.

    References:
        Wang & Aitchison 2024: their :math:`\tau_{\text{iter}} = 1/(\eta\lambda)`.
    """
    return 1 / decay_rate


def timescale_in_epochs(
    decay_rate: ScalarLike, steps_per_epoch: ScalarLike
) -> ScalarLike:
    r"""The mean age of an update in the average, in epochs.

    .. math:: \tau_{\text{epoch}} = \frac{\tau}{n} = \frac{1}{n\,\delta}

    Args:
        decay_rate: :math:`\delta \in (0, 1]`.
        steps_per_epoch: :math:`n = N/b`, examples in an epoch by examples in a step.

    Returns:
        :math:`\tau_{\text{epoch}}`.

    References:
        Wang & Aitchison 2024: :math:`\tau_{\text{epoch}} = \tau_{\text{iter}}\,b/N`.
    """
    return 1 / (decay_rate * steps_per_epoch)


def timescale_in_epochs_decay(
    timescale: ScalarLike, steps_per_epoch: ScalarLike
) -> ScalarLike:
    r"""The decay rate with a timescale in epochs.

    .. math:: \delta = \frac{1}{n\,\tau_{\text{epoch}}}

    Args:
        timescale: :math:`\tau_{\text{epoch}} \ge 1/n`.
        steps_per_epoch: :math:`n = N/b`.

    Returns:
        :math:`\delta`, linear in the batch size.
    """
    return 1 / (timescale * steps_per_epoch)


def half_life(decay_rate: ScalarLike) -> ScalarLike:
    r"""The steps after which half of an update is left.

    .. math:: h = \frac{\ln 2}{-\ln(1-\delta)} \approx \tau\ln 2

    Assumes a constant rate.

    Args:
        decay_rate: :math:`\delta \in (0, 1)`; a Python number gives a Python number.

    Returns:
        :math:`h`, in steps, and not rounded to a whole number of them.
    """
    # log1p: 1 − δ would round the digits of a small δ away.
    log1p = math.log1p if isinstance(decay_rate, float | int) else jnp.log1p
    return math.log(2) / -log1p(-decay_rate)


def half_life_decay(steps: ScalarLike) -> ScalarLike:
    r"""The decay rate with a half-life.

    .. math:: \delta = 1 - 2^{-1/h}

    Args:
        steps: :math:`h > 0`, in steps; a Python number gives a Python number.

    Returns:
        :math:`\delta`.
    """
    exponent = -math.log(2) / steps
    expm1 = math.expm1 if isinstance(exponent, float) else jnp.expm1
    return -expm1(exponent)


def initial_weight_of_budget(budget: ScalarLike) -> Scalar:
    r"""What a decay budget leaves of the initialisation, in the limit of small rates.

    .. math:: e^{-B}, \qquad B = \sum_t \delta_t

    Never less than :func:`initial_weight`, of which it is the limit when a budget is
    spread over more and more steps.

    Args:
        budget: :math:`B \ge 0`.

    Returns:
        A fraction in (0, 1].
    """
    return jnp.exp(-budget)


class Shape(NamedTuple):
    r"""A schedule's power :math:`\eta_t^b`, by its sum over a run of :math:`T` steps.

    .. math:: \sum_{t=0}^{T-1} \eta_t^b = cT + s + \frac{d}{T}

    Attributes:
        per_step: :math:`c`, the mean over a long run.
        start: :math:`s`, since the first step has the peak and no step has the end.
        over_steps: :math:`d`.
    """

    per_step: float
    start: float
    over_steps: float


CONSTANT = Shape(1.0, 0.0, 0.0)
r""":math:`\eta_t = 1`, for every :math:`b`."""
COSINE = Shape(1 / 2, 1 / 2, 0.0)
r""":math:`\eta_t = \tfrac12(1+\cos\frac{\pi t}{T})`, for :math:`T \ge 1`. In the sum
of cosines steps :math:`t` and :math:`T-t` cancel, which leaves :math:`t = 0`."""
COSINE_SQUARED = Shape(3 / 8, 1 / 2, 0.0)
r"""Its square :math:`\tfrac38 + \tfrac12\cos\frac{\pi t}{T} +
\tfrac18\cos\frac{2\pi t}{T}`, of which the last sums to 0, for :math:`T \ge 2`."""
LINEAR = Shape(1 / 2, 1 / 2, 0.0)
r""":math:`\eta_t = 1 - t/T`: the sum of the first integers, by :math:`T`."""
LINEAR_SQUARED = Shape(1 / 3, 1 / 2, 1 / 6)
r"""Its square: the sum of the first squares, by :math:`T^2`."""


def share(shape: Shape, steps: ScalarLike) -> ScalarLike:
    r"""The mean of :math:`\eta_t^b` over a run.

    .. math:: \frac1T \sum_{t=0}^{T-1} \eta_t^b = c + \frac{s}{T} + \frac{d}{T^2}

    Args:
        shape: :math:`c, s, d`.
        steps: :math:`T \ge 2`; infinite for the limit :math:`c`.

    Returns:
        A fraction in (0, 1].
    """
    return shape.per_step + shape.start / steps + shape.over_steps / steps**2


def budget(decay_rate: ScalarLike, steps: ScalarLike, shape: Shape) -> ScalarLike:
    r"""The decay budget of a run.

    .. math:: B = \sum_t \delta_t = \delta \sum_{t=0}^{T-1} \eta_t^b

    for :math:`\delta_t = \delta\,\eta_t^b`: the peak times the schedule to the power
    of the convention, :math:`b = 1` for most and 2 for the corrected one, whose
    :math:`\delta_t = \lambda\alpha_t^2/\alpha_{\max}` is
    :math:`\lambda\alpha_{\max}\eta_t^2`.

    Args:
        decay_rate: :math:`\delta`, of the peak.
        steps: :math:`T \ge 2`.
        shape: of :math:`\eta_t^b`.

    Returns:
        :math:`B`, the negative logarithm of what is left of the initialisation, nearly.
    """
    return decay_rate * steps * share(shape, steps)


def budget_decay(budget: ScalarLike, steps: ScalarLike, shape: Shape) -> ScalarLike:
    r"""The decay rate at the peak that a budget asks for.

    .. math:: \delta = B \Big/ \sum_{t=0}^{T-1} \eta_t^b

    The inverse of :func:`budget`.

    Args:
        budget: :math:`B \ge 0`.
        steps: :math:`T \ge 2`.
        shape: of :math:`\eta_t^b`.

    Returns:
        :math:`\delta`, of the peak; :math:`\lambda = \delta/\alpha^a`.
    """
    return budget / (steps * share(shape, steps))


def equal_budget_factor(old: Shape, new: Shape, steps: ScalarLike) -> ScalarLike:
    r"""What to multiply λ by when the shape changes and the budget shall not.

    .. math:: \frac{\sum_t \eta_t^{b}}{\sum_t \eta_t^{b'}}

    From ``COSINE`` to ``COSINE_SQUARED``, that is from AdamW to its corrected decay
    under a cosine, :math:`\tfrac12 : \tfrac38 = \tfrac43` in a long run; under a linear
    schedule :math:`\tfrac32`.

    Args:
        old: of :math:`\eta_t^b`.
        new: of :math:`\eta_t^{b'}`.
        steps: :math:`T \ge 2`; infinite for the limit.

    Returns:
        The factor.
    """
    return share(old, steps) / share(new, steps)
