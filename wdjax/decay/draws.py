"""A random number for every entry of a leaf, made in the loop that uses it.

``jax.random`` draws from the same generator, but on a CPU in five loops of their own
over memory, which took most of the time of a step that draws. Here the rounds are
written out, so that XLA fuses them with what reads them: no scratch, and each device
makes the draws of its own shard.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def leaf_key(seed: Any, step: Any, leaf: int) -> Array:
    """The key of a leaf's draws in a step, whatever JAX's default generator is.

    Args:
        seed: an integer of any library, known or traced.
        step: the count :math:`t`, likewise.
        leaf: the leaf's number in its tree.
    """
    key = jax.random.key(seed, impl="threefry2x32")
    return jax.random.fold_in(jax.random.fold_in(key, step), leaf)


def words(key: Array, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Independent draws of 32 bits: entry (row, column) has that block's first word.

    Args:
        key: a typed Threefry key.
        shape: of the draws.
    """
    iota = jax.lax.broadcasted_iota
    indices = [iota(jnp.uint32, shape, axis) for axis in range(len(shape))]
    column = indices.pop() if indices else jnp.zeros((), jnp.uint32)
    row = jnp.zeros_like(column)
    for index, size in zip(indices, shape[:-1], strict=True):
        row = row * size + index
    first, second = jax.random.key_data(key)
    return threefry(first, second, row, column)


def threefry(
    first: UInt32[Array, ""], second: UInt32[Array, ""], x: Any, y: Any
) -> UInt32[Array, "..."]:
    """The first word of a block of Threefry-2x32 with its 20 rounds.

    Args:
        first: word of the key.
        second: word of the key.
        x: the counter's first word, an array of unsigned 32-bit integers.
        y: its second.

    References:
        Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*, 2011, section 4.2.
    """
    keys = (first, second, first ^ second ^ 0x1BD11BDA)
    x, y = x + first, y + second
    for block in range(5):
        for turn in _ROTATIONS[block % 2]:
            x = x + y
            y = (y << turn | y >> (32 - turn)) ^ x
        x = x + keys[(block + 1) % 3]
        y = y + keys[(block + 2) % 3] + (block + 1)
    return x
