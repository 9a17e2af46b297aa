"""The audit of an optimizer, or of a factory of optimizers."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from wdjax import check
from wdjax.decay.where.leaves import leaves_of
from wdjax.inspect.auditing.exponents import NAMED, Exponents, fitted
from wdjax.inspect.auditing.factories import Factory, by_name, is_one
from wdjax.inspect.auditing.kinds import FRACTIONS, Kind
from wdjax.inspect.auditing.laboratory import (
    Box,
    DidNotRunError,
    black_box,
    its_own_errors,
)
from wdjax.inspect.auditing.later import ahead, rates_later, told_later
from wdjax.inspect.auditing.leaves import (
    Examined,
    Family,
    Precision,
    compare,
    examine,
)
from wdjax.inspect.auditing.lookahead import (
    drawn_to_slow,
    fast_alone,
    looks_ahead,
    synchronisation,
)
from wdjax.inspect.auditing.report import Audit, LeafAudit
from wdjax.inspect.auditing.side_effects import side_effects
from wdjax.inspect.auditing.trial import STEPS, here

DOUBLE = Precision(epsilon=float(np.finfo(np.float64).eps), tolerance=1e-6)
SINGLE = Precision(epsilon=float(np.finfo(np.float32).eps), tolerance=2e-3)
EVIDENCE = ("rates", "kept", "of_start", "of_all", "crosstalk", "of_step")


class Measured(NamedTuple):
    """An audit.

    Attributes:
        audit: what was found.
        start: to which the optimizer's counters were set; 0 for its first updates.
    """

    audit: Audit
    start: int


def audit(
    optimizer: optax.GradientTransformation
    | Callable[..., optax.GradientTransformation],
    params: PyTree = None,
    *,
    learning_rate: float = 1e-2,
    weight_decay: float = 0.1,
    extra_args: Mapping[str, Any] | None = None,
) -> Audit:
    r"""Measure what an optimizer's weight decay is, treating it as a black box.

    It is given weights :math:`θ_t` and gradients :math:`g_t` that do not follow its
    updates :math:`u_t`, and the same with the weights changed: in one step, in its
    state, in some entries. Decoupled decay is :math:`\partial u_t / \partial θ_t =
    -δ_t` and no other response. An L2 penalty is there if a change :math:`v` of the
    weights does what :math:`λ_2 v` does in the gradient. Computed in float64 where the
    optimizer can.

    Args:
        optimizer: a gradient transformation; or a factory of them, ``(learning_rate,
            weight_decay) -> optimizer``, of which more can be told: what is due to the
            decay, and how it depends on either. One with more arguments, such as
            ``optax.adamw``, is given ``weight_decay``, ``weight_decay_rate`` or ``l2``
            by name; one that has none of these, such as ``optax.adam``, is called with
            its learning rate alone.
        params: the parameters that it would train; a matrix and a bias if not given.
            Only their tree, shapes and types count, but for what is lost to rounding.
        learning_rate: α, for a factory.
        weight_decay: λ, for a factory.
        extra_args: what its update needs besides, such as ``{"value": 1.0}``.

    Returns:
        The kind with its reasons, δ_t, the convention, all of it leaf by leaf;
        ``unknown`` with the reason where it cannot be told.

    Raises:
        ValueError: ``optimizer`` is neither, or needs other arguments; a rate is not
            positive, a leaf is not of a real floating-point type, or none has entries.
    """
    params = _parameters(params)
    check.positive("learning_rate", learning_rate)
    check.positive("weight_decay", weight_decay)
    extra = dict(extra_args or {})
    if is_one(optimizer):
        single = cast("optax.GradientTransformation", optimizer)
        return _audited(lambda *_: single, params, None, extra)
    factory = by_name(cast("Callable[..., Any]", optimizer), learning_rate)
    rates = (learning_rate, weight_decay) if factory.decays else None
    return _audited(factory.make, params, rates, extra)


def _audited(
    make: Factory,
    params: PyTree,
    rates: tuple[float, float] | None,
    extra: Mapping[str, Any],
) -> Audit:
    """Of one optimizer where no rates are given; through a lookahead's fast weights."""
    fast = params.fast if isinstance(params, optax.LookaheadParams) else params
    if not looks_ahead(lambda pair: _example(make, rates).init(pair), fast):
        return _of_tree(make, params, rates, extra)
    found = _of_tree(lambda *both: fast_alone(make(*both)), fast, rates, extra)
    if not found.per_leaf:
        return found
    return drawn_to_slow(found, synchronisation(_example(make, rates), fast, extra))


