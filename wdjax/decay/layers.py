"""Layer by layer: numbers for each, and transformations that act on each alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from wdjax import check
from wdjax.decay import carry
from wdjax.decay import where as where_


def per_layer(
    make: Callable[[Array], Any], params: PyTree, stacked: Mapping[str, int] | None
) -> PyTree:
    """A value for every layer of every leaf, made from its sum of squares.

    Args:
        make: what to make of a leaf's sums. They have the leaf's rank, with a 1 for
            every axis inside a layer.
        params: the parameters.
        stacked: how many leading axes of a leaf count layers or members, by patterns
            of paths; see :func:`wdjax.where.stack_axes`.

    Returns:
        A tree of the parameters' structure.

    Raises:
        ValueError: a pattern matches no leaf.
    """
    thetas, structure = jax.tree.flatten(params)
    # `optax.tree.map_params` shows a tree without leaves, which no pattern matches.
    counts = where_.stack_axes(stacked, params) if thetas else []
    return structure.unflatten(
        [
            make(square_sum(theta, range(count, jnp.ndim(theta))))
            for theta, count in zip(thetas, counts, strict=True)
        ]
    )


def square_sum(theta: Any, axes: Sequence[int]) -> Array:
    """Σ|θ|² over axes that are kept as 1, real and in float32 at least."""
    theta = jnp.asarray(theta)
    theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
    squares = jnp.real(theta * jnp.conj(theta))
    return jnp.sum(squares, axis=axes, keepdims=True)


def root(square: Array) -> Array:
    """√ of a sum of squares, with derivative 0 and not NaN at 0."""
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def over(a: Array, b: Array) -> Array:
    """a/b for b ≥ 0, and 0 where b is 0; no NaN under autodiff either."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)


def within(numbers: Any) -> list[int]:
    """The axes inside a layer, told from a number for each layer: those of length 1.

    The axis of a stack that holds a single layer is one of them, and does no harm.
    """
    return [axis for axis, length in enumerate(jnp.shape(numbers)) if length == 1]


def each(
    leaf: Any,
    updates: PyTree,
    params: PyTree,
    memories: tuple[PyTree, ...],
    caller: str,
) -> tuple[PyTree, ...]:
    """Update and memories, leaf by leaf; those without memory or update pass."""
    check.has_parameters(caller, params)
    thetas, structure = jax.tree.flatten(params)
    trees = (structure.flatten_up_to(tree) for tree in (updates, *memories))
    us, *kept = trees
    rows = [
        (u, *memory) if u is None or memory[0] is None else leaf(u, theta, *memory)
        for u, theta, *memory in zip(us, thetas, *kept, strict=True)
    ]
    columns = zip(*rows, strict=True) if rows else ([] for _ in (us, *kept))
    return tuple(structure.unflatten(column) for column in columns)


def mean_squares(
    params: PyTree, where: where_.Where, stacked: Mapping[str, int] | None
) -> PyTree:
    """‖θ‖²/n of each layer; ``None`` for the leaves that ``where`` leaves alone.

    Raises:
        ValueError: a multiplier is neither 0 nor 1.
    """
    multipliers = where_.resolve(where, params)
    for multiplier in multipliers:
        if not check.is_concrete(multiplier) or not _is_0_or_1(multiplier):
            raise ValueError(
                f"where: the multiplier {multiplier} is neither 0 nor 1; a norm is "
                "controlled or it is not. Give 0 or 1, known before the run."
            )
    thetas, structure = jax.tree.flatten(params)
    sums = jax.tree.leaves(per_layer(lambda square: square, params, stacked))
    return structure.unflatten(
        [
            None if where_.is_zero(m) else square / _count(theta, square)
            for theta, square, m in zip(thetas, sums, multipliers, strict=True)
        ]
    )


def _is_0_or_1(multiplier: Any) -> bool:
    return jnp.ndim(multiplier) == 0 and float(multiplier) in (0.0, 1.0)


def mean_square(p: Array, axes: list[int]) -> Array:
    """‖p‖²/n over the axes inside a layer."""
    square = square_sum(p, axes)
    return square / _count(p, square)


def _count(theta: Any, numbers: Array) -> int:
    """How many weights share a number."""
    return max(jnp.size(theta), 1) // max(numbers.size, 1)


def widened(u: Any, theta: Any) -> tuple[Array, Array]:
    """Both in the wider dtype of the two, float32 at least."""
    dtype = jnp.promote_types(carry.wider(u, theta), jnp.float32)
    u, theta = (jnp.asarray(x, dtype) for x in (u, theta))
    return u, theta
