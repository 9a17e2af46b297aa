"""What an optimizer visits on a loss without noise."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import Array, Float


def iterates(
    optimizer: optax.GradientTransformation,
    loss: Callable[[Float[Array, " d"]], Float[Array, ""]],
    theta_0: Float[Array, " d"],
    num_steps: int,
) -> Float[Array, "steps d"]:
    """The parameters after each step.

    Args:
        optimizer: learning rate and decay included.
        loss: without any penalty that the optimizer has.
        theta_0: the parameters at the start.
        num_steps: at least 1.

    Returns:
        The parameters, the initial ones not among them.
    """

    def step(carry: Any, _: None) -> Any:
        theta, state = carry
        updates, state = optimizer.update(jax.grad(loss)(theta), state, theta)
        theta = optax.apply_updates(theta, updates)
        return (theta, state), theta

    start = (theta_0, optimizer.init(theta_0))
    return jax.lax.scan(step, start, None, length=num_steps)[1]