def _example(
    make: Factory, rates: tuple[float, float] | None
) -> optax.GradientTransformation:
    return make(*(rates or (None, None)))


def _of_tree(
    make: Factory,
    params: PyTree,
    rates: tuple[float, float] | None,
    extra: Mapping[str, Any],
) -> Audit:
    def measured(wide: PyTree, precision: Precision) -> Measured:
        if rates is None:
            return _of_one(_example(make, None), wide, extra, precision)
        return _of_factory(make, wide, rates, extra, precision)

    found = _guarded(measured, params)
    if not found.audit.per_leaf:
        return found.audit
    alpha = None if rates is None else rates[0]
    return _completed(found, _example(make, rates), params, extra, alpha)


def _completed(
    measured: Measured,
    optimizer: optax.GradientTransformation,
    params: PyTree,
    extra: Mapping[str, Any],
    learning_rate: float | None,
) -> Audit:
    """With what it does in the parameters' own types, and λ in every convention."""
    found, start = measured
    rates = None if found.decay_rate is None else np.array(found.decay_rate)
    more: list[str] = []
    if found.kind != "unknown":
        at_first = None if start else rates  # side effects are seen at the start alone
        more = side_effects(optimizer, params, at_first, extra)
    equivalents = {}
    if rates is not None and learning_rate is not None and found.kind == "decoupled":
        equivalents = _equivalents(float(rates.max()), learning_rate)
    return dataclasses.replace(
        found, reasons=(*found.reasons, *more), equivalents=equivalents
    )


def _parameters(params: PyTree) -> PyTree:
    if params is None:
        return {"kernel": jnp.ones((6, 4)), "bias": jnp.ones(4)}
    params = jax.tree.map(jnp.asarray, params)
    leaves = [leaf for leaf in jax.tree.leaves(params) if leaf.size]
    if not leaves:
        raise ValueError("params has no leaf with entries: nothing can be measured.")
    for path, leaf in zip(leaf_paths(params), leaves, strict=True):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise ValueError(
                f"params has the leaf {path!r} of type {jnp.result_type(leaf)}; an "
                "audit measures real floating-point leaves."
            )
    return params


def _of_one(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    extra: Mapping[str, Any],
    precision: Precision,
) -> Measured:
    first = here(black_box(optimizer, params, extra), _shapes(params))

    def after(count: int) -> Audit:
        examined = examine(ahead(first, count), precision)
        return _audit(params, examined, None, None)

    return _with_later(after, lambda: rates_later(first), precision)


def _of_factory(
    make: Factory, params: PyTree, rates: tuple[float, float], *rest: Any
) -> Measured:
    extra, precision = rest
    alpha, lam = rates
    shapes = _shapes(params)

    @functools.cache  # each is compiled once
    def box(learning_rate: Any, decay: float) -> Box:
        with its_own_errors():
            optimizer = make(learning_rate, decay)
            if not hasattr(optimizer, "update"):
                raise ValueError(f"the factory gives a {type(optimizer).__name__}")
        return black_box(optimizer, params, extra)

    def later() -> Mapping[int, np.ndarray]:
        return rates_later(here(box(alpha, lam), shapes))

    def after(count: int) -> Audit:
        def there(learning_rate: Any, decay: float) -> Box:
            made = box(learning_rate, decay)
            return ahead(here(made, shapes), count).box if count else made

        compared = compare(
            Family(lambda decay: there(alpha, decay), lam, shapes, precision)
        )
        leaf = _leading(compared.with_decay)
        fit = None
        without = compared.without[leaf].finding.kind
        if compared.with_decay[leaf].finding.rates is not None:
            fit = fitted(there, alpha, lam, leaf, shapes, alone=without == "none")
        return _audit(params, compared.with_decay, without, fit)

    return _with_later(after, later, precision)


