"""What a decay does besides: refused steps, small types, accumulation."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

NARROW = 16  # bits


def side_effects(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    rates: np.ndarray | None,
    extra_args: Mapping[str, Any],
) -> list[str]:
    """Sentences on what else was seen, in the parameters' own types.

    Args:
        optimizer: any.
        params: the parameters, as they are.
        rates: δ_t of a leaf that decays; ``None`` if none does.
        extra_args: what its update needs besides.
    """
    found = []
    if rates is not None and np.any(rates):
        on = np.abs(rates) > 1e-6 * np.abs(rates).max()
        found += _rhythm(on)
    update = optax.with_extra_args_support(optimizer).update
    state = optimizer.init(params)
    zeros = jax.tree.map(jnp.zeros_like, params)
    found += _types(update, state, zeros, params, extra_args)
    if rates is not None and np.any(rates):
        found += _refused(update, state, zeros, params, extra_args)
        found += _lost(update, state, zeros, params, extra_args, rates)
    return found


def _rhythm(on: np.ndarray) -> list[str]:
    """Decay in every k-th update only, as under accumulation."""
    steps = np.flatnonzero(on)
    gaps = set(np.diff(steps).tolist())
    if on.all() or len(steps) < 2 or len(gaps) != 1:
        return []
    every = gaps.pop()
    if every == 1:
        return [f"no decay in the first {steps[0]} updates"]
    return [f"it decays in one of {every} updates only, as under accumulation"]


def _types(
    update: Any, state: Any, zeros: PyTree, params: PyTree, extra: Mapping[str, Any]
) -> list[str]:
    """Updates of another type than their weights."""
    shapes = jax.eval_shape(
        lambda g, s, p: update(g, s, p, **extra)[0], zeros, state, params
    )
    pairs = zip(jax.tree.leaves(shapes), jax.tree.leaves(params), strict=True)
    wide = {(p.dtype.name, u.dtype.name) for u, p in pairs if u.dtype != p.dtype}
    return [f"updates of {p} weights are {u}" for p, u in sorted(wide)]


def _refused(
    update: Any, state: Any, zeros: PyTree, params: PyTree, extra: Mapping[str, Any]
) -> list[str]:
    """What a gradient that is not finite leads to, where it is caught."""
    nans = jax.tree.map(lambda z: jnp.full_like(z, jnp.nan), zeros)
    u = jax.tree.leaves(update(nans, state, params, **extra)[0])
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in u):
        return []
    if any(bool(jnp.any(leaf)) for leaf in u):
        return ["a step refused for its gradient still decays"]
    return ["a step refused for its gradient does not decay"]


def _lost(
    update: Any,
    state: Any,
    zeros: PyTree,
    params: PyTree,
    extra: Mapping[str, Any],
    rates: np.ndarray,
) -> list[str]:
    """Decay that rounding swallows, in narrow types."""
    names = {
        leaf.dtype.name
        for leaf in jax.tree.leaves(params)
        if jnp.finfo(leaf.dtype).bits <= NARROW
    }
    found = []
    for name in sorted(names):
        ones = jax.tree.map(lambda p: _spread(p.shape, p.dtype), params)
        u, _ = update(zeros, state, ones, **extra)
        moved = optax.apply_updates(ones, u)
        pairs = [
            (np.asarray(a, np.float64), np.asarray(b, np.float64))
            for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(ones), strict=True)
            if b.dtype.name == name
        ]
        share = float(np.mean(np.concatenate([np.ravel(a != b) for a, b in pairs])))
        rate = float(np.max(np.abs(rates)))
        if share < 1:
            found.append(
                f"{name}: alone, a decay of {rate:.2g} moves {share:.0%} of the "
                "weights; the rest is lost to rounding"
            )
    return found


def _spread(shape: tuple[int, ...], dtype: Any) -> Any:
    """Weights over one binade, where rounding treats all alike but for position."""
    n = int(np.prod(shape))
    return jnp.asarray(1 + (np.arange(n) + 0.5) / n, dtype).reshape(shape)
