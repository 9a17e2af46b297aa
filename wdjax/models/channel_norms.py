r"""What stands between a convolution and its ReLU, one layer per kind, of one form.

Each is called as ``layer(x, given)`` and returns ``(y, seen)``: ``seen`` holds the
statistics of the batch it went through, and ``given`` those to be used in their place;
``None`` for "of this batch". Layers that know only single images have neither.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.normalise import standardise, variance

Statistics: TypeAlias = dict[str, Any]
"""``{"mean": …, "variance": …}`` of each channel; empty where there are none."""


class BatchNorm(nnx.Module):
    r"""Batch normalisation without running statistics.

    .. math::

        y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with :math:`\mu` and :math:`\sigma^2` of each channel over the batch's images and
    positions, or as given. They are computed in float32 at least.

    Args:
        channels: of the input.
        epsilon: :math:`\epsilon > 0`.
        dtype: type of the parameters.

    References:
        Ioffe & Szegedy, *Batch Normalization*, 2015, algorithm 1.
    """

    def __init__(self, channels: int, *, epsilon: float, dtype: DTypeLike):
        """γ = 1, β = 0."""
        self.scale = nnx.Param(jnp.ones(channels, dtype))
        self.bias = nnx.Param(jnp.zeros(channels, dtype))
        self.epsilon = epsilon

    def __call__(
        self, x: Float[Array, "n h w c"], given: Statistics | None = None
    ) -> tuple[Float[Array, "n h w c"], Statistics]:
        """Normalise by the statistics given, or else by the batch's own."""
        wide = widened(x)
        statistics = moments(wide) if given is None else given
        mean, spread = (_row(statistics[name]) for name in ("mean", "variance"))
        gain = _row(self.scale[...]) / jnp.sqrt(spread + self.epsilon)
        y = gain * (wide - mean) + _row(self.bias[...])
        return y.astype(x.dtype), statistics


class GroupNorm(nnx.Module):
    r"""Group normalisation: of each image, over positions and a group's channels.

    .. math::

        y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        channels: of the input.
        groups: of neighbouring channels, a divisor of ``channels``.
        epsilon: :math:`\epsilon > 0`.
        dtype: type of the parameters.

    Raises:
        ValueError: ``groups`` does not divide ``channels``.

    References:
        Wu & He, *Group Normalization*, 2018, equations (1), (6), (7).
    """

    def __init__(self, channels: int, *, groups: int, epsilon: float, dtype: DTypeLike):
        """γ = 1, β = 0."""
        if groups < 1 or channels % groups:
            raise ValueError(
                f"groups is {groups}, which does not divide the {channels} channels "
                "of a layer; choose a divisor of all widths."
            )
        self.scale = nnx.Param(jnp.ones(channels, dtype))
        self.bias = nnx.Param(jnp.zeros(channels, dtype))
        self.groups, self.epsilon = groups, epsilon

    def __call__(
        self, x: Float[Array, "n h w c"], given: Statistics | None = None
    ) -> tuple[Float[Array, "n h w c"], Statistics]:
        """Normalise each image by itself."""
        del given
        wide = widened(x).reshape(*x.shape[:3], self.groups, -1)
        y = standardise(wide, (1, 2, 4), self.epsilon).reshape(x.shape)
        y = _row(self.scale[...]) * y + _row(self.bias[...])
        return y.astype(x.dtype), {}


class Shift(nnx.Module):
    r"""No normalisation, only a bias for each channel: :math:`y = x + \beta`.

    Args:
        channels: of the input.
        dtype: type of the parameters.
    """

    def __init__(self, channels: int, *, dtype: DTypeLike):
        """β = 0."""
        self.bias = nnx.Param(jnp.zeros(channels, dtype))

    def __call__(
        self, x: Float[Array, "n h w c"], given: Statistics | None = None
    ) -> tuple[Float[Array, "n h w c"], Statistics]:
        """Add the bias."""
        del given
        return (x + _row(self.bias[...])).astype(x.dtype), {}


ChannelNorm: TypeAlias = BatchNorm | GroupNorm | Shift
MakeNorm: TypeAlias = Callable[[int], ChannelNorm]


def make_norm(
    normalise: str | None, *, groups: int, epsilon: float, dtype: DTypeLike
) -> MakeNorm:
    """The layer of a name, to be built for a number of channels.

    Args:
        normalise: ``"batch"``, ``"group"`` or ``None``.
        groups: for ``"group"``.
        epsilon: for both.
        dtype: type of the parameters.

    Returns:
        ``channels -> layer``.

    Raises:
        ValueError: there is no such name.
    """
    layers: Mapping[str | None, MakeNorm] = MappingProxyType(
        {
            "batch": partial(BatchNorm, epsilon=epsilon, dtype=dtype),
            "group": partial(GroupNorm, groups=groups, epsilon=epsilon, dtype=dtype),
            None: partial(Shift, dtype=dtype),
        }
    )
    if normalise not in layers:
        raise ValueError(
            f"normalise is {normalise!r}; it must be 'batch', 'group' or None."
        )
    return layers[normalise]


def moments(x: Float[Array, "n h w c"]) -> Statistics:
    r"""Mean and variance :math:`\operatorname{mean}\,(x-\mu)^2` of each channel."""
    axes = (0, 1, 2)
    return {"mean": jnp.mean(x, axes), "variance": variance(x, axes).ravel()}


def widened(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """In float32 at least: 8 bits are too few for a mean over thousands."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _row(x: Float[Array, " c"]) -> Float[Array, "1 1 1 c"]:
    return x.reshape(1, 1, 1, -1)
