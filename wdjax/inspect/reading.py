r"""What a probe reads off one step, in sums over the entries of a group of leaves."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wdjax.decay.carry import wider

Predict = Callable[[Array], Array]


class Reading(NamedTuple):
    r"""One group of weights in one step :math:`u_t = d_t + s_t`, decay and step.

    Scalars; under ``vmap``, of each member.

    Attributes:
        norm: :math:`\|\theta_t\|`, before the step.
        update_norm: :math:`\|u_t\|`.
        decay_norm: :math:`\|d_t\|`.
        step_norm: :math:`\|s_t\|`, the part that is the gradient's.
        cosine: of the angle between :math:`d_t` and :math:`s_t`; 0 if one of them is.
        rotation: the angle between :math:`\theta_t` and :math:`\theta_t + u_t`, in
            radians; 0 for weights that are all 0.
        decay_rate: the realised :math:`\delta_t = -\langle d_t, \theta_t\rangle /
            \|\theta_t\|^2`.
        budget: :math:`\sum_s \delta_s` so far.
        predicted_rotation: in equilibrium, in radians; ``None`` if not asked for.
    """

    norm: Float[Array, "*members"]
    update_norm: Float[Array, "*members"]
    decay_norm: Float[Array, "*members"]
    step_norm: Float[Array, "*members"]
    cosine: Float[Array, "*members"]
    rotation: Float[Array, "*members"]
    decay_rate: Float[Array, "*members"]
    budget: Float[Array, "*members"]
    predicted_rotation: Float[Array, "*members"] | None


class Sums(NamedTuple):
    """Inner products of one leaf's or one group's weights θ, update u, decay d, step s.

    Sums of them over leaves are those of the group.
    """

    theta_theta: Array
    update_update: Array
    theta_update: Array
    decay_decay: Array
    step_step: Array
    decay_step: Array
    theta_decay: Array


def unread(thetas: Sequence[Any], predict: Predict | None) -> Array:
    """Before the first reading: nothing is known, and nothing has decayed.

    Args:
        thetas: the weights of a group, of which the numbers take where they live.
        predict: see :func:`reading`.
    """
    dtype = real_dtype([jnp.result_type(theta) for theta in thetas])
    count = len(Reading._fields) - (predict is None)
    row = jnp.full_like(thetas[0], jnp.nan, dtype, shape=(count,))
    return row.at[Reading._fields.index("budget")].set(0)


def unpacked(row: Array) -> Reading:
    """The numbers of a group by their names."""
    numbers = [row[..., i] for i in range(row.shape[-1])]
    missing = len(Reading._fields) - len(numbers)
    return Reading(*numbers, *[None] * missing)


def real_dtype(dtypes: Sequence[Any]) -> Any:
    """The widest of float32 and some dtypes; of complex ones, their parts'."""
    wide = jnp.result_type(jnp.float32, *dtypes)
    return jnp.finfo(wide).dtype


def sums(theta: Any, u: Any, s: Any, *, known: bool) -> Sums:
    """One leaf's; NaN where its update cannot be split.

    Args:
        theta: the weights.
        u: the update, or ``None``.
        s: the step, or ``None``.
        known: whether the two differ by the decay.
    """
    wide = jnp.promote_types(wider(theta if u is None else u, theta), jnp.float32)
    theta = jnp.asarray(theta, wide)
    u, s = (
        jnp.zeros_like(theta) if x is None else jnp.asarray(x, wide) for x in (u, s)
    )
    unknown = [jnp.asarray(jnp.nan)] * 4
    first = Sums(_inner(theta, theta), _inner(u, u), _inner(theta, u), *unknown)
    if not known:
        return first
    d = u - s
    return first._replace(
        decay_decay=_inner(d, d),
        step_step=_inner(s, s),
        decay_step=_inner(d, s),
        theta_decay=_inner(theta, d),
    )


def reading(
    parts: Sequence[Sums], before: Array, steps: int, predict: Predict | None
) -> Array:
    """A group's numbers, in one row: XLA moves a row as fast as a number.

    Args:
        parts: the sums of its leaves.
        before: the last reading.
        steps: how many this one stands for.
        predict: from δ to the angle per step in equilibrium.
    """
    total = jax.tree.map(lambda *terms: sum(terms), *parts)
    decay_rate = _over(0 - total.theta_decay, total.theta_theta)  # no −0
    decay_norm, step_norm = _root(total.decay_decay), _root(total.step_step)
    new = Reading(
        norm=_root(total.theta_theta),
        update_norm=_root(total.update_update),
        decay_norm=decay_norm,
        step_norm=step_norm,
        cosine=_over(total.decay_step, decay_norm * step_norm),
        rotation=_angle(total),
        decay_rate=decay_rate,
        budget=unpacked(before).budget + steps * decay_rate,
        predicted_rotation=None if predict is None else predict(decay_rate),
    )
    return jnp.stack([jnp.asarray(x, before.dtype) for x in new if x is not None])


def _inner(x: Array, y: Array) -> Array:
    """The real part of ⟨x, y⟩."""
    return jnp.sum(jnp.real(x * jnp.conj(y)))


def _angle(total: Sums) -> Array:
    """Between θ and θ + u, from the update's parts along θ and across it."""
    norm = _root(total.theta_theta)
    along = _over(total.theta_update, norm)
    across = _root(total.update_update - along * along)
    return jnp.where(norm > 0, jnp.arctan2(across, norm + along), 0)


def _root(square: Array) -> Array:
    """√, of a difference that rounding may have made negative too; NaN of NaN."""
    return jnp.sqrt(jnp.maximum(square, 0))


def _over(a: Array, b: Array) -> Array:
    """a/b, and 0 where b is; NaN of NaN."""
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))
