"""Wide residual networks, with normalisation and ReLU before each convolution."""

from collections.abc import Sequence

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


class PreActivationBlock(nnx.Module):
    """Two convolutions behind their normalisers; 1×1 where the widths differ.

    Args:
        made: builds the layers.
        fan_in: input channels.
        fan_out: output channels.
        stride: of the first convolution; 1 where the widths are equal.
    """

    def __init__(self, made: Parts, fan_in: int, fan_out: int, stride: int):
        """Draw the weights."""
        self.norm_0 = made.norm(fan_in)
        self.conv_0 = made.conv_0(fan_in, fan_out, stride=stride)
        self.norm_1 = made.norm(fan_out)
        self.conv_1 = made.conv_1(fan_out, fan_out, stride=1)
        changes = fan_in != fan_out
        self.shortcut = (
            made.conv(fan_in, fan_out, stride=stride, window=1) if changes else None
        )

    def __call__(
        self, x: Float[Array, "n h w c"], given: Statistics
    ) -> tuple[Float[Array, "n p q d"], Statistics]:
        """The block's output, and the statistics its normalisers used."""
        h, seen_0 = self.norm_0(x, given.get("norm_0"))
        h = nnx.relu(h)
        # A shortcut with weights begins behind the first activation, as in the
        # authors' code: He et al. (2016b), section 4.1, for the first block.
        shortcut = x if self.shortcut is None else self.shortcut(h)
        h, seen_1 = self.norm_1(self.conv_0(h), given.get("norm_1"))
        y = shortcut + self.conv_1(nnx.relu(h))
        return y, {"norm_0": seen_0, "norm_1": seen_1}


class WideResNet(nnx.Module):
    """A stem, blocks in stages, a last activation, and a linear head.

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
        self.blocks = nnx.List(stages(PreActivationBlock, made, widths, per_stage))
        self.norm = made.norm(widths[-1])
        self.output = nnx.Linear(widths[-1], classes, param_dtype=dtype, rngs=rngs)
        self.input_shape, self.dtype = input_shape, dtype

    def __call__(
        self, images: Float[Array, "n h w c"], given: Statistics
    ) -> tuple[Float[Array, "n k"], Statistics]:
        """The logits, and the statistics that were used."""
        check_images(images, self.input_shape)
        h = self.stem(images)
        h, seen_in_blocks = through(self.blocks, h, given.get("blocks", {}))
        h, seen = self.norm(h, given.get("norm"))
        logits = self.output(mean_over_positions(nnx.relu(h), self.dtype))
        return logits, {"norm": seen, "blocks": seen_in_blocks}


def wide_resnet(
    depth: int = 28,
    width: int = 10,
    classes: int = 10,
    *,
    normalise: str | None = "batch",
    groups: int = 8,
    epsilon: float = 1e-5,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    dtype: DTypeLike | None = None,
    compute_dtype: DTypeLike | None = None,
) -> Model:
    r"""Build a wide residual network WRN-:math:`d`-:math:`k`, depth :math:`6n + 4`.

    .. math::

        x \leftarrow S(x) + K_1 * a_1(K_0 * a_0(x)), \qquad a_i(x) = \max(0, N_i(x))

    in three stages of :math:`n` blocks with :math:`16k, 32k, 64k` channels, after a
    convolution with 16, and before a last :math:`a` and a linear head on the mean over
    positions. Each stage but the first halves rows and columns in its first block.
    Where the channels change, :math:`S(x) = K * a_0(x)` with a 1×1 kernel; elsewhere it
    is the identity. Without dropout. WRN-28-10 has 36,479,194 parameters with 10
    classes, the paper's 36.5 M. They are named as in :func:`wdjax.models.resnet`, with
    ``blocks/0/shortcut/kernel`` for the 1×1 kernels.

    Normalisation, initialisation and types are those of :func:`wdjax.models.resnet`.

    Args:
        depth: :math:`d = 6n + 4` layers, :math:`n \ge 1`.
        width: the factor :math:`k \ge 1`.
        classes: number of logits.
        normalise: ``"batch"``, ``"group"`` or ``None``.
        groups: number of groups, a divisor of 16; for ``"group"`` only.
        epsilon: the normaliser's :math:`\epsilon > 0`.
        input_shape: rows, columns and channels of one image.
        dtype: type of the parameters; JAX's default float type if not given.
        compute_dtype: type of the convolutions; see :func:`wdjax.models.resnet`.

    Returns:
        The model.

    Raises:
        ValueError: the depth is not of this form, there is no such normalisation, or
            ``groups`` does not divide a width.

    References:
        Zagoruyko & Komodakis, *Wide Residual Networks*, 2016, table 1.
    """
    return residual_model(
        WideResNet,
        (16, 16 * width, 32 * width, 64 * width),
        blocks_per_stage(depth, 4),
        classes,
        normalise=normalise,
        groups=groups,
        epsilon=epsilon,
        input_shape=input_shape,
        dtype=dtype,
        compute_dtype=compute_dtype,
    )
