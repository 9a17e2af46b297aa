r"""The one pull that both places share: :math:`u \leftarrow u + c_t\, m\, \theta`."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from wdjax.decay import where as where_
from wdjax.types import ScalarOrSchedule


class PullState(NamedTuple):
    """The step count :math:`t`, for a coefficient that is a schedule."""

    step: Int[Array, ""]


def add_pull(
    coefficient: ScalarOrSchedule, *, where: where_.Where, caller: str
) -> optax.GradientTransformation:
    r"""Add a multiple of the parameters to what flows through the chain.

    .. math:: u \leftarrow u + c_t\, m\, \theta_t

    The sum is formed in float32 at least and keeps the dtype of :math:`u`. Leaves
    with multiplier :math:`m = 0` pass through untouched, also if they hold infinities.

    Args:
        coefficient: :math:`c_t`, a scalar or a schedule of steps from 0.
        where: the multipliers :math:`m`; see :mod:`wdjax.decay.where`.
        caller: the public name to use in messages.

    Returns:
        A transformation whose ``update`` requires ``params``.
    """

    def init(params: PyTree) -> PullState | optax.EmptyState:
        where_.resolve(where, params)  # bad rules speak before anything compiles
        if callable(coefficient):
            return PullState(jnp.zeros((), jnp.int32))
        return optax.EmptyState()

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, Any]:
        if params is None:
            raise ValueError(
                f"{caller} needs the parameters: call "
                "optimizer.update(grads, state, params)."
            )
        if callable(coefficient):
            c = coefficient(state.step)
            state = PullState(jnp.asarray(optax.safe_increment(state.step)))
        else:
            c = coefficient
        multipliers = where_.resolve(where, params)
        thetas, structure = jax.tree.flatten(params)
        us = structure.flatten_up_to(updates)  # keeps a None where a leaf is frozen
        pulled = map(partial(_pulled, c), us, multipliers, thetas)
        return structure.unflatten(pulled), state

    return optax.GradientTransformation(init, update)


def _pulled(c: Any, u: Any, m: Any, theta: Any) -> Any:
    if u is None or where_.is_zero(m):
        return u
    dtype = jnp.promote_types(jnp.result_type(u), jnp.float32)
    c, m = (jnp.asarray(x).astype(dtype) for x in (c, m))
    return (u.astype(dtype) + c * m * theta.astype(dtype)).astype(u.dtype)
