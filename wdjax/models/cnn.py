"""A small convolutional network."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.feed_forward import FeedForward, check_widths
from wdjax.models.layers import Conv
from wdjax.models.model import Model
from wdjax.models.nnx_adapter import from_nnx


def cnn(
    channels: Sequence[int] = (16, 32, 32),
    classes: int = 10,
    *,
    normalise: bool = False,
    scale_invariant: bool = False,
    epsilon: float = 1e-5,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    dtype: DTypeLike | None = None,
    compute_dtype: DTypeLike | None = None,
) -> Model:
    r"""Build a small convolutional network with ReLU.

    .. math::

        h_{i+1} = \max(0, N(k_i * h_i + b_i)), \qquad
        \text{logits} = N'(W_\text{out} \operatorname{mean}_{pq} h_{pq} + b_\text{out})

    where :math:`*` is a 3×3 convolution, of stride 1 in the first layer and 2 in the
    others, and :math:`N` the identity, or the standardisation of each image over its
    positions and channels (group normalisation with one group, without gain and bias:
    :func:`wdjax.models.standardise`). A layer that is normalised has no bias, so that
    its kernel is scale-invariant. Parameters are named as in :func:`wdjax.models.mlp`.
    With the defaults there are 14,666 of them, and a forward pass takes 2.2 million
    multiplications per image.

    Kernels are drawn from a truncated normal of variance 2/fan-in (He) in the
    convolutions, 1/fan-in (LeCun) in the output layer; biases are 0.

    Args:
        channels: output channels of the convolutions, at least one.
        classes: number of logits.
        normalise: whether the convolutions are normalised.
        scale_invariant: whether *every* layer is, the output layer too: then each
            parameter of the network is scale-invariant.
        epsilon: the normaliser's :math:`\epsilon \ge 0`. Scale invariance is exact
            at 0 only.
        input_shape: rows, columns and channels of one image.
        dtype: type of the parameters; JAX's default float type if not given.
        compute_dtype: type of the hidden layers' products, such as ``bfloat16``; that
            of images and parameters if not given. The rest, statistics and logits
            too, stays in the parameters' type.

    Returns:
        The model.

    Raises:
        ValueError: ``channels`` is one number.

    References:
        Springenberg et al., *Striving for Simplicity: The All Convolutional Net*,
        2015 (strides for pooling). Lin, Chen & Yan, *Network In Network*, 2014,
        section 3.2 (the mean over positions).
    """
    check_widths("channels", channels)
    param_dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    use_bias = not (normalise or scale_invariant)

    def make(rngs: nnx.Rngs) -> FeedForward:
        def conv(index: int, fan_in: int, fan_out: int) -> Conv:
            return Conv(
                fan_in,
                fan_out,
                stride=1 if index == 0 else 2,
                use_bias=use_bias,
                dtype=param_dtype,
                compute_dtype=compute_dtype,
                rngs=rngs,
            )

        return FeedForward(
            (input_shape[-1], *channels),
            classes,
            make_layer=conv,
            prepare=_as_they_are,
            pool=_mean_over_positions,
            normalise=normalise,
            scale_invariant=scale_invariant,
            axis=(1, 2, 3),
            epsilon=epsilon,
            input_shape=input_shape,
            dtype=param_dtype,
            compute_dtype=compute_dtype,
            rngs=rngs,
        )

    return from_nnx(make)


def _as_they_are(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    return images


def _mean_over_positions(h: Float[Array, "n p q d"]) -> Float[Array, "n d"]:
    return jnp.mean(h, (1, 2))
