"""The few type aliases used throughout."""

from collections.abc import Callable
from typing import TypeAlias

import jax
from jaxtyping import Array, Float, Int

ScalarLike: TypeAlias = float | int | Float[Array, ""] | Int[Array, ""]
"""A Python number, or a traced one inside a sweep."""

Schedule: TypeAlias = Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike]
"""Optax's schedules: step count in, value out."""

ScalarOrSchedule: TypeAlias = ScalarLike | Schedule
