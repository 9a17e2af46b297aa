"""Decays that Optax does not have, behind a finished update u; δ is given.

Written out here and not taken from wdjax, so that the traps owe it nothing.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax


def ruled(rule: Callable[..., Any]) -> optax.GradientTransformation:
    """The rule ``(u, θ) -> u`` on every leaf, without a state."""
    return optax.stateless(lambda us, ps: jax.tree.map(rule, us, ps))


def decay_after(delta: Any) -> optax.GradientTransformation:
    return ruled(lambda u, p: u - delta * (p + u))


def proximal(delta: Any) -> optax.GradientTransformation:
    return ruled(lambda u, p: (u - delta * p) / (1 + delta))


def soft_threshold(delta: Any) -> optax.GradientTransformation:
    def rule(u: Any, p: Any) -> Any:
        return jnp.where(jnp.abs(p + u) > delta, u - delta * jnp.sign(p + u), -p)

    return ruled(rule)


def cautious(delta: Any) -> optax.GradientTransformation:
    """The step has u = −αr: the gate 1[r·θ ≥ 0] compares signs."""
    return ruled(lambda u, p: u - delta * (jnp.sign(u) * jnp.sign(p) <= 0) * p)


def remember(params: Any) -> Any:
    return params


def towards(delta: Any) -> Callable[..., Any]:
    return lambda u, p, at: u - delta * (p - at)


def towards_the_start(delta: Any) -> optax.GradientTransformation:
    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(towards(delta), updates, params, state), state

    return optax.GradientTransformation(remember, update)


def towards_an_ema(delta: Any) -> optax.GradientTransformation:
    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        mean = jax.tree.map(lambda a, p: 0.9 * a + 0.1 * p, state, params)
        return jax.tree.map(towards(delta), updates, params, mean), mean

    return optax.GradientTransformation(remember, update)


def to_the_first_norm() -> optax.GradientTransformation:
    def init(params: Any) -> Any:
        return jax.tree.map(jnp.linalg.norm, params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        def rule(u: Any, p: Any, norm: Any) -> Any:
            return norm * (p + u) / jnp.linalg.norm(p + u) - p

        return jax.tree.map(rule, updates, params, state), state

    return optax.GradientTransformation(init, update)


def into_the_ball(radius: float) -> optax.GradientTransformation:
    def rule(u: Any, p: Any) -> Any:
        return jnp.minimum(1, radius / jnp.linalg.norm(p + u)) * (p + u) - p

    return ruled(rule)
