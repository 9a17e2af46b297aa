r"""The two parts of an update: what decay makes of it, and what the gradient does.

.. math:: u_t = d_t + s_t

The step :math:`s_t` is the update that the same gradient makes with the weights put to
0 and, where the decay acts through a momentum, with the decay's share taken out of it;
the decay :math:`d_t` is the rest. An optimizer is taken as it is, a black box that can
be called and traced. What its program says decides, leaf by leaf, whether such a split
means anything:

* The update looks at its own weights entry by entry, and at nothing that was kept of
  earlier weights. Then :math:`d_t = u(\theta_t) - u(0)`, with one gradient and state:
  :math:`-\delta_t\theta_t` for decoupled decay, masked, scheduled, gated or proximal.
* It looks at averages of :math:`\lambda\theta` (L2 in front of Adam). Then
  :math:`d_t` is what it owes to the *past* weights in the momentum too, the divisor
  held as it is: :math:`-\alpha_t\hat m^\theta_t/(\sqrt{\hat v_t} + \epsilon)` with
  :math:`m^\theta` the momentum of :math:`\lambda\theta` alone. Exact where the momentum
  is linear in what comes in and the divisor an average that is divided by as it is
  *after* the step. It needs a buffer as large as the weights.
* It takes a norm of the weights (a trust ratio, a clip, a sphere), or remembers weights
  as such (a start, an average, a master copy). Then no part of it is the decay.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from wdjax.decay import layers
from wdjax.inspect.dependence import Sources, sources

MOMENTA = ("mu", "trace")
"""The fields of Optax's states that hold a momentum, linear in what comes in."""


class Call(NamedTuple):
    """What an update is given.

    Attributes:
        gradient: the updates that come in.
        state: of the optimizer.
        params: the weights.
        extra: other keywords.
    """

    gradient: PyTree
    state: PyTree
    params: PyTree
    extra: Mapping[str, Any]


class Facts(NamedTuple):
    """What an optimizer's program says of its weights; leaves of the state by number.

    Attributes:
        known: for each leaf of the weights, whether its update can be split.
        holds: whether the state holds a trace of the weights.
        momenta: leaves of the state in which the decay has a share.
        divisors: others that averages of the weights have gone into.
        sums: leaves that depend on gradients and not on weights.
    """

    known: tuple[bool, ...]
    holds: bool
    momenta: tuple[int, ...]
    divisors: tuple[int, ...]
    sums: tuple[int, ...]


def facts(
    optimizer: optax.GradientTransformationExtraArgs, call: Call, *, through: bool
) -> Facts:
    """Read an optimizer's program.

    Args:
        optimizer: the black box; it is traced, not run.
        call: any, for its structure and shapes.
        through: whether to split updates that hold a trace of earlier weights.
    """
    gs, ss, ps = (jax.tree.leaves(t) for t in (call.gradient, call.state, call.params))
    first = len(gs) + len(ss)  # the number of the first leaf of the weights
    after = _sources_of_update(optimizer, call)
    updates, states = after[: len(ps)], after[len(ps) :]
    with warnings.catch_warnings(action="ignore"):  # init has warned already
        at_start = sources(optimizer.init, call.params)
    kept = {len(gs) + k for k, s in enumerate(at_start) if s.inputs}
    traces = _traces(states, len(gs), set(range(first, first + len(ps))) | kept)
    fractions = traces - kept if through else set()

    def is_known(i: int) -> bool:
        return _is_own(updates, states, i, (first, len(gs), traces, fractions))

    named = {len(gs) + k for k in momenta(call.state)}
    fed = {
        len(gs) + k
        for k, source in enumerate(states)
        if source.inputs & set(range(len(gs)))
    }
    return Facts(
        known=tuple(is_known(i) for i in range(len(ps))),
        holds=bool(traces),
        momenta=tuple(sorted(k - len(gs) for k in fractions & named)),
        divisors=tuple(sorted(k - len(gs) for k in fractions - named)),
        sums=tuple(sorted(k - len(gs) for k in fed - traces)),
    )


def momenta(state: PyTree) -> list[int]:
    """The leaves of a state that lie in a field which Optax uses for a momentum."""
    flat, _ = jax.tree_util.tree_flatten_with_path(state)
    return [
        k
        for k, (path, leaf) in enumerate(flat)
        if any(getattr(key, "name", None) in MOMENTA for key in path)
        and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    ]


def split(
    optimizer: optax.GradientTransformationExtraArgs,
    call: Call,
    facts: Facts,
    shares: Mapping[int, Array],
) -> tuple[list[Any], list[Any]]:
    """The update and its step, leaf by leaf; the decay is the one less the other.

    Args:
        optimizer: the black box.
        call: of this step.
        facts: of it.
        shares: the decay's in each of the momenta, by number, before this step.

    Returns:
        Leaves of the update and of the step, ``None`` where there is no update. The
        step means nothing where ``facts.known`` says so.
    """
    structure = jax.tree.structure(call.params)
    update, state = optimizer.update(
        call.gradient, call.state, call.params, **call.extra
    )
    us = structure.flatten_up_to(update)
    if not any(facts.known):
        return us, us
    without = call._replace(params=jax.tree.map(jnp.zeros_like, call.params))
    without = _changed(without, facts.momenta, lambda k, leaf: leaf - shares[k])
    without = _with_divisors(optimizer, without, facts, jax.tree.leaves(state))
    step, _ = optimizer.update(
        without.gradient, without.state, without.params, **call.extra
    )
    return us, structure.flatten_up_to(step)


