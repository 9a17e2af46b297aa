"""The pull behind the optimizer: decoupled weight decay."""

from typing import Any

import optax

from wdjax import check
from wdjax.decay import where as where_
from wdjax.decay.pull import add_pull
from wdjax.types import ScalarOrSchedule


def decay_weights(
    decay_rate: ScalarOrSchedule, *, where: where_.Where = None
) -> optax.GradientTransformation:
    r"""Remove a fraction of the weights in every step; put it *last* in a chain.

    .. math:: u_t \leftarrow u_t - \delta_t\, m\, \theta_t,
        \qquad\text{so that}\qquad
        \theta_{t+1} = (1 - \delta_t m)\,\theta_t - \alpha_t r_t

    Nothing that follows may rescale it: the learning rate is already in
    :math:`\delta_t`, where a :class:`~wdjax.Convention` puts it.

    Args:
        decay_rate: :math:`\delta_t \in [0, 1]`, the fraction of θ removed in step
            :math:`t`; or its schedule, from :func:`wdjax.decay_rate` or your own.
        where: which leaves, and how strongly (multiplier :math:`m`); ``None`` for
            all. See :mod:`wdjax.where`.

    Returns:
        A gradient transformation whose ``update`` requires ``params``.

    Raises:
        ValueError: ``decay_rate`` is not in [0, 1], or ``where`` does not fit.

    References:
        Hanson & Pratt, *Comparing Biases for Minimal Network Construction with
        Back-Propagation*, 1988; Loshchilov & Hutter, *Decoupled Weight Decay
        Regularization*, 2019, eq. (1).
    """
    check.fraction("decay_rate", decay_rate)
    return add_pull(_negative(decay_rate), where=where, caller="decay_weights")


def with_weight_decay(
    optimizer: optax.GradientTransformation,
    decay_rate: ScalarOrSchedule,
    *,
    where: where_.Where = None,
) -> optax.GradientTransformationExtraArgs:
    """Any optimizer, followed by decoupled weight decay.

    Switch off a decay of its own first: ``optax.lion`` has 1e-3 by default,
    ``optax.adamw`` 1e-4 (``weight_decay=0.0``).

    Around ``optax.MultiSteps`` or ``optax.apply_if_finite`` the decay would act in
    every mini-step and on skipped steps: wrap those around the result instead.

    Args:
        optimizer: what makes the update, learning rate included.
        decay_rate: see :func:`decay_weights`.
        where: see :func:`decay_weights`.

    Returns:
        ``optax.chain(optimizer, decay_weights(decay_rate, where=where))``.
    """
    return optax.chain(optimizer, decay_weights(decay_rate, where=where))


def _negative(rate: ScalarOrSchedule) -> Any:
    if callable(rate):
        schedule: Any = rate
        return lambda t: -schedule(t)
    return -rate
