r"""Schedule multipliers :math:`\eta_t \in [0, 1]`; the learning rate is αη_t."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

Multiplier = Callable[[jax.typing.ArrayLike], Float[Array, ""]]


def constant(steps: int) -> Multiplier:
    r""":math:`\eta_t = 1`."""
    del steps
    return lambda t: jnp.ones(())


def step(steps: int) -> Multiplier:
    r""":math:`\eta_t` = 1; from half of the steps 1/10, from three quarters 1/100."""
    drops = {steps // 2: 0.1, 3 * steps // 4: 0.1}
    return optax.piecewise_constant_schedule(1.0, drops)  # pyright: ignore[reportReturnType]


def cosine(steps: int) -> Multiplier:
    r""":math:`\eta_t = \tfrac12 (1 + \cos(\pi t / T))`, :math:`T` = ``steps``."""
    return optax.cosine_decay_schedule(1.0, steps)  # pyright: ignore[reportReturnType]


SCHEDULES: Mapping[str, Callable[[int], Multiplier]] = MappingProxyType(
    {"constant": constant, "step": step, "cosine": cosine}
)
