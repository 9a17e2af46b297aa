"""The pull behind the optimizer: weight decay."""

from typing import Any

import optax

from wdjax import check
from wdjax.decay import combine, place
from wdjax.decay import where as where_
from wdjax.decay.gate import Gate, always
from wdjax.decay.pull import Pull, quadratic
from wdjax.decay.target import Target, origin
from wdjax.types import ScalarOrSchedule


def decay_weights(
    decay_rate: ScalarOrSchedule,
    *,
    pull: Pull = quadratic,
    target: Target = origin,
    gate: Gate = always,
    where: where_.Where = None,
) -> optax.GradientTransformation:
    r"""Remove a fraction of the weights in every step; put it *last* in a chain.

    .. math:: u_t \leftarrow u_t - \delta_t\, m\,
        \nabla\rho(\theta_t - \text{target}),
        \qquad\text{so that}\qquad
        \theta_{t+1} = (1 - \delta_t m)\,\theta_t - \alpha_t r_t

    for :math:`\rho(x) = \tfrac12\|x\|^2` and the origin. Nothing that follows may
    rescale it: the learning rate is already in :math:`\delta_t`, where a
    :class:`~wdjax.Convention` puts it.

    Args:
        decay_rate: :math:`\delta_t \in [0, 1]`, the fraction of θ removed in step
            :math:`t`; or its schedule, from :func:`wdjax.decay_rate`,
            :mod:`wdjax.rate` or your own. For a pull that is not quadratic, any
            number ≥ 0.
        pull: the penalty :math:`\rho`; see :mod:`wdjax.pull`.
        target: where to; see :mod:`wdjax.target`.
        gate: when; see :mod:`wdjax.gate`.
        where: which leaves, and how strongly (multiplier :math:`m`); ``None`` for
            all. See :mod:`wdjax.where`.

    Returns:
        A gradient transformation whose ``update`` requires ``params``.

    Raises:
        ValueError: ``decay_rate`` is not in [0, 1], ``where`` does not fit, or the
            choices make no sense together (:data:`wdjax.decay.combine.REFUSED`).

    References:
        Hanson & Pratt, *Comparing Biases for Minimal Network Construction with
        Back-Propagation*, 1988; Loshchilov & Hutter, *Decoupled Weight Decay
        Regularization*, 2019, eq. (1).
    """
    axes = combine.axes("decoupled", pull, target, gate, where)
    _check_explicit(decay_rate, pull)
    return place.put(place.decoupled, decay_rate, axes, caller="decay_weights")


def decay_weights_after(
    decay_rate: ScalarOrSchedule,
    *,
    pull: Pull = quadratic,
    target: Target = origin,
    gate: Gate = always,
    where: where_.Where = None,
) -> optax.GradientTransformation:
    r"""Remove a fraction of the *stepped* weights; put it last in a chain.

    .. math:: \theta_{t+1} = (1 - \delta_t m)\,(\theta_t - \alpha_t r_t)

    :func:`decay_weights` shrinks the old point beside the step; this shrinks the new
    one, the step included. The legacy AdamW of Hugging Face and AdamCPR do so.

    Args:
        decay_rate: see :func:`decay_weights`.
        pull: see :func:`decay_weights`.
        target: see :func:`decay_weights`.
        gate: see :func:`decay_weights`.
        where: see :func:`decay_weights`.

    Returns:
        A gradient transformation whose ``update`` requires ``params``.

    Raises:
        ValueError: as :func:`decay_weights`.
    """
    axes = combine.axes("after", pull, target, gate, where)
    _check_explicit(decay_rate, pull)
    return place.put(place.after, decay_rate, axes, caller="decay_weights_after")


def decay_weights_proximally(
    decay_rate: ScalarOrSchedule,
    *,
    pull: Pull = quadratic,
    target: Target = origin,
    gate: Gate = always,
    where: where_.Where = None,
) -> optax.GradientTransformation:
    r"""Send the stepped weights to their proximal point; put it last in a chain.

    .. math:: \theta_{t+1} = \mathrm{prox}_{\delta_t m \rho}(\theta_t - \alpha_t r_t),
        \qquad\text{for } \rho(x) = \tfrac12\|x\|^2:\quad
        \theta_{t+1} = \frac{\theta_t - \alpha_t r_t}{1 + \delta_t m}

    The implicit form of :func:`decay_weights`: stable for every :math:`\delta \ge 0`,
    and for the L1 norm the soft threshold, which reaches zeros exactly.

    Args:
        decay_rate: :math:`\delta_t \ge 0`, the proximal step; or its schedule.
        pull: the penalty :math:`\rho`; one with a proximal point in closed form.
        target: see :func:`decay_weights`.
        gate: see :func:`decay_weights`.
        where: see :func:`decay_weights`.

    Returns:
        A gradient transformation whose ``update`` requires ``params``.

    Raises:
        ValueError: ``decay_rate`` is negative or not finite; else as
            :func:`decay_weights`.

    References:
        Zhuang et al., *Understanding AdamW through Proximal Methods and
        Scale-Freeness*, 2022, eq. (6), AdamProx.
    """
    axes = combine.axes("proximal", pull, target, gate, where)
    check.non_negative("decay_rate", decay_rate)
    return place.put(
        place.proximal, decay_rate, axes, caller="decay_weights_proximally"
    )


def with_weight_decay(
    optimizer: optax.GradientTransformation,
    decay_rate: ScalarOrSchedule,
    *,
    pull: Pull = quadratic,
    target: Target = origin,
    gate: Gate = always,
    where: where_.Where = None,
    strict: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Any optimizer, followed by decoupled weight decay.

    Switch off a decay of its own first: ``optax.lion`` has 1e-3 by default,
    ``optax.adamw`` 1e-4 (``weight_decay=0.0``).

    Around ``optax.MultiSteps`` or ``optax.apply_if_finite`` the decay would act in
    every mini-step and on skipped steps: wrap those around the result instead.

    Args:
        optimizer: what makes the update, learning rate included.
        decay_rate: see :func:`decay_weights`.
        pull: see :func:`decay_weights`.
        target: see :func:`decay_weights`.
        gate: see :func:`decay_weights`.
        where: see :func:`decay_weights`.
        strict: refuse, rather than warn of, leaves that ``optimizer`` penalises too, or
            decays by a ``weight_decay`` of its own.

    Returns:
        ``optax.chain(optimizer, decay_weights(decay_rate, where=where))``.
    """
    decay = decay_weights(decay_rate, pull=pull, target=target, gate=gate, where=where)
    return combine.checked(
        optax.chain(optimizer, decay), optimizer, place="decoupled", strict=strict
    )


def _check_explicit(decay_rate: Any, pull: Pull) -> None:
    """A fraction for the quadratic; a mere step size for other penalties."""
    if pull == quadratic:
        check.fraction("decay_rate", decay_rate)
    else:
        check.non_negative("decay_rate", decay_rate)
