"""What the residual networks share: a row of blocks, and their initialisation."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.channel_norms import MakeNorm, Statistics, make_norm
from wdjax.models.layers import Conv
from wdjax.models.model import Model
from wdjax.models.nnx_adapter import from_nnx_with_statistics


class Parts(NamedTuple):
    """How the layers of a residual network are built.

    Attributes:
        conv: ``(fan_in, fan_out, stride=…)``, drawn by He.
        conv_0: likewise, the first in a block.
        conv_1: likewise, the last in a block.
        norm: ``channels -> layer``, what stands before or behind a convolution.
    """

    conv: Callable[..., Conv]
    conv_0: Callable[..., Conv]
    conv_1: Callable[..., Conv]
    norm: MakeNorm


MakeBlock: TypeAlias = Callable[[Parts, int, int, int], nnx.Module]


def parts(
    norm: MakeNorm,
    *,
    normalised: bool,
    blocks: int,
    dtype: DTypeLike,
    compute_dtype: DTypeLike | None,
    rngs: nnx.Rngs,
) -> Parts:
    r"""Choose the initialisation that goes with the normalisation.

    With it every kernel is drawn by He. Without, a block's last kernel is 0 and its
    first He's times :math:`L^{-1/2}` for :math:`L` blocks, so that a step of gradient
    descent moves the logits by the same order for every depth.

    Args:
        norm: builds what stands beside the convolutions.
        normalised: whether that normalises.
        blocks: their number :math:`L`.
        dtype: type of the parameters.
        compute_dtype: type of the products; ``None`` for the parameters'.
        rngs: draws the kernels.

    Returns:
        The builders.

    References:
        Zhang, Dauphin & Ma, *Fixup Initialization*, 2019, section 3, rules 1 and 2 for
        :math:`m = 2`; biases stand on channels, multipliers and the zero output layer
        are left out.
    """
    conv = partial(
        Conv, use_bias=False, dtype=dtype, compute_dtype=compute_dtype, rngs=rngs
    )
    if normalised:
        return Parts(conv, conv, conv, norm)
    smaller = nnx.initializers.variance_scaling(
        2 / blocks, "fan_in", "truncated_normal"
    )
    return Parts(
        conv,
        conv_0=partial(conv, initializer=smaller),
        conv_1=partial(conv, initializer=nnx.initializers.zeros),
        norm=norm,
    )


def stages(
    make_block: MakeBlock, made: Parts, widths: Sequence[int], per_stage: int
) -> list[Any]:
    """Build all blocks; each stage but the first begins by halving the image.

    Args:
        make_block: builds a block from ``(parts, fan_in, fan_out, stride)``.
        made: its layers' builders.
        widths: channels of the stem and of each stage.
        per_stage: blocks in a stage.

    Returns:
        The blocks, in order.
    """
    blocks, fan_in = [], widths[0]
    for stage, fan_out in enumerate(widths[1:]):
        for i in range(per_stage):
            stride = 2 if stage > 0 and i == 0 else 1
            blocks.append(make_block(made, fan_in, fan_out, stride))
            fan_in = fan_out
    return blocks


def through(
    blocks: Any, h: Float[Array, "n h w c"], given: Statistics
) -> tuple[Float[Array, "n p q d"], Statistics]:
    """Go through blocks in turn, and gather what each has seen under its index."""
    seen = {}
    for i, block in enumerate(blocks):
        h, seen[str(i)] = block(h, given.get(str(i), {}))
    return h, seen


def mean_over_positions(
    h: Float[Array, "n p q d"], dtype: DTypeLike
) -> Float[Array, "n d"]:
    """Pool for the output layer, in the type of its parameters."""
    return jnp.mean(h.astype(dtype), (1, 2))


def residual_model(
    network: Callable[..., nnx.Module],
    widths: Sequence[int],
    per_stage: int,
    classes: int,
    *,
    normalise: str | None,
    groups: int,
    epsilon: float,
    input_shape: tuple[int, int, int],
    dtype: DTypeLike | None,
    compute_dtype: DTypeLike | None,
) -> Model:
    """The model, with statistics to collect where a batch is normalised as a whole.

    Args:
        network: builds the module from its layers' builders.
        widths: channels of the stem and of each of the three stages.
        per_stage: blocks in a stage.
        classes: number of logits.
        normalise: see :func:`wdjax.models.resnet`, as all that follows.
        groups: for ``"group"`` only.
        epsilon: the normaliser's.
        input_shape: of one image.
        dtype: type of the parameters.
        compute_dtype: type of the convolutions.
    """
    param_dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    norm = make_norm(normalise, groups=groups, epsilon=epsilon, dtype=param_dtype)

    def make(rngs: nnx.Rngs) -> nnx.Module:
        made = parts(
            norm,
            normalised=normalise is not None,
            blocks=3 * per_stage,
            dtype=param_dtype,
            compute_dtype=compute_dtype,
            rngs=rngs,
        )
        return network(
            made,
            widths,
            per_stage,
            classes,
            input_shape=input_shape,
            dtype=param_dtype,
            rngs=rngs,
        )

    model = from_nnx_with_statistics(make)
    return model if normalise == "batch" else model._replace(collect=None)


def blocks_per_stage(depth: int, layers_outside: int) -> int:
    r"""The :math:`n` of depth :math:`6n + k`.

    Args:
        depth: number of layers.
        layers_outside: :math:`k`, those that are not in a block.

    Returns:
        Blocks of two layers in each of the three stages.

    Raises:
        ValueError: the depth is not of this form.
    """
    n, rest = divmod(depth - layers_outside, 6)
    if n < 1 or rest:
        nearest = 6 * max(1, n) + layers_outside
        raise ValueError(
            f"depth is {depth}; it must be 6n + {layers_outside} with n ≥ 1, "
            f"such as {nearest}."
        )
    return n
