"""The multi-layer perceptron."""

import itertools
import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.model import Model, check_images
from wdjax.models.nnx_adapter import from_nnx
from wdjax.models.normalise import standardise


class MLP(nnx.Module):
    """The module behind :func:`mlp`, for those who want Flax's own interface."""

    def __init__(
        self,
        hidden: tuple[int, ...],
        classes: int,
        *,
        normalise: bool,
        scale_invariant: bool,
        epsilon: float,
        input_shape: tuple[int, ...],
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        """Draw the weights; the arguments are those of :func:`mlp`."""
        self.depth = len(hidden)
        self.normalise = normalise or scale_invariant
        self.scale_invariant = scale_invariant
        self.epsilon = epsilon
        self.input_shape = input_shape
        widths = (math.prod(input_shape), *hidden)
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            layer = nnx.Linear(
                fan_in,
                fan_out,
                use_bias=not self.normalise,
                kernel_init=nnx.initializers.he_normal(),
                param_dtype=dtype,
                rngs=rngs,
            )
            setattr(self, f"hidden_{i}", layer)
        self.output = nnx.Linear(
            widths[-1],
            classes,
            use_bias=not scale_invariant,
            kernel_init=nnx.initializers.lecun_normal(),
            param_dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, images: Float[Array, "n *features"]) -> Float[Array, "n k"]:
        """Compute the logits."""
        check_images(images, self.input_shape)
        h = images.reshape(images.shape[0], -1)
        for i in range(self.depth):
            h = getattr(self, f"hidden_{i}")(h)
            if self.normalise:
                h = standardise(h, -1, self.epsilon)
            h = nnx.relu(h)
        logits = self.output(h)
        if self.scale_invariant:
            logits = standardise(logits, -1, self.epsilon)
        return logits


def mlp(
    hidden: Sequence[int] = (64, 64),
    classes: int = 10,
    *,
    normalise: bool = False,
    scale_invariant: bool = False,
    epsilon: float = 1e-5,
    input_shape: Sequence[int] = (32, 32, 3),
    dtype: DTypeLike | None = None,
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

    Returns:
        The model.

    References:
        He et al., *Delving Deep into Rectifiers*, 2015, equation (10).
        LeCun et al., *Efficient BackProp*, 1998, equation (16).
    """
    param_dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    return from_nnx(
        lambda rngs: MLP(
            tuple(hidden),
            classes,
            normalise=normalise,
            scale_invariant=scale_invariant,
            epsilon=epsilon,
            input_shape=tuple(input_shape),
            dtype=param_dtype,
            rngs=rngs,
        )
    )
