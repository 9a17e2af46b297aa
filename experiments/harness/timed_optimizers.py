"""SGD and Adam written out, with hyper-parameters of their own for every step."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from wdjax.theory import exponential_learning_rate as exponential


def heavy_ball(hypers: exponential.Sgd, buffer: Any) -> optax.GradientTransformation:
    """SGD written out, its hyper-parameters taken step by step.

    Args:
        hypers: of each step.
        buffer: what the momentum starts at, as a multiple of the weights.
    """

    def init(params: PyTree) -> Any:
        return jnp.zeros((), int), jax.tree.map(lambda w: buffer * w, params)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> Any:
        del params
        t, m = state
        alpha, beta = (jnp.asarray(hyper)[t] for hyper in hypers)
        m = jax.tree.map(lambda m, g: beta * m + g, m, updates)
        return jax.tree.map(lambda m: -alpha * m, m), (t + 1, m)

    return optax.GradientTransformation(init, update)


def adam(
    hypers: exponential.Adam, b1: float, b2: float
) -> optax.GradientTransformation:
    """Adam written out, with the weights and bias corrections of ``b1`` and ``b2``.

    Args:
        hypers: of each step: what the moments are multiplied by, α_t and ε_t.
        b1: of the run with decay.
        b2: of the run with decay.
    """

    def init(params: PyTree) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return jnp.zeros((), int), zeros, zeros

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> Any:
        del params
        t, m, v = state
        alpha, beta_1, beta_2, eps = (jnp.asarray(hyper)[t] for hyper in hypers)
        m = jax.tree.map(lambda m, g: beta_1 * m + (1 - b1) * g, m, updates)
        v = jax.tree.map(lambda v, g: beta_2 * v + (1 - b2) * g**2, v, updates)
        first, second = 1 - b1 ** (t + 1), 1 - b2 ** (t + 1)
        steps = jax.tree.map(
            lambda m, v: -alpha * (m / first) / (jnp.sqrt(v / second) + eps), m, v
        )
        return steps, (t + 1, m, v)

    return optax.GradientTransformation(init, update)
