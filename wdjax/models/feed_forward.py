"""Layers, each normalised or not and rectified, then a linear head."""

import itertools
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TypeAlias

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wdjax.models.model import check_images
from wdjax.models.normalise import standardise

MakeLayer: TypeAlias = Callable[[int, int, int], nnx.Module]


def check_widths(name: str, widths: Sequence[int]) -> None:
    """Refuse one number in place of one for each layer.

    Raises:
        ValueError: it is one.
    """
    if isinstance(widths, Integral):
        raise ValueError(
            f"{name} is {widths}; give the width of each layer, such as ({widths},)."
        )


class FeedForward(nnx.Module):
    """What :func:`wdjax.models.mlp` and :func:`wdjax.models.cnn` share.

    Args:
        widths: channels of the input and of each hidden layer.
        classes: number of logits.
        make_layer: builds a hidden layer from its index, fan-in and fan-out.
        prepare: what the images go through before the first layer.
        pool: what the last hidden layer's output goes through before the head.
        normalise: whether the hidden layers are normalised.
        scale_invariant: whether *every* layer is, the head too.
        axis: over which axes a hidden layer is normalised.
        epsilon: the normaliser's.
        input_shape: of one image.
        dtype: of the head's parameters.
        compute_dtype: of the hidden layers' products, if not that of their input and
            parameters; what follows them is then in ``dtype``.
        rngs: draws the head's kernel.
    """

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        *,
        make_layer: MakeLayer,
        prepare: Callable[[Array], Array],
        pool: Callable[[Array], Array],
        normalise: bool,
        scale_invariant: bool,
        axis: int | tuple[int, ...],
        epsilon: float,
        input_shape: tuple[int, ...],
        dtype: DTypeLike,
        compute_dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        """Draw the weights."""
        self.depth = len(widths) - 1
        self.prepare, self.pool = prepare, pool
        self.normalise = normalise or scale_invariant
        self.scale_invariant = scale_invariant
        self.axis, self.epsilon = axis, epsilon
        self.input_shape = input_shape
        self.widen_to = None if compute_dtype is None else dtype
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            setattr(self, f"hidden_{i}", make_layer(i, fan_in, fan_out))
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
        h = self.prepare(images)
        for i in range(self.depth):
            h = getattr(self, f"hidden_{i}")(h)
            if self.widen_to is not None:
                h = h.astype(self.widen_to)
            if self.normalise:
                h = standardise(h, self.axis, self.epsilon)
            h = nnx.relu(h)
        logits = self.output(self.pool(h))
        if self.scale_invariant:
            logits = standardise(logits, -1, self.epsilon)
        return logits
