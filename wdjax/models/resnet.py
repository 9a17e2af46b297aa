"""Residual networks for small images."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.channel_norms import Statistics
from wdjax.models.model import Model, check_images
from wdjax.models.residual import (
    Parts,
    blocks_per_stage,
    mean_over_positions,
    residual_model,
    stages,
    through,
)


class BasicBlock(nnx.Module):
    """Two convolutions, and a shortcut without parameters around them.

    Args:
        made: builds the layers.
        fan_in: input channels.
        fan_out: output channels, no fewer.
        stride: of the first convolution.
    """

    def __init__(self, made: Parts, fan_in: int, fan_out: int, stride: int):
        """Draw the weights."""
        self.conv_0 = made.conv_0(fan_in, fan_out, stride=stride)
        self.norm_0 = made.norm(fan_out)
        self.conv_1 = made.conv_1(fan_out, fan_out, stride=1)
        self.norm_1 = made.norm(fan_out)
        self.stride, self.wider = stride, fan_out - fan_in

    def __call__(
        self, x: Float[Array, "n h w c"], given: Statistics
    ) -> tuple[Float[Array, "n p q d"], Statistics]:
        """The block's output, and the statistics its normalisers used."""
        h, seen_0 = self.norm_0(self.conv_0(x), given.get("norm_0"))
        h, seen_1 = self.norm_1(self.conv_1(nnx.relu(h)), given.get("norm_1"))
        # Option A of the paper: subsample, and zeros for the new channels.
        shortcut = x[:, :: self.stride, :: self.stride]
        shortcut = jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, self.wider)))
        y = nnx.relu(h + shortcut.astype(h.dtype))
        return y, {"norm_0": seen_0, "norm_1": seen_1}


class ResNet(nnx.Module):
    """A stem, blocks in stages, and a linear head on the mean over positions.

    Args:
        made: builds the layers.
        widths: channels of the stem and of each stage.
        per_stage: blocks in a stage.
        classes: number of logits.
        input_shape: of one image.
        dtype: of the head's parameters.
        rngs: draws the head's kernel.
    """

    def __init__(
        self,
        made: Parts,
        widths: Sequence[int],
        per_stage: int,
        classes: int,
        *,
        input_shape: tuple[int, int, int],
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        """Draw the weights."""
        self.stem = made.conv(input_shape[-1], widths[0], stride=1)
        self.norm = made.norm(widths[0])
        self.blocks = nnx.List(stages(BasicBlock, made, widths, per_stage))
        self.output = nnx.Linear(widths[-1], classes, param_dtype=dtype, rngs=rngs)
        self.input_shape, self.dtype = input_shape, dtype

    def __call__(
        self, images: Float[Array, "n h w c"], given: Statistics
    ) -> tuple[Float[Array, "n k"], Statistics]:
        """The logits, and the statistics that were used."""
        check_images(images, self.input_shape)
        h, seen = self.norm(self.stem(images), given.get("norm"))
        h, seen_in_blocks = through(self.blocks, nnx.relu(h), given.get("blocks", {}))
        logits = self.output(mean_over_positions(h, self.dtype))
        return logits, {"norm": seen, "blocks": seen_in_blocks}


def resnet(
    depth: int = 20,
    classes: int = 10,
    *,
    widths: tuple[int, int, int] = (16, 32, 64),
    normalise: str | None = "batch",
    groups: int = 8,
    epsilon: float = 1e-5,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    dtype: DTypeLike | None = None,
    compute_dtype: DTypeLike | None = None,
) -> Model:
    r"""Build a residual network in the form for CIFAR: depth :math:`6n + 2`.

    .. math::

        x \leftarrow \max(0, F(x) + S(x)), \qquad
        F(x) = N(K_1 * \max(0, N(K_0 * x)))

    in three stages of :math:`n` blocks, after a convolution, :math:`N` and ReLU. Each
    stage but the first halves rows and columns in its first convolution; the shortcut
    :math:`S` then takes every second pixel and adds channels of zeros (the paper's
    option A), and is the identity elsewhere. The head is linear, on the mean over
    positions. Depth 20 has 269,722 parameters with 10 classes, the paper's 0.27 M, in
    ``stem/kernel``, ``norm/scale``, ``blocks/0/conv_0/kernel``,
    ``blocks/0/norm_0/scale``, …, ``output/kernel``.

    :math:`N` is batch normalisation with gain and bias, which keeps no running
    statistics: the model's ``collect`` gives those of a batch, and ``apply`` takes
    some as a third argument (:func:`wdjax.sweep.make_train` does both for evaluation).
    Or it is group normalisation, or a bias only; without normalisation each block's
    last kernel starts at 0 and its first smaller, see :mod:`wdjax.models.residual`.

    Kernels are drawn from a truncated normal of variance 2/fan-in (He), that of the
    head 1/fan-in (LeCun).

    Args:
        depth: :math:`6n + 2` layers, :math:`n \ge 1`.
        classes: number of logits.
        widths: channels of each stage, not decreasing; the stem has the first.
        normalise: ``"batch"``, ``"group"`` or ``None``.
        groups: number of groups, a divisor of all widths; for ``"group"`` only.
        epsilon: the normaliser's :math:`\epsilon > 0`.
        input_shape: rows, columns and channels of one image.
        dtype: type of the parameters; JAX's default float type if not given.
        compute_dtype: type of the convolutions and of what goes from one to the next,
            such as ``bfloat16``; that of images and parameters if not given.
            Statistics are in float32 at least, the head in the parameters' type.

    Returns:
        The model.

    Raises:
        ValueError: the depth is not of this form, there is no such normalisation, or
            ``groups`` does not divide a width.

    References:
        He et al., *Deep Residual Learning*, 2016, section 4.2 and table 6; equations
        (1) and (2).
    """
    return residual_model(
        ResNet,
        (widths[0], *widths),
        blocks_per_stage(depth, 2),
        classes,
        normalise=normalise,
        groups=groups,
        epsilon=epsilon,
        input_shape=input_shape,
        dtype=dtype,
        compute_dtype=compute_dtype,
    )


def resnet20(
    classes: int = 10,
    *,
    normalise: str | None = "batch",
    groups: int = 8,
    epsilon: float = 1e-5,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    dtype: DTypeLike | None = None,
    compute_dtype: DTypeLike | None = None,
) -> Model:
    r"""Build :func:`resnet` of depth 20, as in the paper: 0.27 M parameters.

    Args:
        classes: number of logits.
        normalise: ``"batch"``, ``"group"`` or ``None``.
        groups: number of groups; for ``"group"`` only.
        epsilon: the normaliser's :math:`\epsilon > 0`.
        input_shape: rows, columns and channels of one image.
        dtype: type of the parameters; JAX's default float type if not given.
        compute_dtype: type of the convolutions; see :func:`resnet`.

    Returns:
        The model.

    Raises:
        ValueError: as in :func:`resnet`.

    References:
        He et al., *Deep Residual Learning*, 2016, table 6.
    """
    return resnet(
        20,
        classes,
        normalise=normalise,
        groups=groups,
        epsilon=epsilon,
        input_shape=input_shape,
        dtype=dtype,
        compute_dtype=compute_dtype,
    )
