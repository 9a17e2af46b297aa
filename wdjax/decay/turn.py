"""Turning: weights of one norm, and how far a step turns them.

======================  ========================================================
:func:`rotate_weights`  by a given angle: the tangential part alone (rotational)
:func:`hyperball`       by steps of a given length, radial part included
======================  ========================================================

Put them *last* in a chain. Layers and ``where`` are as in `norm`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from wdjax import check
from wdjax.decay import carry, layers
from wdjax.decay import where as where_
from wdjax.decay.norm import START, check_sphere, hold_norm
from wdjax.decay.schedule import at, increment
from wdjax.decay.target import InitialNorm, Norm
from wdjax.types import ScalarLike, ScalarOrSchedule


class RotationState(NamedTuple):
    """What a turn remembers; ``None`` for leaves that are left alone.

    Attributes:
        step: the count of steps.
        square: the running mean of the squared length of each layer's update.
    """

    step: Int[Array, ""]
    square: PyTree


def rotate_weights(
    rotation: ScalarOrSchedule,
    *,
    smoothing: ScalarLike = 0.9,
    target: Norm | InitialNorm = START,
    where: where_.Where = where_.matrices,
) -> optax.GradientTransformation:
    r"""Turn every layer by a given angle per step, whatever the length of the update.

    .. math::

        u_t^\perp &= u_t - \frac{\langle u_t, \theta_t\rangle}{\|\theta_t\|^2}\,\theta_t
            \qquad v_t = \beta v_{t-1} + (1 - \beta)\,\|u_t^\perp\|^2 \\
        p_t &= \theta_t + \eta\,\|\theta_t\|\,
            \frac{u_t^\perp}{\sqrt{v_t/(1 - \beta^t)}},
            \qquad \theta_{t+1} = R\,\frac{p_t}{\|p_t\|}

    AdamW turns scale-invariant weights by :math:`\eta = \sqrt{2\delta(1 - \beta_1)/
    (1 + \beta_1)}` per step once weight decay has come into balance; this does so from
    the first step. Put it behind an optimizer without decay; of its learning rate only
    the sign is left. A layer of zeros cannot turn and stays.

    Args:
        rotation: :math:`\eta \ge 0` in radians (exactly: the tangent of the angle, and
            on average over steps unless :math:`\beta = 0`); or its schedule.
        smoothing: :math:`\beta \in [0, 1)`; 0 turns by the same angle in every step.
        target: the sphere; see :func:`hold_norm`.
        where: which leaves: 0 or 1, for all or nothing.

    Returns:
        ``chain(…, hold_norm(target, where=where))``; its ``update`` requires
        ``params``. Memory: two numbers for each layer.

    Raises:
        ValueError: ``rotation`` is negative, ``smoothing`` is not in [0, 1), ``target``
            is no sphere, or ``where`` does not fit.

    References:
        Kosson, Messmer & Jaggi, *Rotational Equilibrium: How Weight Decay Balances
        Learning Across Neural Networks*, 2024, the rotational variants; checked against
        the authors' wrapper. Theirs takes every neuron for itself, centres it, and adds
        1e-8 to the denominator.
    """
    check.non_negative("rotate_weights: rotation", rotation)
    check.below_one("rotate_weights: smoothing", smoothing)
    check_sphere("rotate_weights", target)
    length = _Length("rotate_weights", _tangent, rotation, smoothing)
    turn = _turn(length, where, target.stacked)
    return optax.chain(turn, hold_norm(target, where=where))


def hyperball(
    rotation: ScalarOrSchedule,
    *,
    target: Norm | InitialNorm = START,
    where: where_.Where = where_.matrices,
) -> optax.GradientTransformation:
    r"""Steps of one length on a sphere: the norms of weights and updates are fixed.

    .. math::

        \theta_{t+1} = R\,\frac{p_t}{\|p_t\|}, \qquad
        p_t = \theta_t + \eta_t\,\|\theta_t\|\,\frac{u_t}{\|u_t\|}

    for every layer. Put it behind an optimizer without decay; of its learning rate only
    the sign is left. Unlike :func:`rotate_weights` the update keeps its radial part,
    which takes from the angle. A layer of zeros, or one without an update, stays.

    Args:
        rotation: :math:`\eta_t \ge 0`, the length of a step in units of the weights'
            norm: the paper's learning rate; or its schedule.
        target: the sphere; see :func:`~wdjax.hold_norm`.
        where: which leaves: 0 or 1, for all or nothing.

    Returns:
        ``chain(…, hold_norm(target, where=where))``; its ``update`` requires
        ``params``. Memory: two numbers for each layer.

    Raises:
        ValueError: ``rotation`` is negative, ``target`` is no sphere, or ``where`` does
            not fit.

    References:
        Wen, Dang, Lyu, Ma & Liang, *Fantastic Pretraining Optimizers and Where to Find
        Them II: Hyperball Optimization*, 2026, the update with both normalisations.
    """
    check.non_negative("hyperball: rotation", rotation)
    check_sphere("hyperball", target)
    turn = _turn(_Length("hyperball", _whole, rotation, 0.0), where, target.stacked)
    return optax.chain(turn, hold_norm(target, where=where))


class _Length(NamedTuple):
    """How an update gets its length.

    Attributes:
        caller: the public name, for messages.
        part: which part of the update is kept, from ``(u, theta, axes)``.
        rotation: η, its length in units of ‖θ‖.
        smoothing: β, of the running mean that it is brought to that length by.
    """

    caller: str
    part: Callable[[Array, Array, list[int]], Array]
    rotation: ScalarOrSchedule
    smoothing: ScalarLike


def _whole(u: Array, theta: Array, axes: list[int]) -> Array:
    del theta, axes
    return u


def _tangent(u: Array, theta: Array, axes: list[int]) -> Array:
    """U − ⟨u,θ⟩/‖θ‖² θ."""
    inner = jnp.sum(jnp.real(u * jnp.conj(theta)), axis=axes, keepdims=True)
    return u - layers.over(inner, layers.square_sum(theta, axes)) * theta


def _turn(
    length: _Length, where: where_.Where, stacked: Mapping[str, int] | None
) -> optax.GradientTransformation:
    """Updates of the length η‖θ‖, at once or on average."""

    def init(params: PyTree) -> RotationState:
        starts = layers.mean_squares(params, where, stacked)
        zeros = jax.tree.map(jnp.zeros_like, starts)
        return RotationState(jnp.zeros((), jnp.int32), zeros)

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, RotationState]:
        eta = at(length.rotation, state.step)
        step = increment(state.step)

        def turn(u: Any, theta: Any, square: Any) -> Any:
            return _turned(u, theta, square, (length, eta, step))

        us, squares = layers.each(
            turn, updates, params, (state.square,), caller=length.caller
        )
        return us, RotationState(step, squares)

    return optax.GradientTransformation(init, update)


def _turned(
    u: Any, theta: Any, square: Any, settings: tuple[_Length, Any, Any]
) -> tuple[Array, Array]:
    """One leaf: a part of the update, brought to its length."""
    length, eta, step = settings
    axes, beta = layers.within(square), length.smoothing
    dtype = carry.wider(u, theta)
    u, theta = layers.widened(u, theta)
    part = length.part(u, theta, axes)
    new = layers.square_sum(part, axes)
    square = (beta * square + (1 - beta) * new).astype(square.dtype)
    typical = square / (1 - beta**step)
    ratio = layers.over(layers.square_sum(theta, axes), typical)
    turned = eta * layers.root(ratio) * part  # η‖θ‖ u/√v̂
    return turned.astype(dtype), square
