"""Flax Linen modules as pure functions."""

import jax
import jax.numpy as jnp
from flax import linen
from jaxtyping import Array, Float, Key, Shaped

from wdjax.models.model import Model, Params


def from_linen(
    module: linen.Module,
    example_input: Shaped[Array, "n *features"] | jax.ShapeDtypeStruct,
) -> Model:
    """Turn a Flax Linen module into ``(init, apply)`` on a plain tree of parameters.

    Args:
        module: the module; its ``__call__`` takes the batch and nothing else.
        example_input: a batch from which Linen infers the shapes. Only its shape and
            type are used.

    Returns:
        The model, with Linen's names: ``Dense_0/kernel``.

    Raises:
        ValueError: the module has collections other than ``params`` (such as the
            ``batch_stats`` of batch normalisation), for which
            ``apply(params, inputs)`` has no place.
    """
    shape, dtype = example_input.shape, example_input.dtype

    def variables(key: Key[Array, ""]) -> Params:
        return linen.meta.unbox(module.init(key, jnp.zeros(shape, dtype)))

    _refuse_other_collections(jax.eval_shape(variables, jax.random.key(0)))

    def init(key: Key[Array, ""]) -> Params:
        return variables(key).get("params", {})

    def apply(
        params: Params, inputs: Float[Array, "n *features"]
    ) -> Float[Array, "n classes"]:
        return module.apply({"params": params}, inputs)  # pyright: ignore[reportReturnType]

    return Model(init, apply)


def _refuse_other_collections(variables: Params) -> None:
    leaves = jax.tree.leaves_with_path(
        {name: tree for name, tree in variables.items() if name != "params"}
    )
    if leaves:
        found = ", ".join(
            f"'{jax.tree_util.keystr(path, simple=True, separator='/')}'"
            for path, _ in leaves
        )
        raise ValueError(
            f"This module has variables outside 'params': {found}. "
            "A wdjax model is a function of its parameters alone: use layers without "
            "running statistics (LayerNorm or GroupNorm for BatchNorm)."
        )
