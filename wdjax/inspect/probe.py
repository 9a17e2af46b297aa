r"""Telemetry of weight decay, for any optimizer, inside its state.

A probe changes no bit of the training. What it reads is computed beside it, by calls of
its own that share nothing with the update which is returned; so it costs one to two
updates in a step that is read, and next to nothing in the others. (It cannot be
differentiated in reverse: its loop has no fixed length.)
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from wdjax import check
from wdjax.decay import where as where_
from wdjax.decay.schedule import increment
from wdjax.decay.where.leaves import leaves_of
from wdjax.inspect import parts
from wdjax.inspect.reading import Predict, reading, sums, unpacked, unread


class ProbeState(NamedTuple):
    """The state of a probed optimizer.

    Attributes:
        inner: the optimizer's own.
        step: how many steps were taken.
        shares: the decay's in each momentum, if that is to be split.
        readings: the last of each group, by name, in the order of :class:`Reading`.
    """

    inner: PyTree
    step: Int[Array, ""]
    shares: tuple[Array, ...]
    readings: dict[str, Float[Array, "*members fields"]]


def probe(
    optimizer: optax.GradientTransformation,
    *,
    groups: "Mapping[str, str | where_.Where] | None" = None,
    every: int = 20,
    split_momentum: bool = False,
    predict: Predict | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Any optimizer, and a record of what its decay does, leaf by leaf.

    .. math:: u_t = d_t + s_t, \qquad
        \delta_t = -\frac{\langle d_t, \theta_t\rangle}{\|\theta_t\|^2}, \qquad
        \text{budget} = \sum_t \delta_t

    with :math:`d_t` the part of the update that is decay and :math:`s_t` that of the
    gradient; :class:`Reading` lists the numbers. How the two are told apart is said in
    :mod:`wdjax.inspect.parts`:

    ==============================================  ====================================
    the optimizer                                   its split
    ==============================================  ====================================
    decoupled decay, masked or scheduled            exact, :math:`d_t = -\delta_t
                                                    \theta_t`
    its proximal and its "after" forms              exact, :math:`\theta` taken out
    gates that compare signs, L1                    exact
    L2 without a momentum or a preconditioner       exact
    L2 in front of either                           NaN; exact with ``split_momentum``
    trust ratios, clips, spheres                    NaN: a norm of θ is in it
    remembered weights (start, average, master)     NaN: put the probe inside
    ==============================================  ====================================

    All other numbers are right for every optimizer. With ``optax.MultiSteps`` put the
    probe inside, or let ``every`` be 1: readings in mini-steps are those of no update.

    Args:
        optimizer: any, learning rate included.
        groups: what to read: for each name a regular expression of whole paths
            (``re.fullmatch``), or a rule or tree of :mod:`wdjax.where`, of which "0 or
            not" counts. One group for each leaf if not given.
        every: steps from one reading to the next. The budget takes a reading for the
            steps since the last: exact if 1, or at a constant rate.
        split_momentum: also split updates that hold a trace of earlier weights. Memory:
            as much again as the momenta, and an update more in every step.
        predict: :math:`\delta_t` to the angle per step in equilibrium, in radians, such
            as ``functools.partial(wdjax.theory.stationary.rotation_adamw, b1=0.9)``.

    Returns:
        An optimizer whose updates are those of the one given, bit for bit, and whose
        ``update`` requires ``params``; its readings, NaN before the first, are found by
        :func:`readings`. Memory: 8 or 9 numbers for each group.

    Raises:
        ValueError: ``every`` is below 1, or a group matches nothing.
    """
    if every < 1:
        raise ValueError(f"every is {every}; it must be at least 1 step.")
    inner = optax.with_extra_args_support(optimizer)
    watch = _Watch(inner, dict(groups or {}), every, split_momentum, predict, {})

    def init(params: PyTree) -> Any:
        state = inner.init(params)
        leaves, thetas = jax.tree.leaves(state), jax.tree.leaves(params)
        momenta = parts.momenta(state) if split_momentum else []
        return ProbeState(
            inner=state,
            step=jnp.zeros((), jnp.int32),
            shares=tuple(jnp.zeros_like(leaves[k]) for k in momenta),
            readings={
                name: unread([thetas[i] for i in members], predict)
                for name, members in _members(groups, params).items()
            },
        )

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        check.has_parameters("probe", params)
        step, shares, read, (params, before) = _observed(
            watch, parts.Call(updates, state.inner, params, extra), state
        )
        new, after = inner.update(updates, before, params, **extra)
        return new, ProbeState(after, step, shares, read)

    return optax.GradientTransformationExtraArgs(init, update)


