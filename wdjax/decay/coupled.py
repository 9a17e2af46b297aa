"""The pull in front of the optimizer: an L2 penalty."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from wdjax import check
from wdjax.decay import where as where_
from wdjax.decay.pull import add_pull
from wdjax.types import ScalarLike, ScalarOrSchedule


def add_l2(
    l2: ScalarOrSchedule, *, where: where_.Where = None
) -> optax.GradientTransformation:
    r"""The gradient of an L2 penalty; put it *first* in a chain.

    .. math:: g_t \leftarrow \nabla f(\theta_t) + \lambda_2\, m\, \theta_t

    Whatever follows (momentum, a preconditioner) acts on the penalty as it acts on
    the loss: minimising :math:`f + \tfrac{\lambda_2}{2}\|\theta\|^2` is meant, and
    for adaptive methods that is *not* weight decay.

    Args:
        l2: :math:`\lambda_2 \ge 0`, the coefficient of :math:`\tfrac12\|\theta\|^2`
            in the loss; or its schedule. (Keras' ``regularizers.L2(l)`` is
            :math:`l\|\theta\|^2`: ``l2 = 2 * l``.)
        where: which leaves, and how strongly (multiplier :math:`m`); ``None`` for
            all. See :mod:`wdjax.where`.

    Returns:
        A gradient transformation whose ``update`` requires ``params``.

    Raises:
        ValueError: ``l2`` is negative or not finite, or ``where`` does not fit.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithms 1 and 2, line 6 (the pink term).
    """
    check.non_negative("l2", l2)
    return add_pull(l2, where=where, caller="add_l2")  # g ← g + λ₂θ


def with_l2(
    optimizer: optax.GradientTransformation,
    l2: ScalarOrSchedule,
    *,
    where: where_.Where = None,
) -> optax.GradientTransformationExtraArgs:
    """Any optimizer, minimising the loss plus an L2 penalty.

    Args:
        optimizer: what shall see the penalised gradient.
        l2: see :func:`add_l2`.
        where: see :func:`add_l2`.

    Returns:
        ``optax.chain(add_l2(l2, where=where), optimizer)``.
    """
    return optax.chain(add_l2(l2, where=where), optimizer)


def l2_penalty(
    params: PyTree, l2: ScalarLike, *, where: where_.Where = None
) -> Float[Array, ""]:
    r"""The penalty itself, for the loss.

    .. math:: \tfrac{\lambda_2}{2} \sum_i m_i \|\theta_i\|^2

    Its gradient is what :func:`add_l2` adds: use one or the other. Squares are
    summed in float32 at least.

    Args:
        params: the parameters :math:`\theta`, leaves :math:`i`.
        l2: :math:`\lambda_2 \ge 0`.
        where: the multipliers :math:`m_i`; ``None`` for 1 everywhere.

    Returns:
        The penalty, in the units of the loss.

    Raises:
        ValueError: ``l2`` is negative or not finite, or ``where`` does not fit.
    """
    check.non_negative("l2", l2)
    multipliers = jax.tree.leaves(where_.resolve(where, params))
    terms = [
        m * _sum_of_squares(theta)
        for m, theta in zip(multipliers, jax.tree.leaves(params), strict=True)
        if not where_.is_zero(m)
    ]
    return jnp.asarray(0.5 * l2 * sum(terms, start=jnp.zeros(())))


def _sum_of_squares(theta: Array) -> Float[Array, ""]:
    dtype = jnp.promote_types(theta.dtype, jnp.float32)
    return jnp.sum(jnp.real(theta.astype(dtype) * jnp.conj(theta.astype(dtype))))
