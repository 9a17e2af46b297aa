"""What a decay does besides: refused steps, small types, accumulation."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

NARROW = 16  # bits


class Subject(NamedTuple):
    """An optimizer with its first state, in the parameters' own types.

    Attributes:
        update: its update.
        state: of ``params``.
        params: the parameters.
    """

    update: Any
    state: Any
    params: PyTree

    def step(self, g: PyTree, params: PyTree) -> PyTree:
        """The first update."""
        return self.update(g, self.state, params)[0]


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
    update = optax.with_extra_args_support(optimizer).update
    compiled = jax.jit(lambda *given: update(*given, **extra_args))
    subject = Subject(compiled, optimizer.init(params), params)
    found = _types(subject)
    if rates is not None and np.any(rates):
        on = np.abs(rates) > 1e-6 * np.abs(rates).max()
        found += _rhythm(on)
        if on[0]:  # else the first update shows nothing of the decay
            found += [*_refused(subject), *_lost(subject, float(abs(rates[0])))]
    return found


def _rhythm(on: np.ndarray) -> list[str]:
    """Decay in every k-th update only, as under accumulation; or in some in a row."""
    steps = np.flatnonzero(on)
    gaps = set(np.diff(steps).tolist())
    if on.all() or len(gaps) > 1:
        return []
    every = gaps.pop() if gaps else 1
    if every == 1:
        first, last = int(steps[0]) + 1, int(steps[-1]) + 1
        return [f"of {len(on)} updates it decays in numbers {first} to {last} only"]
    return [f"it decays in one of {every} updates only, as under accumulation"]


def _types(subject: Subject) -> list[str]:
    """Updates of another type than their weights."""
    shapes = jax.eval_shape(subject.step, subject.params, subject.params)
    pairs = zip(jax.tree.leaves(shapes), jax.tree.leaves(subject.params), strict=True)
    wide = {(p.dtype.name, u.dtype.name) for u, p in pairs if u.dtype != p.dtype}
    return [f"updates of {p} weights are {u}" for p, u in sorted(wide)]


def _refused(subject: Subject) -> list[str]:
    """What a gradient that is not finite leads to, where it is caught."""
    nans = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), subject.params)
    u = jax.tree.leaves(subject.step(nans, subject.params))
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in u):
        return []
    if any(bool(jnp.any(leaf)) for leaf in u):
        return ["a step refused for its gradient still decays"]
    return ["a step refused for its gradient does not decay"]


def _lost(subject: Subject, rate: float) -> list[str]:
    """Decay that rounding swallows, in narrow types."""
    if not any(map(_narrow, jax.tree.leaves(subject.params))):
        return []
    zeros = jax.tree.map(jnp.zeros_like, subject.params)
    weights = jax.tree.map(_over_a_binade, subject.params)
    moved = optax.apply_updates(weights, subject.step(zeros, weights))
    shares: dict[str, list[np.ndarray]] = {}
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(weights), strict=True):
        if _narrow(b):
            shares.setdefault(b.dtype.name, []).append(np.ravel(a != b))
    found = []
    for name, moves in sorted(shares.items()):
        share = float(np.mean(np.concatenate(moves)))
        if share < 1:
            found.append(
                f"{name}: alone, a decay of {rate:.2g} moves {share:.0%} of the "
                "weights; the rest is lost to rounding"
            )
    return found


def _narrow(leaf: jax.Array) -> bool:
    return jnp.finfo(leaf.dtype).bits <= NARROW


def _over_a_binade(like: jax.Array) -> jax.Array:
    """Weights from 1 to 2, over which the relative size of an ulp halves."""
    n = like.size
    return jnp.asarray(1 + (np.arange(n) + 0.5) / n, like.dtype).reshape(like.shape)
