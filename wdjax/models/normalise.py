"""Normalisation without trained parameters."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def standardise(
    x: Float[Array, "*shape"], axis: int | tuple[int, ...], epsilon: float = 1e-5
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
    # E[x²] − E[x]² would need one pass fewer, and cancels badly.
    centred = x - jnp.mean(x, axis, keepdims=True)
    variance = jnp.mean(centred**2, axis, keepdims=True)
    return centred / jnp.sqrt(variance + epsilon)
