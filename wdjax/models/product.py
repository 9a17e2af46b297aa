r"""The product of a linear layer, :math:`y = xW`, with a fast derivative on CPU.

For many inputs and few outputs the derivative :math:`x^\top \bar y` is a tall matrix,
which XLA on CPU computes at less than half the rate of the forward product; in blocks
of rows it reaches that rate.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

ROWS = 384  # of a block, at least; measured with 128 examples and 64 to 128 outputs
TALL = 8  # times as many inputs as outputs: below it, blocks gain nothing


def dot_general(
    x: Float[Array, "*n i"],
    kernel: Float[Array, "i o"],
    dimensions: Any,
    **options: Any,
) -> Float[Array, "*n o"]:
    """``lax.dot_general`` as ``nnx.Linear`` calls it.

    Args:
        x: inputs.
        kernel: of the layer.
        dimensions: those that are contracted.
        **options: of ``lax.dot_general``.

    Returns:
        The product; on CPU the derivative of a tall kernel is taken in blocks of rows.
    """
    blocks = blocks_of_rows(*kernel.shape) if jax.default_backend() == "cpu" else 1
    plain = all(option is None for option in options.values())
    if blocks > 1 and plain and x.ndim == 2:
        return product(x, kernel, blocks)
    return lax.dot_general(x, kernel, dimensions, **options)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def product(
    x: Float[Array, "n i"], kernel: Float[Array, "i o"], blocks: int
) -> Float[Array, "n o"]:
    r"""Multiply matrices; the kernel's derivative is taken in blocks of its rows.

    .. math::

        y = xW, \qquad \dot y = \dot x W + \sum_b x_b \dot W_b

    where :math:`x_b` are the columns of :math:`x` that meet the rows :math:`W_b`.
    Transposed, the sum becomes :math:`\bar W_b = x_b^\top \bar y` for each block.

    Args:
        x: examples in rows.
        kernel: of a linear layer.
        blocks: their number, a divisor of :math:`i`.

    Returns:
        The product.
    """
    del blocks
    return x @ kernel


@product.defjvp
def _derivative(
    blocks: int, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (x, kernel), (dx, dkernel) = primals, tangents
    columns = x.reshape(len(x), blocks, -1).swapaxes(0, 1)
    rows = dkernel.reshape(blocks, -1, kernel.shape[1])
    through_kernel = jnp.einsum("bni,bio->bno", columns, rows).sum(0)
    return product(x, kernel, blocks), dx @ kernel + through_kernel


def blocks_of_rows(inputs: int, outputs: int) -> int:
    """How many blocks of rows the derivative of a kernel is taken in: 1 unless tall."""
    if inputs < TALL * outputs:
        return 1
    most = max(1, inputs // ROWS)
    return max(blocks for blocks in range(1, most + 1) if inputs % blocks == 0)