def next_shares(
    optimizer: optax.GradientTransformationExtraArgs,
    call: Call,
    facts: Facts,
    shares: Mapping[int, Array],
) -> dict[int, Array]:
    r"""The decay's share of each momentum after a step: the momentum of λθ alone.

    .. math:: m^\theta_t = \beta m^\theta_{t-1} + (1 - \beta)\lambda\theta_t

    A momentum is linear, so this is what it becomes with gradients of 0.

    Args:
        optimizer: the black box.
        call: of this step.
        facts: of it.
        shares: before this step.
    """
    _, state = optimizer.update(call.gradient, call.state, call.params, **call.extra)
    alone = call._replace(gradient=jax.tree.map(jnp.zeros_like, call.gradient))
    alone = _changed(alone, facts.sums, lambda k, leaf: jnp.zeros_like(leaf))
    alone = _changed(alone, facts.momenta, lambda k, leaf: shares[k])
    alone = _with_divisors(optimizer, alone, facts, jax.tree.leaves(state))
    after = _leaves_after(optimizer, alone)
    return {k: after[k] for k in facts.momenta}


def _sources_of_update(
    optimizer: optax.GradientTransformationExtraArgs, call: Call
) -> list[Sources]:
    """Of each leaf of the update, then of the state; a missing update has none."""
    structure = jax.tree.structure(call.params)
    missing: list[int] = []

    def program(gradient: PyTree, state: PyTree, params: PyTree) -> list[Any]:
        update, after = optimizer.update(gradient, state, params, **call.extra)
        us = structure.flatten_up_to(update)
        missing.extend(i for i, u in enumerate(us) if u is None)
        return [jnp.zeros(()) if u is None else u for u in us] + jax.tree.leaves(after)

    return sources(program, call.gradient, call.state, call.params)


def _traces(states: list[Sources], first: int, weights: set[int]) -> set[int]:
    """The leaves of the state that weights have gone into, by way of others too."""
    found = set(weights)
    while True:
        more = {first + k for k, s in enumerate(states) if s.inputs & found} - found
        if not more:
            return {k for k in found if first <= k < first + len(states)}
        found |= more


def _is_own(
    updates: list[Sources],
    states: list[Sources],
    i: int,
    numbers: tuple[int, int, set[int], set[int]],
) -> bool:
    """Whether an update looks at its own weights only, entry by entry.

    Directly, and through what the state may hold of them.
    """
    first, first_state, traces, allowed = numbers
    own, seen, queue = first + i, set(), [updates[i]]
    while queue:
        source = queue.pop()
        others = {k for k in source.inputs if k >= first} - {own}
        held = source.inputs & traces
        if others or not held <= allowed or source.mixed & (held | {own}):
            return False
        queue += [states[k - first_state] for k in held - seen]
        seen |= held
    return True


def _changed(
    call: Call, numbers: Sequence[int], change: Callable[[int, Array], Array]
) -> Call:
    """A call with other values in some leaves of its state."""
    leaves, structure = jax.tree.flatten(call.state)
    for k in numbers:
        leaves[k] = change(k, leaves[k]).astype(leaves[k].dtype)
    return call._replace(state=structure.unflatten(leaves))


def _with_divisors(
    optimizer: optax.GradientTransformationExtraArgs,
    call: Call,
    facts: Facts,
    wanted: list[Array],
) -> Call:
    """A call in which the divisors become what they truly become in this step.

    With other weights or gradients an average misses that by some Δ. It forgets by one
    factor β, which its answer to Δ tells; so Δ/β more before the step is Δ after it.
    """
    if not facts.divisors:
        return call
    reached = _leaves_after(optimizer, call)
    gap = {k: wanted[k] - reached[k] for k in facts.divisors}
    answered = _leaves_after(
        optimizer, _changed(call, facts.divisors, lambda k, leaf: leaf + gap[k])
    )

    def more(k: int, leaf: Array) -> Array:
        size = jnp.sum(gap[k] * gap[k])
        answer = jnp.sum((answered[k] - reached[k]) * gap[k])  # β‖Δ‖²
        return leaf + layers.over(size, answer) * gap[k]

    return _changed(call, facts.divisors, more)


def _leaves_after(
    optimizer: optax.GradientTransformationExtraArgs, call: Call
) -> list[Array]:
    """The leaves of the state after a call."""
    update = optimizer.update(call.gradient, call.state, call.params, **call.extra)
    return jax.tree.leaves(update[1])
