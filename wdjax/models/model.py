"""What the rest of the library means by a model: two pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
from jaxtyping import Array, Float, Key

Params: TypeAlias = dict[str, Any]
"""Nested dictionaries with string keys and arrays as leaves: ``hidden_0/kernel``."""

Init: TypeAlias = Callable[[Key[Array, ""]], Params]
Apply: TypeAlias = Callable[..., Float[Array, "n classes"]]
"""``apply(params, inputs)``, or also ``apply(params, inputs, statistics)``."""
Statistics: TypeAlias = dict[str, Any]
"""Nested as parameters are: ``norm/mean``, ``norm/variance``."""
Collect: TypeAlias = Callable[[Params, Float[Array, "n *features"]], Statistics]


class Model(NamedTuple):
    """A network as pure functions on a plain pytree of parameters.

    Attributes:
        init: draws the parameters from a key.
        apply: parameters and a batch of inputs, to the logits of each input. Where
            there is batch normalisation, a batch is normalised by its own statistics,
            or by those that are given as a third argument.
        collect: parameters and a batch, to the statistics of that batch; ``None``
            where an input's logits do not depend on the rest of its batch.
            :func:`wdjax.sweep.make_train` averages them for evaluation.
    """

    init: Init
    apply: Apply
    collect: Collect | None = None


def paths(params: Params) -> list[str]:
    """Name every leaf by its path, as rules on weights see it.

    Args:
        params: nested dictionaries of parameters.

    Returns:
        One ``hidden_0/kernel`` per leaf, in JAX's order of the leaves.
    """
    leaves = jax.tree.leaves_with_path(params)
    return [jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in leaves]


def check_params(params: Params, expected: Params) -> None:
    """Refuse parameters of another model, naming the leaves that differ.

    Args:
        params: what the caller handed to ``apply``.
        expected: a tree with the leaves that the model has.

    Raises:
        ValueError: a leaf is missing, or there is one too many.
    """
    missing = sorted(set(paths(expected)) - set(paths(params)))
    unknown = sorted(set(paths(params)) - set(paths(expected)))
    if missing or unknown:
        raise ValueError(
            "These parameters do not belong to this model: "
            f"missing {missing}, unknown {unknown}. "
            "Pass a tree with the structure that this model's init returns."
        )


def check_images(
    images: Float[Array, "n *features"], input_shape: tuple[int, ...]
) -> None:
    """Refuse a batch whose inputs have another shape than the model was built for.

    Args:
        images: what the caller handed to ``apply``.
        input_shape: the shape of one input.

    Raises:
        ValueError: the shapes differ.
    """
    if images.shape[1:] != input_shape:
        raise ValueError(
            f"This model was built for inputs of shape {input_shape}, "
            f"and the batch has shape {images.shape}: "
            "pass (n, *input_shape), or build the model with another input_shape."
        )
