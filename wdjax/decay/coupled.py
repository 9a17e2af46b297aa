"""The pull in front of the optimizer: a penalty on the loss."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from wdjax import check
from wdjax.decay import combine, place
from wdjax.decay import where as where_
from wdjax.decay.gate import Gate, always
from wdjax.decay.pull import Pull, quadratic
from wdjax.decay.target import Target, origin
from wdjax.types import ScalarLike, ScalarOrSchedule


def add_l2(
    l2: ScalarOrSchedule,
    *,
    pull: Pull = quadratic,
    target: Target = origin,
    gate: Gate = always,
    where: where_.Where = None,
) -> optax.GradientTransformation:
    r"""The gradient of an L2 penalty; put it *first* in a chain.

    .. math:: g_t \leftarrow \nabla f(\theta_t)
              + \lambda_2\, m\, \nabla\rho(\theta_t - \text{target}),
              \qquad \rho(x) = \tfrac12\|x\|^2

    Whatever follows (momentum, a preconditioner) acts on the penalty as it acts on
    the loss: minimising :math:`f + \tfrac{\lambda_2}{2}\|\theta\|^2` is meant, and
    for adaptive methods that is *not* weight decay. Complex leaves are added as they
    are: Optax descends along the conjugate of what ``jax.grad`` gives for them.

    Args:
        l2: :math:`\lambda_2 \ge 0`, the coefficient of :math:`\tfrac12\|\theta\|^2`
            in the loss (of :math:`\rho`, for another pull); or its schedule. (Keras'
            ``regularizers.L2(l)`` is :math:`l\|\theta\|^2`: ``l2 = 2 * l``.)
        pull: the penalty :math:`\rho`; see :mod:`wdjax.pull`.
        target: where to; see :mod:`wdjax.target`.
        gate: when; see :mod:`wdjax.gate`.
        where: which leaves, and how strongly (multiplier :math:`m`); ``None`` for
            all. See :mod:`wdjax.where`.

    Returns:
        A gradient transformation whose ``update`` requires ``params``.

    Raises:
        ValueError: ``l2`` is negative or not finite, ``where`` does not fit, or the
            choices make no sense together (:data:`wdjax.decay.combine.REFUSED`).

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithms 1 and 2, line 6 (the pink term).
    """
    check.non_negative("l2", l2)
    axes = combine.axes("coupled", pull, target, gate, where)
    return place.put(place.coupled, l2, axes, caller="add_l2")


def with_l2(
    optimizer: optax.GradientTransformation,
    l2: ScalarOrSchedule,
    *,
    pull: Pull = quadratic,
    target: Target = origin,
    gate: Gate = always,
    where: where_.Where = None,
    strict: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Any optimizer, minimising the loss plus an L2 penalty.

    Args:
        optimizer: what shall see the penalised gradient.
        l2: see :func:`add_l2`.
        pull: see :func:`add_l2`.
        target: see :func:`add_l2`.
        gate: see :func:`add_l2`.
        where: see :func:`add_l2`.
        strict: refuse, rather than warn of, leaves that ``optimizer`` decays too.

    Returns:
        ``optax.chain(add_l2(l2, where=where), optimizer)``.
    """
    penalty = add_l2(l2, pull=pull, target=target, gate=gate, where=where)
    return combine.checked(
        optax.chain(penalty, optimizer), optimizer, place="coupled", strict=strict
    )


def l2_penalty(
    params: PyTree,
    l2: ScalarLike,
    *,
    pull: Pull = quadratic,
    target: Target = origin,
    where: where_.Where = None,
) -> Float[Array, ""]:
    r"""The penalty itself, for the loss.

    .. math:: \lambda_2 \sum_i m_i\, \rho(\theta_i - \text{target}_i),
              \qquad \rho(x) = \tfrac12\|x\|^2

    Its gradient is what :func:`add_l2` adds: use one or the other. (Of complex leaves
    ``jax.grad`` gives the conjugate, as of any loss.) Terms are summed in float32 at
    least.

    Args:
        params: the parameters :math:`\theta`, leaves :math:`i`.
        l2: :math:`\lambda_2 \ge 0`.
        pull: the penalty :math:`\rho`; see :mod:`wdjax.pull`.
        target: where to. A target with a memory of earlier steps (``initial``, an
            average) knows only ``params`` here; give ``wdjax.target.towards`` instead.
        where: the multipliers :math:`m_i`; ``None`` for 1 everywhere.

    Returns:
        The penalty, in the units of the loss.

    Raises:
        ValueError: ``l2`` is negative, not finite or a schedule, ``where`` does not
            fit, the choices make no sense together, or not with a complex leaf.
    """
    check.number("l2", l2, "Give the schedule's value in this step.")
    axes = combine.axes("coupled", pull, target, always, where)
    combine.check_leaves(axes, params)
    multipliers = where_.resolve(where, params)
    thetas, structure = jax.tree.flatten(params)
    memories = place.memories(target.init(params), structure)
    terms = [
        jnp.sum(m * pull.value(target.displacement(_widened(theta), memory)))
        for m, theta, memory in zip(multipliers, thetas, memories, strict=True)
        if not where_.is_zero(m)
    ]
    return l2 * sum(terms, start=jnp.zeros(()))


def _widened(theta: Any) -> Array:
    theta = jnp.asarray(theta)
    return theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
