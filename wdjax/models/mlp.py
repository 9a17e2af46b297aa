"""The multi-layer perceptron."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.feed_forward import FeedForward, check_widths
from wdjax.models.model import Model
from wdjax.models.nnx_adapter import from_nnx
from wdjax.models.product import dot_general


def mlp(
    hidden: Sequence[int] = (64, 64),
    classes: int = 10,
    *,
    normalise: bool = False,
    scale_invariant: bool = False,
    epsilon: float = 1e-5,
    input_shape: Sequence[int] = (32, 32, 3),
    dtype: DTypeLike | None = None,
    compute_dtype: DTypeLike | None = None,
) -> Model:
    r"""Build a multi-layer perceptron with ReLU.

    .. math::

        h_{i+1} = \max(0, N(W_i h_i + b_i)), \qquad
        \text{logits} = N'(W_\text{out} h + b_\text{out})

    where :math:`N` is the identity, or layer normalisation without gain and bias
    (:func:`wdjax.models.standardise`). A layer that is normalised has no bias, so
    that its kernel is scale-invariant. Parameters are named ``hidden_0/kernel``,
    ``hidden_0/bias``, ..., ``output/kernel``, ``output/bias``.

    Kernels are drawn from a truncated normal of variance 2/fan-in (He) in the hidden
    layers, 1/fan-in (LeCun) in the output layer; biases are 0.

    Args:
        hidden: widths of the hidden layers; empty for a linear classifier.
        classes: number of logits.
        normalise: whether the hidden layers are normalised.
        scale_invariant: whether *every* layer is, the output layer too: then each
            parameter of the network is scale-invariant.
        epsilon: the normaliser's :math:`\epsilon \ge 0`. Scale invariance is exact
            at 0 only.
        input_shape: shape of one input, flattened in row-major order.
        dtype: type of the parameters; JAX's default float type if not given.
        compute_dtype: type of the hidden layers' products, such as ``bfloat16``; that
            of inputs and parameters if not given. The rest, statistics and logits
            too, stays in the parameters' type.

    Returns:
        The model.

    Raises:
        ValueError: ``hidden`` is one number.

    References:
        He et al., *Delving Deep into Rectifiers*, 2015, equation (10).
        LeCun et al., *Efficient BackProp*, 1998, equation (16).
    """
    check_widths("hidden", hidden)
    param_dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    use_bias = not (normalise or scale_invariant)

    def make(rngs: nnx.Rngs) -> FeedForward:
        def linear(index: int, fan_in: int, fan_out: int) -> nnx.Linear:
            del index
            return nnx.Linear(
                fan_in,
                fan_out,
                use_bias=use_bias,
                kernel_init=nnx.initializers.he_normal(),
                dtype=compute_dtype,
                param_dtype=param_dtype,
                dot_general=dot_general,
                rngs=rngs,
            )

        return FeedForward(
            (math.prod(input_shape), *hidden),
            classes,
            make_layer=linear,
            prepare=_flatten,
            pool=_identity,
            normalise=normalise,
            scale_invariant=scale_invariant,
            axis=-1,
            epsilon=epsilon,
            input_shape=tuple(input_shape),
            dtype=param_dtype,
            compute_dtype=compute_dtype,
            rngs=rngs,
        )

    return from_nnx(make)


def _flatten(images: Float[Array, "n *features"]) -> Float[Array, "n d"]:
    return images.reshape(images.shape[0], -1)


def _identity(h: Float[Array, "n d"]) -> Float[Array, "n d"]:
    return h
