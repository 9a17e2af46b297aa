"""A small vision transformer."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.model import Model, check_images
from wdjax.models.nnx_adapter import from_nnx
from wdjax.models.token_layers import Dense, EncoderBlock, LayerNorm


class VisionTransformer(nnx.Module):
    """Patches, encoder blocks, the mean over tokens, and a linear head.

    Args:
        patch: rows and columns of a patch.
        depth: number of blocks.
        width: features of a token.
        heads: of the attention, a divisor of ``width``.
        hidden: features inside the blocks' two-layer network.
        classes: number of logits.
        epsilon: the normalisers'.
        input_shape: of one image, in multiples of ``patch``.
        dtype: of the parameters.
        compute_dtype: of the products; ``None`` for that of the parameters.
        rngs: draws the weights.
    """

    def __init__(
        self,
        *,
        patch: int,
        depth: int,
        width: int,
        heads: int,
        hidden: int,
        classes: int,
        epsilon: float,
        input_shape: tuple[int, int, int],
        dtype: DTypeLike,
        compute_dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        """Draw the weights."""
        rows, columns, channels = input_shape
        tokens = (rows // patch) * (columns // patch)
        types = {"dtype": dtype, "compute_dtype": compute_dtype}
        self.embed = Dense(patch * patch * channels, width, **types, rngs=rngs)
        draw = nnx.initializers.normal(0.02)
        self.position = nnx.Param(draw(rngs.params(), (tokens, width), dtype))
        self.blocks = nnx.List(
            EncoderBlock(width, heads, hidden, epsilon=epsilon, **types, rngs=rngs)
            for _ in range(depth)
        )
        self.norm = LayerNorm(width, epsilon=epsilon, dtype=dtype)
        self.output = nnx.Linear(width, classes, param_dtype=dtype, rngs=rngs)
        self.patch, self.input_shape, self.dtype = patch, input_shape, dtype

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n k"]:
        """Compute the logits."""
        check_images(images, self.input_shape)
        z = self.embed(patches(images, self.patch))
        z = z + self.position[...].astype(z.dtype)[None]
        for block in self.blocks:
            z = block(z)
        return self.output(jnp.mean(self.norm(z).astype(self.dtype), 1))


def patches(
    images: Float[Array, "n h w c"], patch: int
) -> Float[Array, "n tokens features"]:
    """Cut images into squares, row by row, each flattened: row, column, channel.

    Args:
        images: of rows and columns in multiples of ``patch``.
        patch: rows and columns of a square.

    Returns:
        A token for each square.
    """
    n, h, w, c = images.shape
    cut = images.reshape(n, h // patch, patch, w // patch, patch, c)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, patch * patch * c)


def vit(
    classes: int = 10,
    *,
    patch: int = 4,
    depth: int = 6,
    width: int = 128,
    heads: int = 4,
    hidden: int | None = None,
    epsilon: float = 1e-6,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    dtype: DTypeLike | None = None,
    compute_dtype: DTypeLike | None = None,
) -> Model:
    r"""Build a small vision transformer.

    .. math::

        z_0 &= x_p E + E_\text{pos} \\
        z'_l &= \operatorname{MSA}(\operatorname{LN}(z_{l-1})) + z_{l-1} \\
        z_l &= \operatorname{MLP}(\operatorname{LN}(z'_l)) + z'_l \\
        \text{logits} &= W \operatorname{mean}_p \operatorname{LN}(z_L) + b

    for patches :math:`x_p`, with bias in :math:`E` and learned positions. The mean over
    tokens stands for the paper's class token. With the defaults there are 1,205,642
    parameters: ``embed/kernel``, ``position``, ``blocks/0/norm_0/scale``,
    ``blocks/0/attention/query/kernel``, ``blocks/0/hidden/kernel``, …,
    ``norm/scale``, ``output/kernel``. ViT-B/16 (``patch=16, depth=12, width=768,
    heads=12``, images of 224, 1000 classes) has 86.6 million, the paper's 86 M.

    Kernels are drawn from a truncated normal of variance 1/fan-in (LeCun), positions
    from a normal of deviation 0.02; biases are 0.

    Args:
        classes: number of logits.
        patch: rows and columns of a patch, a divisor of those of the image.
        depth: number of blocks :math:`L`.
        width: features :math:`D` of a token.
        heads: of the attention, a divisor of ``width``.
        hidden: features inside the MLP; :math:`4D` if not given.
        epsilon: the normalisers' :math:`\epsilon > 0`.
        input_shape: rows, columns and channels of one image.
        dtype: type of the parameters; JAX's default float type if not given.
        compute_dtype: type of the products and of the tokens, such as ``bfloat16``;
            that of images and parameters if not given. Statistics and the attention's
            softmax are in float32 at least, the head in the parameters' type.

    Returns:
        The model.

    Raises:
        ValueError: ``patch`` does not divide the image, or ``heads`` the width.

    References:
        Dosovitskiy et al., *An Image is Worth 16×16 Words*, 2021, equations (1) to (4)
        and table 1. Beyer, Zhai & Kolesnikov, *Better plain ViT baselines*, 2022 (the
        mean over tokens).
    """
    if input_shape[0] % patch or input_shape[1] % patch:
        raise ValueError(
            f"patch is {patch}, which does not divide images of "
            f"{input_shape[0]}×{input_shape[1]} pixels."
        )
    if width % heads:
        raise ValueError(f"heads is {heads}, which does not divide the width {width}.")
    param_dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)

    def make(rngs: nnx.Rngs) -> VisionTransformer:
        return VisionTransformer(
            patch=patch,
            depth=depth,
            width=width,
            heads=heads,
            hidden=4 * width if hidden is None else hidden,
            classes=classes,
            epsilon=epsilon,
            input_shape=input_shape,
            dtype=param_dtype,
            compute_dtype=compute_dtype,
            rngs=rngs,
        )

    return from_nnx(make)