def readings(state: PyTree) -> dict[str, Float[Array, "*members"]]:
    """The last readings in an optimizer's state, wherever the probe sits in it.

    Args:
        state: of an optimizer with a probe in it, or with several.

    Returns:
        A scalar (of each member, under ``vmap``) for each group and each field of
        :class:`Reading`, under the name ``group.field``, with a dot for every slash of
        a path: ``hidden.kernel.norm``. NaN where a number is not known.

    Raises:
        ValueError: there is no probe, or two probes have a group of one name.
    """
    found: dict[str, Array] = {}
    for probed in _probes(state):
        for group, row in probed.readings.items():
            for field, value in unpacked(row)._asdict().items():
                name = f"{group}.{field}".replace("/", ".")
                if name in found:
                    raise ValueError(
                        f"Two groups of probes are called {group!r}; give one of them "
                        "another name by groups=."
                    )
                if value is not None:
                    found[name] = value
    if not found:
        raise ValueError(
            "There is no probe in this state; wrap the optimizer in wdjax.probe."
        )
    return found


class _Watch(NamedTuple):
    """What a probe was told, and the facts that it found out by structure."""

    optimizer: optax.GradientTransformationExtraArgs
    groups: dict[str, Any]
    every: int
    through: bool
    predict: Predict | None
    facts: dict[Any, parts.Facts]


def _observed(
    watch: _Watch, call: parts.Call, state: ProbeState
) -> tuple[Array, tuple[Array, ...], dict[str, Array], tuple[PyTree, PyTree]]:
    """The count, the shares and the readings of a step; weights and state as before."""
    facts = _facts(watch, call)
    kept = parts.momenta(call.state) if watch.through else []
    shares = dict(zip(kept, state.shares, strict=True))
    step = increment(state.step)
    due = step % watch.every == 0
    gradient = _another_look(call.gradient)

    def read(old: dict[str, Array], params: PyTree, before: PyTree) -> Any:
        seen = parts.Call(gradient, before, params, call.extra)
        return _readings(watch, seen, facts, shares, old)

    def share(old: dict[int, Array], params: PyTree, before: PyTree) -> Any:
        seen = parts.Call(gradient, before, params, call.extra)
        return old | parts.next_shares(watch.optimizer, seen, facts, old)

    new, *given = _apart(due, read, (state.readings, call.params, call.state))
    if facts.momenta:
        shares, *given = _apart(step > 0, share, (shares, *given))  # in every step
    return step, tuple(shares[k] for k in kept), new, (given[0], given[1])


def _apart(now: Bool[Array, ""], change: Any, given: tuple[Any, PyTree, PyTree]) -> Any:
    """A changed first thing if now is the time; weights and state as they are.

    A loop of one round or none: its body is a program of its own, so that nothing in it
    is fused with the training. What the training goes on with comes out of the loop, or
    XLA would copy it, in every step, to have it both read and overwritten. A branch
    would be none under ``vmap``; of a loop the round is left out if no member says now.
    """
    if check.is_concrete(now):  # a loop in Python
        return (change(*given), *given[1:]) if now else given

    def once(carry: tuple[Any, Any]) -> tuple[Any, Any]:
        _, (old, params, before) = carry
        passed = jax.tree.map(jax.lax.optimization_barrier, (params, before))  # stay
        return jnp.zeros_like(now), (change(old, params, before), *passed)

    return jax.lax.while_loop(lambda carry: carry[0], once, (now, given))[1]


