"""What a training loop carries keeps its type: dtypes, and ``None`` for no gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree


def keep_dtypes(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Let no hyper-parameter widen what a loop carries.

    A float32 array for β or α, traced or not, makes float32 of bfloat16 moments and
    updates, and a scan's carry cannot change its type. What is wide inside stays wide
    up to the last link and is rounded behind it, once.

    Args:
        optimizer: a whole chain, one that asks for parameters.

    Returns:
        The same transformation; its updates have the dtypes of the gradients, or of
        the parameters where those are wider, its state those of the state before.
    """
    inner = optax.with_extra_args_support(optimizer)

    def update(
        updates: PyTree, state: PyTree, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, PyTree]:
        new, after = inner.update(updates, state, params, **extra)
        new = jax.tree.map(_update_like, new, updates, params, is_leaf=_is_none)
        return new, jax.tree.map(_like, after, state)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def skip_none(
    base: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Let leaves without a gradient through a base that cannot take ``None``.

    The base sees a gradient of zero there, so that the structure of its state stays;
    what leaves it is ``None`` again.

    Args:
        base: any transformation.

    Returns:
        The same transformation, for gradients that may be ``None``.
    """
    inner = optax.with_extra_args_support(base)

    def update(
        updates: PyTree, state: PyTree, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, PyTree]:
        if params is None:  # nothing says what the missing gradients look like
            return inner.update(updates, state, **extra)
        filled = jax.tree.map(_zero_for_none, updates, params, is_leaf=_is_none)
        new, state = inner.update(filled, state, params, **extra)
        return jax.tree.map(_none_for_none, updates, new, is_leaf=_is_none), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


def wider(u: Any, theta: Any) -> Any:
    """The dtype of an update: what came in, or the weight's where that is wider.

    A gradient is often narrower than its weight (bfloat16 compute, float32 weights). In
    its dtype a small pull would round away beside it.
    """
    return jnp.promote_types(jnp.result_type(u), jnp.result_type(theta))


def _update_like(new: Any, u: Any, theta: Any) -> Any:
    return new if new is None else jnp.asarray(new).astype(wider(u, theta))


def _like(new: Any, old: Any) -> Any:
    dtype = jnp.result_type(old)
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return new  # a key has no width, and no `astype`
    return new.astype(dtype)


def _zero_for_none(g: Any, theta: PyTree) -> PyTree:
    return optax.tree.zeros_like(theta) if g is None else g


def _none_for_none(g: Any, u: PyTree) -> PyTree:
    return None if g is None else u


def _is_none(leaf: Any) -> bool:
    return leaf is None