def _with_later(
    after: Callable[[int], Audit],
    later: Callable[[], Mapping[int, np.ndarray]],
    precision: Precision,
) -> Measured:
    """Where nothing decays at first, what is there once something does."""
    found = after(0)
    mixed = found.without_decay not in {None, "none"}  # with what is no decay
    if mixed or found.kind not in {*FRACTIONS, "none"}:
        return Measured(found, 0)
    then, least = later(), 100 * precision.epsilon
    if not then:
        return Measured(found, 0)
    if found.kind != "none":
        return Measured(told_later(found, then, least), 0)
    starts = [n for n, deltas in then.items() if np.abs(deltas).max() > least]
    if not starts:
        return Measured(found, 0)
    start, there = starts[0], after(starts[0])
    seen = f"none in the first {STEPS} updates; this is with its counters at {start}"
    reasons = (seen, *there.reasons)
    return Measured(dataclasses.replace(there, reasons=reasons), start)


def _audit(
    params: PyTree,
    examined: list[Examined],
    without: Kind | None,
    fit: Exponents | None,
) -> Audit:
    leaf = _leading(examined)
    finding, response, _ = examined[leaf]
    kinds = {e.finding.kind for e in examined} - {"none"}
    reasons = list(finding.reasons)
    if len(kinds) > 1:
        reasons.append("leaves differ: this is the largest that is not left alone")
    return Audit(
        kind=finding.kind,
        per_leaf={
            path: _leaf(e) for path, e in zip(leaf_paths(params), examined, strict=True)
        },
        decay_rate=None if finding.rates is None else tuple(map(float, finding.rates)),
        convention=fit,
        without_decay=without,
        evidence={name: _number(getattr(response, name)) for name in EVIDENCE},
        reasons=tuple(reasons),
    )


def _leading(examined: list[Examined]) -> int:
    """The largest leaf that is not left alone."""
    sizes = [e.finding.kind != "none" for e in examined]
    found = [i for i, some in enumerate(sizes) if some] or list(range(len(examined)))
    return max(found, key=lambda i: examined[i].size)


def _leaf(e: Examined) -> LeafAudit:
    rates = e.finding.rates
    rate = None if rates is None else float(rates[np.argmax(np.abs(rates))])
    return LeafAudit(
        kind=e.finding.kind,
        decay_rate=rate,
        l2=e.finding.l2,
        moved=e.response.of_gradient > e.response.noise,
        reasons=e.finding.reasons,
    )


def _number(value: Any) -> float:
    return float(np.max(np.abs(value)))


def _shapes(params: PyTree) -> list[tuple[int, ...]]:
    return [leaf.shape or (1,) for leaf in jax.tree.leaves(params) if leaf.size]


def leaf_paths(params: PyTree) -> list[str]:
    """The path of each leaf that has entries, as ``dense/kernel``."""
    leaves = leaves_of(params)
    return [
        leaf.path for leaf in leaves if leaf.shape is not None and 0 not in leaf.shape
    ]


def _equivalents(delta: float, learning_rate: float) -> dict[str, float]:
    r"""λ of each convention for which :math:`δ = λ α^a` at the peak."""
    return {
        name: delta / learning_rate**convention.peak
        for name, convention in NAMED.items()
    }


def _guarded(
    measured: Callable[[PyTree, Precision], Measured], params: PyTree
) -> Measured:
    """In float64 if that works, else as it is, else what went wrong."""
    try:
        with jax.enable_x64(True):
            wide = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float64), params)
            return measured(wide, DOUBLE)
    except DidNotRunError:  # an optimizer may be written for its own types
        single = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), params)
    try:
        return measured(single, SINGLE)
    except DidNotRunError as error:
        hint = "if its update needs more than params, give extra_args="
        why = (f"it could not be run: {error}", hint)
        return Measured(Audit("unknown", {}, reasons=why), 0)
