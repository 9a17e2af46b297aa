r"""How much: rates δ_t from budgets, timescales and windows of training.

Each returns :math:`\delta_t`, the fraction of θ removed in step :math:`t`, for any
``decay_rate=`` argument: a scalar where everything given is one, else a schedule of
steps from 0. Where a ``multiplier`` is asked for, it is :math:`\eta_t \in [0, 1]`, a
number or a schedule; that of a learning rate schedule is
``wdjax.decay_rate(1.0, schedule, wdjax.PAPER, peak_learning_rate=…)``. With the
default, 1, the result is also the :math:`\lambda` of the ``PAPER`` convention, so
``wdjax.adamw(schedule, wdjax.rate.normalised(0.05, steps), convention=wdjax.PAPER,
peak_learning_rate=…)`` means the same.

Every number may be traced; one that is known now and senseless is refused.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax

from wdjax import check
from wdjax.decay.schedule import at, widened
from wdjax.types import ScalarLike, ScalarOrSchedule, Schedule


def product(*factors: ScalarOrSchedule) -> ScalarOrSchedule:
    """The product of scalars and schedules; a schedule if one of them is.

    Args:
        factors: numbers, arrays of shape () or schedules.

    Returns:
        A rate, in the default float type at least.
    """
    if any(callable(factor) for factor in factors):
        return lambda t: math.prod(widened(at(factor, t)) for factor in factors)
    return math.prod(widened(factor) for factor in factors)


def normalised(
    weight_decay: ScalarOrSchedule,
    steps: ScalarLike | Sequence[ScalarLike],
    multiplier: ScalarOrSchedule = 1.0,
) -> ScalarOrSchedule:
    r"""The decay rate that a budget of steps asks for.

    .. math:: \delta_t = \frac{\lambda_{\text{norm}}}{\sqrt{S_{i(t)}}}\,\eta_t,

    with :math:`S_i` the length of the restart :math:`i(t)` that step :math:`t` lies
    in, *not* of the whole run. A run without restarts is one of length :math:`S`.
    :math:`\lambda_{\text{norm}}` is the decay for a budget of one step.

    Args:
        weight_decay: :math:`\lambda_{\text{norm}} \ge 0`; or its schedule.
        steps: :math:`S \ge 1`, the budget; or the length of each restart, in order.
            They are lengths, such as the ``decay_steps`` that
            ``optax.sgdr_schedule`` takes, and no cumulative boundaries. A restart
            begins at the boundary itself, as in ``optax.join_schedules``; the last
            one goes on for ever.
        multiplier: :math:`\eta_t`; see the module.

    Returns:
        :math:`\delta_t`.

    Raises:
        ValueError: a rate is negative or not finite, there is no length, or one is
            below 1.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019, appendix
        B.1 with its footnote on restarts: λ = λ_norm √(b/(B·T)), where
        B·T/b is our S. :func:`normalised_by_batch` takes their letters.
    """
    check.non_negative("weight_decay", weight_decay)
    check.non_negative("multiplier", multiplier)
    if not isinstance(steps, Sequence):
        _check_at_least_one("steps", steps)
        return product(weight_decay, steps**-0.5, multiplier)
    if not steps:
        raise ValueError("steps is empty; give the length of each restart.")
    for i, length in enumerate(steps):
        _check_at_least_one(f"steps[{i}]", length)
    return product(weight_decay, _one_over_root(steps), multiplier)


def normalised_by_batch(
    weight_decay: ScalarOrSchedule,
    batch_size: ScalarLike,
    examples: ScalarLike,
    epochs: ScalarLike,
    multiplier: ScalarOrSchedule = 1.0,
) -> ScalarOrSchedule:
    r""":func:`normalised` for a budget that is given in epochs.

    .. math:: \delta_t = \lambda_{\text{norm}} \sqrt{\frac{b}{N\,T}}\;\eta_t

    The root of the batch size. A timescale of constant length in epochs
    (:func:`from_timescale_in_epochs`) is linear in it: the two rules disagree.

    Args:
        weight_decay: :math:`\lambda_{\text{norm}} \ge 0`; or its schedule.
        batch_size: :math:`b`, examples in a step.
        examples: :math:`N`, examples in an epoch.
        epochs: :math:`T`, of the run or, with restarts, of the current restart.
        multiplier: :math:`\eta_t`; see the module.

    Returns:
        :math:`\delta_t`.

    Raises:
        ValueError: a rate is negative or not finite, a size is not positive, or the
            budget is less than one step.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019, appendix
        B.1; their B is our N.
    """
    for name, size in zip(
        ("batch_size", "examples", "epochs"),
        (batch_size, examples, epochs),
        strict=True,
    ):
        check.positive(name, size)
    steps = examples * epochs / batch_size
    _check_at_least_one("examples · epochs / batch_size", steps)
    return normalised(weight_decay, steps, multiplier)


def normalised_with_restarts(
    weight_decay: ScalarOrSchedule, cosine_kwargs: Sequence[dict[str, Any]]
) -> Schedule:
    r"""The decay rate that belongs to ``optax.sgdr_schedule(cosine_kwargs)``.

    .. math:: \delta_t = \frac{\lambda_{\text{norm}}}{\sqrt{S_i}}\,
              \frac{\alpha_t}{\alpha_i}, \qquad i = i(t),

    with :math:`S_i` and :math:`\alpha_i` the ``decay_steps`` and the ``peak_value`` of
    restart :math:`i`. So :math:`\eta_t = \alpha_t / \alpha_i` reaches 1 in every
    restart, as in the paper, also where the peaks fall from one to the next. For an
    :math:`\eta_t` that falls with them, divide by one peak:
    ``normalised(weight_decay, lengths, multiplier)``.

    Args:
        weight_decay: :math:`\lambda_{\text{norm}} \ge 0`; or its schedule.
        cosine_kwargs: what ``optax.sgdr_schedule`` takes.

    Returns:
        :math:`\delta_t`, a schedule.

    Raises:
        ValueError: the rate is negative or not finite, there is no restart, or one
            has a length below 1 or a peak that is not positive.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019, appendices
        B.1 and B.2.
    """
    lengths = [restart["decay_steps"] for restart in cosine_kwargs]
    peaks = [restart["peak_value"] for restart in cosine_kwargs]
    for i, peak in enumerate(peaks):
        check.positive(f"cosine_kwargs[{i}]['peak_value']", peak)
    lam = normalised(weight_decay, lengths)
    alpha = optax.sgdr_schedule(cosine_kwargs)

    def rate(t: Any) -> Any:
        eta = alpha(t) / widened(peaks)[_restart(lengths, t)]
        return at(lam, t) * eta

    return rate


def from_timescale(
    steps: ScalarLike, multiplier: ScalarOrSchedule = 1.0
) -> ScalarOrSchedule:
    r"""The decay rate whose weights are an average over the last ``steps`` steps.

    .. math:: \delta_t = \eta_t / \tau,
        \qquad \theta_{t+1} = (1 - \tfrac{1}{\tau})\,\theta_t + \tfrac{1}{\tau}\,q_t

    at :math:`\eta_t = 1`: decoupled decay makes the weights an exponential moving
    average, with timescale :math:`\tau`, of the targets
    :math:`q_t = -\alpha\tau\,r_t`. Under a schedule :math:`\tau` is that of the peak,
    and the ``PAPER`` convention with :math:`\lambda = 1/\tau` is meant.

    Args:
        steps: :math:`\tau \ge 1`, in steps.
        multiplier: :math:`\eta_t`; see the module.

    Returns:
        :math:`\delta_t`.

    Raises:
        ValueError: the timescale is shorter than a step, or ``multiplier`` is
            negative or not finite.

    References:
        Wang & Aitchison, *How to set AdamW's weight decay as you scale model and
        dataset size*, 2024: their :math:`1/\tau_{\text{iter}} = \eta\lambda`, the
        learning rate times PyTorch's λ.
    """
    _check_at_least_one("steps", steps)
    check.non_negative("multiplier", multiplier)
    return product(steps**-1.0, multiplier)


def from_timescale_in_samples(
    samples: ScalarLike, batch_size: ScalarLike, multiplier: ScalarOrSchedule = 1.0
) -> ScalarOrSchedule:
    r""":func:`from_timescale` with the timescale counted in examples.

    .. math:: \delta_t = \frac{b}{\tau_{\text{samples}}}\,\eta_t

    Args:
        samples: :math:`\tau_{\text{samples}} \ge b`.
        batch_size: :math:`b`, examples in a step.
        multiplier: :math:`\eta_t`; see the module.

    Returns:
        :math:`\delta_t`, linear in the batch size.

    Raises:
        ValueError: a size is not positive, or the timescale is shorter than a step.
    """
    check.positive("samples", samples)
    check.positive("batch_size", batch_size)
    _check_at_least_one("samples / batch_size", samples / batch_size)
    return from_timescale(samples / batch_size, multiplier)


def from_timescale_in_epochs(
    epochs: ScalarLike,
    examples: ScalarLike,
    batch_size: ScalarLike,
    multiplier: ScalarOrSchedule = 1.0,
) -> ScalarOrSchedule:
    r""":func:`from_timescale` with the timescale counted in epochs.

    .. math:: \delta_t = \frac{b}{N\,\tau_{\text{epoch}}}\,\eta_t

    The optimal :math:`\tau_{\text{epoch}}` hardly depends on the sizes of model and
    data; so a larger data set asks for a smaller decay.

    Args:
        epochs: :math:`\tau_{\text{epoch}} > 0`.
        examples: :math:`N`, examples in an epoch.
        batch_size: :math:`b`, examples in a step.
        multiplier: :math:`\eta_t`; see the module.

    Returns:
        :math:`\delta_t`, linear in the batch size.

    Raises:
        ValueError: a size is not positive, or the timescale is shorter than a step.

    References:
        Wang & Aitchison, *How to set AdamW's weight decay as you scale model and
        dataset size*, 2024: :math:`\tau_{\text{epoch}} = \tau_{\text{iter}}\,b/N`.
    """
    check.positive("epochs", epochs)
    check.positive("examples", examples)
    return from_timescale_in_samples(epochs * examples, batch_size, multiplier)


def early(decay_rate: ScalarOrSchedule, steps: ScalarLike) -> Schedule:
    r"""A decay that stops.

    .. math:: \delta_t\,\mathbf 1[t < s]

    Args:
        decay_rate: :math:`\delta_t`, a number or a schedule.
        steps: :math:`s \ge 0`, how many of the first steps decay.

    Returns:
        The schedule. It sees the same step counts as ``decay_rate``.

    Raises:
        ValueError: an argument is negative or not finite.

    References:
        Golatkar, Achille & Soatto, *Time Matters in Regularizing Deep Networks*, 2019;
        Bjorck, Weinberger & Gomes, *Understanding Decoupled and Early Weight Decay*,
        2021.
    """
    check.non_negative("decay_rate", decay_rate)
    check.number("steps", steps)
    return lambda t: jnp.where(jnp.less(t, steps), at(decay_rate, t), 0.0)


def late(decay_rate: ScalarOrSchedule, steps: ScalarLike) -> Schedule:
    r"""A decay that starts later; with :func:`early` it makes up the whole.

    .. math:: \delta_t\,\mathbf 1[t \ge s]

    Args:
        decay_rate: :math:`\delta_t`, a number or a schedule.
        steps: :math:`s \ge 0`, how many of the first steps do not decay.

    Returns:
        The schedule. It sees the same step counts as ``decay_rate``.

    Raises:
        ValueError: an argument is negative or not finite.

    References:
        Golatkar, Achille & Soatto, *Time Matters in Regularizing Deep Networks*, 2019.
    """
    check.non_negative("decay_rate", decay_rate)
    check.number("steps", steps)
    return lambda t: jnp.where(jnp.less(t, steps), 0.0, at(decay_rate, t))


def _one_over_root(lengths: Sequence[Any]) -> Schedule:
    """1/√S of the restart that a step lies in."""
    return lambda t: widened(lengths)[_restart(lengths, t)] ** -0.5


def _restart(lengths: Sequence[Any], t: Any) -> Any:
    """The number of the restart that step ``t`` lies in."""
    starts = jnp.cumsum(jnp.asarray(lengths))[:-1]
    # A boundary belongs to what it begins. Optax tests t < boundary likewise.
    return jnp.searchsorted(starts, t, side="right", method="compare_all")


def _check_at_least_one(name: str, value: Any) -> None:
    check.positive(name, value)
    if check.is_concrete(value) and value < 1:
        raise ValueError(
            f"{name} is {float(value):g}; it is a number of steps, at least 1. Check "
            "its units: steps, not epochs and not a fraction of the run."
        )
