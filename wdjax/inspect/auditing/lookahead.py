r"""Lookahead: two copies of the weights, of which the fast are drawn to the slow.

Every k updates, of which the last is :math:`u`, the slow weights φ take a part s of the
way to the fast ones, and the fast are put there:

.. math:: φ ← φ + s (θ + u - φ), \qquad θ ← φ.

A decay of δ in each update takes :math:`1 - (1 - δ)^k` of the fast weights in between,
and so :math:`s (1 - (1 - δ)^k)` of the slow ones. For δ → 0 it is s times the decay.

References:
    Zhang et al. (2019), Algorithm 1; the rate of decay is derived here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from wdjax.inspect.auditing.kinds import FRACTIONS
from wdjax.inspect.auditing.report import Audit, LeafAudit

LIMIT = 100  # updates, within which a synchronisation is looked for
NEVER = -1  # updates since the last, after which none is due


class Synchronisation(NamedTuple):
    """What is done to the slow weights.

    Attributes:
        period: k, in updates.
        part: s, of the way to the fast weights.
    """

    period: int
    part: float


def looks_ahead(init: Callable[[PyTree], Any], params: PyTree) -> bool:
    """Whether there is a lookahead in the state that is made of parameters."""
    try:
        state = jax.eval_shape(init, _pair(params, params))
    except Exception:  # an optimizer that takes no pair
        return False
    return any(map(_is_lookahead, jax.tree.leaves(state, is_leaf=_is_lookahead)))


def fast_alone(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """What it does to the fast weights, were they never drawn to the slow ones."""
    inner: Any = optax.with_extra_args_support(optimizer).update

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        pair, apart = _pair(params, params), _held_apart(state)
        u, state = inner(updates, apart, pair, **extra)
        return u.fast, state

    return optax.GradientTransformationExtraArgs(
        lambda params: optimizer.init(_pair(params, params)), update
    )


def synchronisation(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    extra_args: Mapping[str, Any],
) -> Synchronisation | None:
    """When slow weights that differ make slow updates that do, and by how much.

    Args:
        optimizer: with a lookahead.
        params: the fast weights; only structure, shapes and types count.
        extra_args: what its update needs besides.

    Returns:
        k and s; ``None`` where no update of the first hundred synchronises.
    """
    ones, zeros = (
        jax.tree.map(lambda p, like=like: like(p, float), params)
        for like in (jnp.ones_like, jnp.zeros_like)
    )
    update: Any = jax.jit(optax.with_extra_args_support(optimizer).update)

    def slow(state: Any, phi: PyTree) -> tuple[np.ndarray, Any]:
        u, state = update(zeros, state, _pair(zeros, phi), **extra_args)
        return np.ravel(jax.tree.leaves(u.slow)[0]), state

    state = optimizer.init(_pair(zeros, zeros))
    for t in range(LIMIT):
        moved, _ = slow(state, ones)
        still, state = slow(state, zeros)
        part = float(np.max(still - moved))
        if part:
            return Synchronisation(t + 1, part)
    return None


def slow_decay(delta: float, sync: Synchronisation) -> float:
    r"""The fraction of the slow weights that decay removes in a period.

    .. math:: s (1 - (1 - δ)^k)

    Fast and slow weights are the same when it begins, and no gradient moves them.

    Args:
        delta: δ of each update of the fast weights.
        sync: k and s.

    References:
        Derived here: after k updates the fast weights are :math:`(1 - δ)^k φ`, of which
        the slow ones take the part s.
    """
    return sync.part * (1 - (1 - delta) ** sync.period)


def drawn_to_slow(found: Audit, sync: Synchronisation | None) -> Audit:
    """An audit of the fast weights alone, as one of the pair.

    Args:
        found: of :func:`fast_alone`.
        sync: what draws them to the slow ones.
    """
    if found.kind == "unknown":
        return found
    if sync is None:
        seen = (f"in {LIMIT} updates, lookahead's slow weights were not changed",)
        return replace(found, kind="unknown", reasons=(*seen, *found.reasons))
    leaves = {path: _leaf(leaf, sync) for path, leaf in found.per_leaf.items()}
    reasons = (_seen(sync), f"the fast alone, between: {found.kind}", *found.reasons)
    if found.kind in FRACTIONS and found.decay_rate is not None:
        reasons = (*reasons, _in_the_long_run(found.decay_rate, sync))
    return replace(found, kind="target", per_leaf=leaves, reasons=reasons)


def _leaf(leaf: LeafAudit, sync: Synchronisation) -> LeafAudit:
    between = f"the fast alone, between: {leaf.kind}"
    return replace(leaf, kind="target", reasons=(_seen(sync), between, *leaf.reasons))


def _seen(sync: Synchronisation) -> str:
    return (
        f"lookahead: every {sync.period} updates the slow weights go {sync.part:.3g} "
        "of the way to the fast, and the fast are put there"
    )


def _in_the_long_run(rates: tuple[float, ...], sync: Synchronisation) -> str:
    delta = max(rates, key=abs)
    return (
        f"so at δ = {delta:.3g} the slow weights decay by s(1 − (1 − δ)^k) = "
        f"{slow_decay(delta, sync):.3g} in {sync.period} updates"
    )


def _pair(fast: PyTree, slow: PyTree) -> optax.LookaheadParams:
    return optax.LookaheadParams(fast=fast, slow=slow)


def _is_lookahead(state: Any) -> bool:
    return isinstance(state, optax.LookaheadState)


def _held_apart(state: PyTree) -> PyTree:
    """With a count of updates after which no synchronisation is due."""

    def held(part: Any) -> Any:
        if not _is_lookahead(part):
            return part
        never = jnp.full_like(part.steps_since_sync, NEVER)
        return part._replace(steps_since_sync=never)

    return jax.tree.map(held, state, is_leaf=_is_lookahead)
