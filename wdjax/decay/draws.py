"""Random numbers for every entry of a leaf, as few of them as an entry needs."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import threefry2x32_p
from jaxtyping import Array, UInt16

OUTCOMES = 2**16
"""How many values a draw has."""


def leaf_key(seed: Any, step: Any, leaf: int) -> Array:
    """The key of a leaf's draws in a step, whatever JAX's default generator is.

    Args:
        seed: an integer of any library, known or traced.
        step: the count :math:`t`, likewise.
        leaf: the leaf's number in its tree.
    """
    key = jax.random.key(seed, impl="threefry2x32")
    return jax.random.fold_in(jax.random.fold_in(key, step), leaf)


def sixteen_bits(key: Array, shape: tuple[int, ...]) -> UInt16[Array, "..."]:
    """Independent draws, uniform over the integers below 2¹⁶.

    Four from each block of Threefry, where ``jax.random`` makes one (its draws of 16
    bits too): on a CPU the blocks are what it costs. A block is numbered by its row
    and its place in the row, so that a leaf that is sharded by rows needs no other
    device's draws, and no size overflows a counter.

    Args:
        key: a typed Threefry key.
        shape: of the draws.

    References:
        Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*, 2011.
    """
    *lead, last = shape or (1,)
    grid = (math.prod(lead), -(-last // 4))
    row = jax.lax.broadcasted_iota(jnp.uint32, grid, 0)
    column = jax.lax.broadcasted_iota(jnp.uint32, grid, 1)
    words = threefry2x32_p.bind(*jax.random.key_data(key), row, column)
    bits = jax.lax.bitcast_convert_type(jnp.stack(words, -1), jnp.uint16)
    return bits.reshape(*lead, 4 * grid[1])[..., :last].reshape(shape)
