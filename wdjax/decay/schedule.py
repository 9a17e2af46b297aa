"""Hyper-parameters that may be numbers or schedules: their value at a step."""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from wdjax.types import ScalarOrSchedule


def at(value: ScalarOrSchedule, t: Any) -> Any:
    """The value at step ``t``, of a number or of a schedule."""
    return value(t) if callable(value) else value


def widened(value: Any) -> Any:
    """An array in the default float type: δ_t shall be rounded no sooner than α_t r.

    Optax's schedules are float32 also under x64, or may be bfloat16.
    """
    if isinstance(value, int | float):
        return value
    return jnp.asarray(value, dtype=float)


def increment(step: Int[Array, ""]) -> Int[Array, ""]:
    """The next step count; the largest is its own next."""
    return jnp.asarray(optax.safe_increment(step))
