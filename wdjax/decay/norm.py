r"""Norm control: instead of pulling weights all the time, say how long they may be.

Transformations that are put *last* in a chain and act on the point
:math:`p = \theta + u` that the optimizer steps to, each layer for itself:

======================  ========================================================
:func:`constrain_norm`  no longer than a bound, by a multiplier that adapts (CPR)
:func:`hold_norm`       always of one norm: rescale after the step
======================  ========================================================

`turn` holds the norm too, and says how far the weights turn in a step.

A layer is a leaf, or each entry of a stack (``stacked=``, as in
:func:`wdjax.target.norm`). Where nothing else is said they act on
:data:`wdjax.where.matrices`: biases start at zero, and to hold that would freeze them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from wdjax import check
from wdjax.decay import carry, combine, layers, ledger, place
from wdjax.decay import where as where_
from wdjax.decay.bound import Bound
from wdjax.decay.gate import always
from wdjax.decay.pull import quadratic
from wdjax.decay.schedule import at, increment
from wdjax.decay.target import InitialNorm, Norm, initial_norm
from wdjax.types import ScalarOrSchedule

START = initial_norm()
"""The default sphere, as one object: arguments are compared by what they are."""


class ConstraintState(NamedTuple):
    """What :func:`constrain_norm` remembers; ``None`` for leaves that are left alone.

    Attributes:
        step: the count of steps.
        multiplier: λ of each layer.
        bound: the bound's memory.
    """

    step: Int[Array, ""]
    multiplier: PyTree
    bound: PyTree


def constrain_norm(
    bound: Bound,
    *,
    multiplier_rate: ScalarOrSchedule = 1.0,
    where: where_.Where = where_.matrices,
    stacked: Mapping[str, int] | None = None,
) -> optax.GradientTransformation:
    r"""Constrained parameter regularisation (CPR): decay only what is too long.

    .. math::

        \lambda_t &= \min\bigl(\tfrac12, \max(0,\;
                     \lambda_{t-1} + c\,(R(p_t) - \kappa))\bigr),
                     \qquad R(p) = \tfrac1n \|p\|^2 \\
        \theta_{t+1} &= p_t - \lambda_t \nabla\|p_t\|^2 = (1 - 2\lambda_t)\,p_t

    for every layer of :math:`n` weights, with a multiplier :math:`\lambda_0 = 0`. While
    a layer stays within its bound, nothing happens to it.

    Args:
        bound: :math:`\kappa`; see :mod:`wdjax.bound`.
        multiplier_rate: :math:`c \ge 0`, AdamCPR's ``kappa_update``; or its schedule.
        where: which leaves: 0 or 1, for all or nothing.
        stacked: which leading axes count layers; see :func:`wdjax.target.norm`.

    Returns:
        A gradient transformation whose ``update`` requires ``params``. Memory: two
        numbers for each layer, four with :func:`wdjax.bound.inflection`.

    Raises:
        ValueError: ``multiplier_rate`` is negative or not finite, ``bound`` is none, or
            ``where`` or ``stacked`` does not fit.

    References:
        Franke et al., *Improving Deep Learning Optimization through Constrained
        Parameter Regularization*, 2024. The order (step, multiplier, shrinking), the
        rate :math:`c/n` on the sum of squares and the factor 2 are those of the
        released AdamCPR with ``reg_function="l2"``. There λ may exceed ½, which turns
        the weights over; here it is kept from that.
    """
    check.non_negative("constrain_norm: multiplier_rate", multiplier_rate)
    if not isinstance(bound, Bound) or isinstance(bound, type):
        raise ValueError(
            f"bound is {bound!r}; give one of wdjax.bound, such as "
            "wdjax.bound.from_start()."
        )

    def init(params: PyTree) -> ConstraintState:
        ledger.note("constrain_norm", multiplier_rate, where, params)
        starts = layers.mean_squares(params, where, stacked)
        return ConstraintState(
            jnp.zeros((), jnp.int32),
            jax.tree.map(jnp.zeros_like, starts),
            jax.tree.map(bound.init, starts),
        )

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, ConstraintState]:
        c = at(multiplier_rate, state.step)
        step = increment(state.step)

        def constrain(u: Any, theta: Any, multiplier: Any, memory: Any) -> Any:
            return _constrained(u, theta, multiplier, memory, (bound, c, step))

        memories = (state.multiplier, state.bound)
        us, multipliers, kept = layers.each(
            constrain, updates, params, memories, caller="constrain_norm"
        )
        return us, ConstraintState(step, multipliers, kept)

    return optax.GradientTransformation(init, update)


def hold_norm(
    target: Norm | InitialNorm = START,
    *,
    where: where_.Where = where_.matrices,
) -> optax.GradientTransformation:
    r"""Rescale every layer to one norm after each step.

    .. math:: \theta_{t+1} = R\,\frac{\theta_t + u_t}{\|\theta_t + u_t\|}

    This is :func:`~wdjax.decay_weights_after` with :math:`\delta = 1` towards the
    sphere. A layer that steps onto zero stays there for that step.

    Args:
        target: the sphere: :func:`wdjax.target.initial_norm` or
            :func:`wdjax.target.norm`.
        where: which leaves; a multiplier below 1 goes that part of the way.

    Returns:
        A gradient transformation whose ``update`` requires ``params``. Memory: one
        number for each layer.

    Raises:
        ValueError: ``target`` is no sphere, or ``where`` does not fit.

    References:
        The weight half of Wen et al., *Fantastic Pretraining Optimizers and Where to
        Find Them II: Hyperball Optimization*, 2026; :func:`~wdjax.hyperball` is both.
    """
    check_sphere("hold_norm", target)
    axes = combine.Axes(quadratic, target, always, where)
    return place.put(place.after, 1.0, axes, caller="hold_norm")


def _constrained(
    u: Any, theta: Any, multiplier: Any, memory: Any, settings: tuple[Any, Any, Any]
) -> tuple[Array, Array, Any]:
    """One leaf: the multiplier first, then the shrinking, both of the stepped point."""
    bound, c, step = settings
    dtype = carry.wider(u, theta)
    u, theta = layers.widened(u, theta)
    p = theta + u
    value = layers.mean_square(p, layers.within(multiplier)).astype(multiplier.dtype)
    kappa = bound.level(memory)
    excess = jnp.where(jnp.isinf(kappa), 0, value - kappa)  # λ + c·(R − κ)
    multiplier = jnp.clip(multiplier + c * excess, 0, 0.5).astype(multiplier.dtype)
    shrunk = u - 2 * multiplier * p  # (1 − 2λ)p − θ
    return shrunk.astype(dtype), multiplier, bound.refresh(memory, value, step)


def check_sphere(caller: str, target: Any) -> None:
    """Refuse a target that is no sphere."""
    if not isinstance(target, Norm | InitialNorm):
        raise ValueError(
            f"{caller}: target is {target!r}; give a sphere, "
            "wdjax.target.initial_norm() or wdjax.target.norm(radius)."
        )
