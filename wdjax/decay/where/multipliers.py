"""Multipliers: how strongly a leaf is pulled, or each of its entries."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wdjax import check
from wdjax.decay.where.leaves import Leaf


def check_multiplier(name: str, multiplier: Any) -> None:
    """Refuse what is no number, array or traced value, or has a bad entry.

    Args:
        name: whose multiplier, for the message.
        multiplier: ``bool``, number or array; a traced one cannot be looked at and
            passes.

    Raises:
        ValueError: it is something else, complex, negative or not finite.
    """
    number = isinstance(multiplier, int | float | np.generic | np.ndarray)
    real = number or isinstance(multiplier, jax.Array)
    if not real or jnp.issubdtype(jnp.result_type(multiplier), jnp.complexfloating):
        raise ValueError(
            f"{name} is {multiplier!r}; it must be a bool, a number ≥ 0 or an array "
            "of them."
        )
    if not check.is_concrete(multiplier):
        return
    entries = np.ravel(np.asarray(multiplier, np.float64))
    bad = entries[~(np.isfinite(entries) & (entries >= 0))]
    if bad.size:
        entry_is = "is" if np.ndim(multiplier) == 0 else "has an entry"
        raise ValueError(
            f"{name} {entry_is} {bad[0]:g}; it must be finite and at least 0. "
            "Check its sign and the expression that made it."
        )


def fitted(multiplier: Any, leaf: Leaf) -> Any:
    """A multiplier that has no axes, or as many as its leaf; a hidden one's as it is.

    Raises:
        ValueError: it does not broadcast to the leaf.
    """
    shape = leaf.shape
    if shape is None or not (axes := jnp.shape(multiplier)):
        return multiplier
    try:
        fits = np.broadcast_shapes(axes, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"where: the multiplier of leaf {leaf.path!r} has shape {axes}, which does "
            f"not broadcast to the leaf's {shape}; give a number, or an array of that "
            "shape with 1 for axes along which it is constant."
        )
    return known(multiplier).reshape((1,) * (len(shape) - len(axes)) + axes)


def known(value: Any) -> Any:
    """A JAX array whose value is known as NumPy's: inside ``jit`` it stays known."""
    concrete = isinstance(value, jax.Array) and check.is_concrete(value)
    return np.asarray(value) if concrete else value


def is_zero(multiplier: Any) -> bool:
    """Whether a multiplier is known to be 0, so that its leaf can be left alone."""
    return check.is_concrete(multiplier) and not np.any(np.asarray(multiplier))


def complemented(multiplier: Any) -> Any:
    """1 where a multiplier is 0, and 0 elsewhere."""
    if not check.is_concrete(multiplier):
        return jnp.where(multiplier == 0, 1.0, 0.0)
    left_out = np.asarray(multiplier) == 0
    return left_out.astype(float) if left_out.ndim else float(left_out)


def brief(multiplier: Any) -> str:
    """A multiplier in a word: a number, a range and a shape, or ``traced``."""
    shape = jnp.shape(multiplier)
    if not check.is_concrete(multiplier):
        return f"traced {shape}" if shape else "traced"
    if not shape:
        return f"{multiplier}"
    if not multiplier.size:
        return f"[] {shape}"
    return f"[{multiplier.min():g} … {multiplier.max():g}] {shape}"
