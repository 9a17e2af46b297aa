"""Layers that the convolutional networks share."""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.conv import convolve

Initializer: TypeAlias = Callable[..., Array]


class Conv(nnx.Module):
    """A convolution that is fast inside ``lax.scan`` on CPU too.

    Args:
        fan_in: input channels.
        fan_out: output channels.
        stride: step between outputs, in pixels.
        use_bias: whether a bias is added, 0 at first.
        dtype: type of the parameters.
        rngs: draws the kernel.
        window: rows and columns of the kernel.
        initializer: of the kernel; He's if not given.
        compute_dtype: type of the products; that of input and kernel if not given.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        stride: int,
        use_bias: bool,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        window: int = 3,
        initializer: Initializer | None = None,
        compute_dtype: DTypeLike | None = None,
    ):
        """Draw the kernel."""
        draw = nnx.initializers.he_normal() if initializer is None else initializer
        shape = (window, window, fan_in, fan_out)
        self.kernel = nnx.Param(draw(rngs.params(), shape, dtype))
        self.bias = nnx.Param(jnp.zeros(fan_out, dtype)) if use_bias else None
        self.stride = stride
        self.compute_dtype = compute_dtype

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n p q d"]:
        """Convolve, and add the bias if there is one."""
        kernel = self.kernel[...]
        dtype = self.compute_dtype or jnp.promote_types(x.dtype, kernel.dtype)
        y = convolve(x.astype(dtype), kernel.astype(dtype), self.stride)
        if self.bias is None:
            return y
        return y + self.bias[...].astype(dtype).reshape(1, 1, 1, -1)
