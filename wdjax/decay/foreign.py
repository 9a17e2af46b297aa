"""A decay that is not ours inside an optimizer: whether there is one, and where.

A transformation keeps its settings in closures. Whatever decays in Optax keeps its
strength there under one name, so that it can be found, if not what it acts on: that is
told from the update, traced without being run.
"""

import contextlib
import functools
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.extend.core import Jaxpr, Literal
from jaxtyping import PyTree

from wdjax import check
from wdjax.decay import ledger, where

_NAME = "weight_decay"


class Dependence(NamedTuple):
    """What a leaf's update depends on, at most.

    Attributes:
        weight: the leaf itself.
        gradient: its own gradient; without it the leaf is not trained in this step.
    """

    weight: bool
    gradient: bool


def decayed(optimizer: optax.GradientTransformation, params: PyTree) -> list[str]:
    """The paths of the leaves that an optimizer pulls by a decay of its own.

    They are those whose update depends on their weight, in an optimizer that holds a
    ``weight_decay`` which is not known to be 0: more than are decayed, if it looks at
    its weights for another reason too.

    Args:
        optimizer: any; what it wraps is looked at too.
        params: the parameters, or their shapes.
    """
    if all(_is_off(value) for value in _settings(optimizer, set())):
        return []
    paths = where.pulled(None, params)
    seen = dependence(optimizer, params)
    return [path for path, sees in zip(paths, seen, strict=True) if sees.weight]


def dependence(
    optimizer: optax.GradientTransformation, params: PyTree
) -> list[Dependence]:
    """What the update of each leaf depends on, at most; nothing is computed.

    Args:
        optimizer: any. Where its update asks for more than gradients, every leaf is
            said to depend on all.
        params: the parameters, or their shapes.

    Returns:
        One for each leaf of ``jax.tree.leaves(params)``.
    """
    thetas, structure = jax.tree.flatten(params)

    def updates(thetas: list[Any], gradient: PyTree, state: PyTree) -> list[Any]:
        params = structure.unflatten(thetas)
        return jax.tree.leaves(optimizer.update(gradient, state, params)[0])

    with ledger.closed():
        state = jax.eval_shape(optimizer.init, params)
    try:
        traced = jax.make_jaxpr(updates)(thetas, params, state).jaxpr
    except (TypeError, ValueError):  # it asks for more than gradients: any leaf may be
        return [Dependence(weight=True, gradient=True) for _ in thetas]
    sources, n = _sources(traced), len(thetas)
    return [
        Dependence(traced.invars[i] in seen, traced.invars[n + i] in seen)
        for i, seen in enumerate(sources[:n])
    ]


def _settings(thing: Any, seen: set[int]) -> Iterator[Any]:
    """Everything by the name of a decay that an object's closures reach, not ours."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    names, others = _contents(thing)
    ours = str(getattr(thing, "__module__", None)).startswith("wdjax.")
    if _NAME in names and not ours:
        yield names[_NAME]
    for inside in (*names.values(), *others):
        yield from _settings(inside, seen)


def _contents(thing: Any) -> tuple[Mapping[str, Any], tuple[Any, ...]]:
    """What a function, a wrapper or a container holds: by name, and without."""
    if isinstance(thing, functools.partial):
        return thing.keywords, (thing.func, *thing.args)
    if isinstance(thing, Mapping):
        return {k: v for k, v in thing.items() if isinstance(k, str)}, ()
    if isinstance(thing, tuple | list):
        return {}, tuple(thing)
    if inspect.ismethod(thing):
        return getattr(thing.__self__, "__dict__", {}), ()
    if isinstance(code := getattr(thing, "__code__", None), types.CodeType):
        return dict(_cells(code.co_freevars, thing.__closure__ or ())), ()
    return {}, ()


def _cells(names: Iterable[str], cells: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(names, cells, strict=True):
        with contextlib.suppress(ValueError):  # nothing has been assigned to it
            yield name, cell.cell_contents


def _is_off(value: Any) -> bool:
    """Whether a strength is known to be 0, or none."""
    return check.is_concrete(value) and not np.any(np.asarray(value))


def _sources(jaxpr: Jaxpr) -> list[frozenset[Any]]:
    """The inputs that each output of a program depends on, at most."""
    sources: dict[Any, frozenset[Any]] = {v: frozenset({v}) for v in jaxpr.invars}

    def of(atoms: Any) -> list[frozenset[Any]]:
        variables = (a for a in atoms if not isinstance(a, Literal))
        return [sources.get(v, frozenset()) for v in variables]

    for equation in jaxpr.eqns:
        together = frozenset().union(*of(equation.invars))
        sources.update(dict.fromkeys(equation.outvars, together))
    return [*of(jaxpr.outvars)]
