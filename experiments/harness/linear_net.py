"""A linear net of two layers: the product AB, trained on a matrix."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

Factors: TypeAlias = dict[str, Float[Array, "n n"]]


def target(singular_values: Sequence[float], seed: int) -> Float[Array, "n n"]:
    """Y, of given singular values and random singular vectors."""
    n = len(singular_values)
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    return jnp.array(U * np.array(singular_values) @ V.T)


def make_train(
    Y: Float[Array, "n n"],
    optimizer: optax.GradientTransformation,
    start_scale: float,
    num_steps: int,
) -> Callable[[Array], Factors]:
    r"""Full-batch training on :math:`\tfrac12\|Y - AB\|^2`.

    Args:
        Y: the target.
        optimizer: penalty or decay included.
        start_scale: standard deviation of the factors' entries at the start.
        num_steps: of the training.

    Returns:
        A function of the seed of the start: A and B at the end.
    """

    def loss(params: Factors) -> Float[Array, ""]:
        return 0.5 * jnp.sum((Y - params["A"] @ params["B"]) ** 2)

    def step(carry: Any, _: None) -> tuple[Any, None]:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    def train(seed: Array) -> Factors:
        A, B = start_scale * jax.random.normal(jax.random.key(seed), (2, *Y.shape))
        params = {"A": A, "B": B}
        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, None, length=num_steps)[0][0]

    return train
