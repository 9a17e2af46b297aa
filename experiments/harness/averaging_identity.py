"""Are weights with decoupled decay the average of past directions, step by step?"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from wdjax import sweep
from wdjax.theory import averaging


def identity_error(
    make: Callable[..., optax.GradientTransformation], steps: int
) -> float:
    r"""How far θ_T is from the average of the directions that led there, in float32.

    The directions r_t are those of the optimizer without decay on the gradients of the
    run with decay: −1/α_t times its updates.
    """
    peak, decay = 0.02, 0.5
    eta = sweep.cosine(steps)

    def alpha(t: Float[Array, ""]) -> Float[Array, ""]:
        return peak * eta(t)

    with jax.enable_x64(False):
        loss, theta_0 = noisy_problem()
        decayed, free = make(alpha, decay), make(alpha, 0.0)

        def step(carry: Any, t: Float[Array, ""]) -> tuple[Any, Any]:
            theta, state, free_state = carry
            gradient = jax.grad(loss)(theta, t)
            updates, state = decayed.update(gradient, state, theta)
            bare, free_state = free.update(gradient, free_state, theta)
            direction = jax.tree.map(lambda u: -u / alpha(t), bare)
            theta = optax.apply_updates(theta, updates)
            return (theta, state, free_state), direction

        start = (theta_0, decayed.init(theta_0), free.init(theta_0))
        t = jnp.arange(steps)
        (theta, *_), directions = jax.lax.scan(step, start, t)
        alphas = jax.vmap(alpha)(t).astype(jnp.float32)
        average = averaging.unrolled(theta_0, directions, alphas, decay * alphas)
        gap = jnp.linalg.norm(jnp.asarray(theta) - average)
        return float(gap / jnp.linalg.norm(theta))


def noisy_problem() -> tuple[Callable[..., Float[Array, ""]], Float[Array, " d"]]:
    """A tanh network on noisy labels, another minibatch in each step."""
    x_key, y_key, first_key, second_key, batch_key = jax.random.split(
        jax.random.key(0), 5
    )
    x = jax.random.normal(x_key, (256, 10))
    y = jnp.sin(x[:, :3]) + 0.3 * jax.random.normal(y_key, (256, 3))
    theta_0, unravel = ravel_pytree(
        {
            "first": jax.random.normal(first_key, (10, 16)) / np.sqrt(10),
            "second": jax.random.normal(second_key, (16, 3)) / 4,
        }
    )

    def loss(theta: Float[Array, " d"], t: Float[Array, ""]) -> Float[Array, ""]:
        rows = jax.random.choice(jax.random.fold_in(batch_key, t), 256, (32,))
        weights = unravel(theta)
        predicted = jnp.tanh(x[rows] @ weights["first"]) @ weights["second"]
        return jnp.mean((predicted - y[rows]) ** 2)

    return loss, theta_0
