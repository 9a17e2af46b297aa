r"""Where the pull enters: four places, and the machinery that they share.

With :math:`x = \theta - \text{target}`, :math:`p = \theta + u` the point that the
optimizer steps to, and :math:`c` the coefficient (rate × multiplier × gate):

==============  ==============================================================
`coupled`       :math:`g \leftarrow g + c\,\nabla\rho(x(\theta))`, in front
`decoupled`     :math:`u \leftarrow u - c\,\nabla\rho(x(\theta))`, behind
`after`         :math:`u \leftarrow u - c\,\nabla\rho(x(p))`, behind
`proximal`      :math:`u \leftarrow u - (x(p) - \mathrm{prox}_{c\rho}(x(p)))`,
                behind
==============  ==============================================================

The four read alike because they differ in one thing only: the point at which the pull
is evaluated (the old one, the new one, or, implicitly, the one after itself).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from wdjax import check
from wdjax.decay import carry, combine, layers, ledger
from wdjax.decay import where as where_
from wdjax.decay.pull import Proximal, Pull
from wdjax.decay.schedule import at, increment
from wdjax.types import ScalarOrSchedule


class Aim(NamedTuple):
    """Which way a leaf is pulled: every axis but the rate and the place.

    Attributes:
        pull: the penalty ρ.
        displacement: :math:`x`, from the target to a point.
        opening: the gate's factor, from the step about to be taken and :math:`x`.
    """

    pull: Pull
    displacement: Callable[[Array], Array]
    opening: Callable[[Array, Array], Any]


Place: TypeAlias = Callable[[Array, Array, Any, Aim], Array]
"""``(u, theta, c, aim) -> u``, for one leaf."""


def coupled(g: Array, theta: Array, c: Any, aim: Aim) -> Array:
    """The pull as part of the gradient: ``g + c ∇ρ(x)``."""
    x = aim.displacement(theta)
    return g + c * aim.opening(-g, x) * aim.pull.gradient(x)


def decoupled(u: Array, theta: Array, c: Any, aim: Aim) -> Array:
    """The pull beside the step, both from the old point: ``u − c ∇ρ(x(θ))``."""
    x = aim.displacement(theta)
    return u - c * aim.opening(u, x) * aim.pull.gradient(x)


def after(u: Array, theta: Array, c: Any, aim: Aim) -> Array:
    """The pull after the step, from the new point: ``u − c ∇ρ(x(θ + u))``."""
    x = aim.displacement(theta + u)
    return u - c * aim.opening(u, x) * aim.pull.gradient(x)


def proximal(u: Array, theta: Array, c: Any, aim: Aim) -> Array:
    """The pull after the step, implicit: ``θ + u`` goes to its proximal point."""
    x, old = aim.displacement(theta + u), aim.displacement(theta)
    c = c * aim.opening(u, x)
    removed = cast(Proximal, aim.pull).shrinkage(x, c, old)  # `combine` saw to it
    # −old lands on the target exactly; u − (θ + u) misses it by a rounding.
    return jnp.where((removed == x) & (removed != 0), -old, u - removed)


class PullState(NamedTuple):
    """What a pull remembers; ``None`` for what its axes do not need.

    Attributes:
        step: the count :math:`t`, for a schedule or a gate that draws.
        target: the target's memory of each pulled leaf.
    """

    step: Int[Array, ""] | None
    target: PyTree


def put(
    place: Place, coefficient: ScalarOrSchedule, axes: combine.Axes, *, caller: str
) -> optax.GradientTransformation:
    """The transformation that a place, a rate and the other axes make.

    The result is formed in float32 at least; it has the dtype of what came in, or the
    leaf's where that is wider, so that narrow gradients of wide weights lose no pull.
    Leaves with multiplier 0 pass through untouched, also if they hold infinities.

    Args:
        place: one of the four functions above.
        coefficient: :math:`c_t`, a scalar or a schedule of steps from 0.
        axes: the other choices; checked by the caller for combinations without sense.
        caller: the public name to use in messages.

    Returns:
        A transformation whose ``update`` requires ``params``.
    """
    _, target, gate, where = axes
    counts = callable(coefficient) or gate.draws

    def init(params: PyTree) -> Any:
        multipliers = where_.resolve(where, params)  # speaks before anything compiles
        combine.check_leaves(axes, params)
        ledger.note(caller, coefficient, where, params)
        step = jnp.zeros((), jnp.int32) if counts else None
        memory = target.init(params)
        if memory is not None:
            memory = _only_pulled(memory, multipliers, params)
        return PullState(step, memory)

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, Any]:
        check.has_parameters(caller, params)
        c = at(coefficient, state.step)
        thetas, structure = jax.tree.flatten(params)
        us = structure.flatten_up_to(updates)  # keeps a None where a leaf is frozen
        multipliers = where_.resolve(where, params)
        remembered = [
            m if m is None else target.refresh(m, theta)
            for m, theta in zip(memories(state.target, structure), thetas, strict=True)
        ]
        leaves = zip(us, thetas, multipliers, remembered, strict=True)
        pulled = [
            _pulled(place, axes, c, leaf, (state.step, i))
            for i, leaf in enumerate(leaves)
        ]
        step = increment(state.step) if counts else None
        memory = None if state.target is None else structure.unflatten(remembered)
        return structure.unflatten(pulled), PullState(step, memory)

    return optax.GradientTransformation(init, update)


def memories(memory: PyTree, structure: Any) -> list[Any]:
    """What a target remembers of each leaf; ``None`` where it remembers nothing."""
    if memory is None:
        return [None] * structure.num_leaves
    return structure.flatten_up_to(memory)


def _pulled(
    place: Place,
    axes: combine.Axes,
    c: Any,
    leaf: tuple[Any, ...],
    draw: tuple[Any, int],
) -> Any:
    """One leaf through one place, in float32 at least."""
    u, theta, multiplier, memory = leaf
    if u is None or where_.is_zero(multiplier):
        return u
    dtype = carry.wider(u, theta)
    u, theta = layers.widened(u, theta)
    c, m = (jnp.asarray(x).astype(u.dtype) for x in (c, multiplier))
    aim = Aim(
        axes.pull,
        lambda at: axes.target.displacement(at, memory),
        lambda step, x: axes.gate.opening(step, x, *draw),
    )
    return place(u, theta, c * m, aim).astype(dtype)


def _only_pulled(memory: PyTree, multipliers: list[Any], params: PyTree) -> PyTree:
    """Drop what the target would remember of leaves that are left alone."""
    structure = jax.tree.structure(params)
    kept = [
        None if where_.is_zero(multiplier) else m
        for m, multiplier in zip(
            structure.flatten_up_to(memory), multipliers, strict=True
        )
    ]
    return structure.unflatten(kept)