def _another_look(gradient: PyTree) -> PyTree:
    """The gradient, times a 1 that XLA does not see in time.

    A use entry by entry like those in the update. Any other use keeps XLA on CPU from
    moving a reshape through the update, as it does without a probe, and then it
    contracts other multiplications and additions into one rounding.
    """
    one = jax.lax.optimization_barrier(jnp.ones((), jnp.float32))
    return jax.tree.map(lambda g: g * one.astype(jnp.result_type(g)), gradient)


def _facts(watch: _Watch, call: parts.Call) -> parts.Facts:
    """What the optimizer's program says, traced once for each structure."""
    leaves, structure = jax.tree.flatten(call[:3])
    kinds = tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
    key = (structure, kinds, tuple(call.extra))
    if key not in watch.facts:
        watch.facts[key] = parts.facts(watch.optimizer, call, through=watch.through)
        _advise(watch, call, watch.facts[key])
    return watch.facts[key]


def _advise(watch: _Watch, call: parts.Call, found: parts.Facts) -> None:
    """Say that more could be known."""
    if watch.through or all(found.known) or not found.holds:
        return
    more = parts.facts(watch.optimizer, call, through=True).known
    paths = [leaf.path for leaf in leaves_of(call.params) if leaf.shape is not None]
    gained = [
        p for p, a, b in zip(paths, more, found.known, strict=True) if a and not b
    ]
    if gained:
        warnings.warn(
            f"probe: the optimizer's averages hold the weights of {', '.join(gained)}, "
            "as with L2 in front of it; what part of an update is decay is NaN there. "
            "Give split_momentum=True to know it.",
            UserWarning,
            stacklevel=2,
        )


def _readings(
    watch: _Watch,
    call: parts.Call,
    facts: parts.Facts,
    shares: dict[int, Array],
    old: dict[str, Array],
) -> dict[str, Array]:
    """The reading of every group in this step."""
    us, steps = parts.split(watch.optimizer, call, facts, shares)
    thetas = jax.tree.leaves(call.params)
    # Written out once, not again in each of the sums.
    thetas, us, steps = jax.tree.map(jax.lax.optimization_barrier, (thetas, us, steps))
    members = _members(watch.groups, call.params)
    read = {i for numbers in members.values() for i in numbers}
    of_leaf = {
        i: sums(thetas[i], us[i], steps[i], known=facts.known[i]) for i in sorted(read)
    }
    return {
        name: reading(
            [of_leaf[i] for i in numbers], old[name], watch.every, watch.predict
        )
        for name, numbers in members.items()
    }


def _members(groups: Mapping[str, Any] | None, params: PyTree) -> dict[str, list[int]]:
    """The numbers of the leaves in each group."""
    if not groups:
        leaves = [leaf for leaf in leaves_of(params) if leaf.shape is not None]
        return {
            leaf.path or "weights": [i]
            for i, leaf in enumerate(leaves)
            if jnp.issubdtype(leaf.dtype, jnp.inexact)
        }
    rules = {
        name: where_.by_path({rule: 1.0}, default=0.0)
        if isinstance(rule, str)
        else rule
        for name, rule in groups.items()
    }
    return {
        name: [
            i
            for i, multiplier in enumerate(where_.resolve(rule, params))
            if not where_.is_zero(multiplier)
        ]
        for name, rule in rules.items()
    }


def _probes(state: PyTree) -> list[ProbeState]:
    """Every probe in a state, those inside others too."""
    leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, ProbeState))
    found = [leaf for leaf in leaves if isinstance(leaf, ProbeState)]
    return found + [inner for outer in found for inner in _probes(outer.inner)]
