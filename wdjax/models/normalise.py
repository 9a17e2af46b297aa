"""Normalisation without trained parameters."""

from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Axes: TypeAlias = int | tuple[int, ...]


def standardise(
    x: Float[Array, "*shape"], axis: Axes, epsilon: float = 1e-5
) -> Float[Array, "*shape"]:
    r"""Subtract the mean and divide by the standard deviation, over some axes.

    .. math::

        \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
        \mu = \operatorname{mean}(x), \quad
        \sigma^2 = \operatorname{mean}\,(x - \mu)^2

    Over the features of each input this is layer normalisation; over the channels
    and positions of each image, group normalisation with one group; in both cases
    without the trained gain and bias. With :math:`\epsilon = 0` the result does not
    depend on the scale of :math:`x`, to the last bit where the scale is a power of
    two: a layer :math:`x = Wh` in front of it is scale-invariant in :math:`W`.

    Args:
        x: activations.
        axis: the axes over which mean and variance are taken.
        epsilon: :math:`\epsilon \ge 0`, in the units of :math:`x^2`. At 0 a constant
            :math:`x` (a black image, say) gives NaN.

    Returns:
        The standardised activations.

    References:
        Ba, Kiros & Hinton, *Layer Normalization*, 2016, equation (4) without
        :math:`g, b`. Wu & He, *Group Normalization*, 2018, equation (1).
    """
    centred = x - jnp.mean(x, axis, keepdims=True)
    return centred / jnp.sqrt(variance(x, axis) + epsilon)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def variance(x: Float[Array, "*shape"], axis: Axes) -> Float[Array, "*reduced"]:
    r"""The variance over some axes, which stay with length 1.

    .. math::

        \sigma^2 = \operatorname{mean}\,(x - \mu)^2, \qquad
        d\sigma^2 = 2 \operatorname{mean}\,(x - \mu)\,dx

    :math:`d\mu` drops out of the derivative, which saves a pass over :math:`x`.

    Args:
        x: activations.
        axis: the axes over which mean and variance are taken.

    Returns:
        :math:`\sigma^2`.
    """
    # E[x²] − E[x]² would need one pass fewer, and cancels badly.
    return jnp.mean((x - jnp.mean(x, axis, keepdims=True)) ** 2, axis, keepdims=True)


@variance.defjvp
def _variance_derivative(
    axis: Axes, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    centred = x - jnp.mean(x, axis, keepdims=True)
    return variance(x, axis), 2 * jnp.mean(centred * dx, axis, keepdims=True)
