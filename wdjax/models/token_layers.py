"""Layers of a transformer."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.channel_norms import widened
from wdjax.models.normalise import standardise


class Dense(nnx.Linear):
    """A linear layer whose products may be of another type than its parameters.

    Args:
        fan_in: input features.
        fan_out: output features.
        dtype: type of the parameters.
        compute_dtype: type of the products; ``None`` for that of input and parameters.
        rngs: draws the kernel.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        dtype: DTypeLike,
        compute_dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        """Draw the kernel (LeCun); the bias is 0."""
        super().__init__(
            fan_in, fan_out, param_dtype=dtype, dtype=compute_dtype, rngs=rngs
        )


class LayerNorm(nnx.Module):
    r"""Layer normalisation: of each token over its features.

    .. math::

        y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Statistics are computed in float32 at least.

    Args:
        width: features of a token.
        epsilon: :math:`\epsilon > 0`.
        dtype: type of the parameters.

    References:
        Ba, Kiros & Hinton, *Layer Normalization*, 2016, equation (4).
    """

    def __init__(self, width: int, *, epsilon: float, dtype: DTypeLike):
        """γ = 1, β = 0."""
        self.scale = nnx.Param(jnp.ones(width, dtype))
        self.bias = nnx.Param(jnp.zeros(width, dtype))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "n t d"]) -> Float[Array, "n t d"]:
        """Normalise each token by itself."""
        y = standardise(widened(x), -1, self.epsilon)
        y = self.scale[...][None, None] * y + self.bias[...][None, None]
        return y.astype(x.dtype)


class Attention(nnx.Module):
    r"""Multi-head self-attention.

    .. math::

        \operatorname{softmax}\bigl(q k^\top / \sqrt{d}\bigr)\, v

    for each head, of :math:`d` = ``width / heads`` features; the heads side by side
    then go through a linear layer.

    Args:
        width: features of a token.
        heads: a divisor of ``width``.
        dtype: type of the parameters.
        compute_dtype: type of the products; ``None`` for that of input and parameters.
        rngs: draws the kernels.

    References:
        Vaswani et al., *Attention Is All You Need*, 2017, equation (1) and section
        3.2.2. Dosovitskiy et al., 2021, equations (5) to (8).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        dtype: DTypeLike,
        compute_dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        """Draw the weights."""
        types = {"dtype": dtype, "compute_dtype": compute_dtype}
        self.query = Dense(width, width, **types, rngs=rngs)
        self.key = Dense(width, width, **types, rngs=rngs)
        self.value = Dense(width, width, **types, rngs=rngs)
        self.output = Dense(width, width, **types, rngs=rngs)
        self.heads = heads

    def __call__(self, x: Float[Array, "n t d"]) -> Float[Array, "n t d"]:
        """Each token's mixture of all tokens' values."""
        split = (*x.shape[:2], self.heads, -1)
        q, k, v = (f(x).reshape(split) for f in (self.query, self.key, self.value))
        scores = widened(jnp.einsum("nphd,nqhd->nhpq", q, k))
        A = jax.nn.softmax(scores / math.sqrt(q.shape[-1]))
        mixed = jnp.einsum("nhpq,nqhd->nphd", A.astype(v.dtype), v)
        return self.output(mixed.reshape(x.shape))


class EncoderBlock(nnx.Module):
    r"""Attention, then a two-layer network with GELU, each behind a normaliser.

    .. math::

        z' = \operatorname{MSA}(\operatorname{LN}(z)) + z, \qquad
        \operatorname{MLP}(\operatorname{LN}(z')) + z'

    Args:
        width: features of a token.
        heads: of the attention, a divisor of ``width``.
        hidden: features inside the two-layer network.
        epsilon: the normalisers'.
        dtype: type of the parameters.
        compute_dtype: type of the products; ``None`` for that of input and parameters.
        rngs: draws the weights.

    References:
        Dosovitskiy et al., 2021, equations (2) and (3).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        epsilon: float,
        dtype: DTypeLike,
        compute_dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        """Draw the weights."""
        types = {"dtype": dtype, "compute_dtype": compute_dtype}
        self.norm_0 = LayerNorm(width, epsilon=epsilon, dtype=dtype)
        self.attention = Attention(width, heads, **types, rngs=rngs)
        self.norm_1 = LayerNorm(width, epsilon=epsilon, dtype=dtype)
        self.hidden = Dense(width, hidden, **types, rngs=rngs)
        self.output = Dense(hidden, width, **types, rngs=rngs)

    def __call__(self, z: Float[Array, "n t d"]) -> Float[Array, "n t d"]:
        """The block's output."""
        z = z + self.attention(self.norm_0(z))
        h = nnx.gelu(self.hidden(self.norm_1(z)), approximate=False)
        return z + self.output(h)
