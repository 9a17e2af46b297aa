"""An optimizer as a black box: weights and gradients in, updates out."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

Leaves: TypeAlias = list[np.ndarray]
Pair: TypeAlias = tuple[Leaves, Leaves]
"""Gradients and weights."""


class Box(NamedTuple):
    """What an optimizer does, leaf by leaf; nothing else is known of it.

    Attributes:
        init: weights to the first state.
        step: ``(state, gradients, weights) -> (updates, state)``.
        push: its derivative, ``(state, (gradients, weights), d state, (d gradients,
            d weights)) -> (d updates, d state)``; ``None`` for a state that stays.
    """

    init: Callable[[Leaves], Any]
    step: Callable[[Any, Leaves, Leaves], tuple[Leaves, Any]]
    push: Callable[[Any, Pair, Any, Pair], tuple[Leaves, Any]]


class DidNotRunError(Exception):
    """An optimizer, or a factory of one, raised an error of its own."""


@contextmanager
def its_own_errors() -> Iterator[None]:
    """Mark what is raised inside as the optimizer's."""
    try:
        yield
    except Exception as error:
        raise DidNotRunError(f"{type(error).__name__}: {error}") from error


def black_box(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    extra_args: Mapping[str, Any],
) -> Box:
    """Compile an optimizer's update, and the derivative of it.

    Args:
        optimizer: any.
        params: only structure, shapes and types count; leaves without entries are
            passed on, and are none of the box's; its scalars have the shape (1,).
        extra_args: what its update needs besides, such as ``value``.
    """
    structure = jax.tree.structure(params)
    blanks = [jnp.zeros(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(params)]
    update = optax.with_extra_args_support(optimizer).update

    def tree(leaves: Leaves) -> PyTree:
        rest = iter(leaves)
        filled = [
            jnp.asarray(next(rest), b.dtype).reshape(b.shape) if b.size else b
            for b in blanks
        ]
        return structure.unflatten(filled)

    @jax.jit
    def step(state: Any, g: PyTree, theta: PyTree) -> tuple[list, Any]:
        u, state = update(g, state, theta, **extra_args)
        return jax.tree.leaves(u), state

    @jax.jit
    def push(state: Any, given: tuple, dstate: list, dgiven: tuple) -> tuple:
        varying, with_varying = _parted(state)

        def of(varying: list, given: tuple) -> tuple[list, list]:
            u, new = step(with_varying(varying), *given)
            return u, _parted(new)[0]

        return jax.jvp(of, (varying, given), (dstate, dgiven))[1]

    def pushed(
        state: Any, given: Pair, dstate: Any, dgiven: Pair
    ) -> tuple[Leaves, Any]:
        if dstate is None:
            dstate = [jnp.zeros_like(leaf) for leaf in _parted(state)[0]]
        at, along = ((tree(g), tree(theta)) for g, theta in (given, dgiven))
        with its_own_errors():
            du, dstate = push(state, at, dstate, along)
        return _floats(du), dstate

    def stepped(state: Any, g: Leaves, theta: Leaves) -> tuple[Leaves, Any]:
        with its_own_errors():
            u, state = step(state, tree(g), tree(theta))
        return _floats(u), state

    def init(theta: Leaves) -> Any:
        with its_own_errors():
            return optimizer.init(tree(theta))

    return Box(init, stepped, pushed)


def difference(one: Box, other: Box) -> Box:
    """What one box does beyond another that is given the same."""

    def step(states: Any, g: Leaves, theta: Leaves) -> tuple[Leaves, Any]:
        u, new = one.step(states[0], g, theta)
        base, new_base = other.step(states[1], g, theta)
        return minus(u, base), (new, new_base)

    def push(
        states: Any, given: Pair, dstates: Any, dgiven: Pair
    ) -> tuple[Leaves, Any]:
        dstates = (None, None) if dstates is None else dstates
        du, new = one.push(states[0], given, dstates[0], dgiven)
        dbase, new_base = other.push(states[1], given, dstates[1], dgiven)
        return minus(du, dbase), (new, new_base)

    return Box(lambda theta: (one.init(theta), other.init(theta)), step, push)


def plus(a: Leaves, b: Leaves, factor: float = 1.0) -> Leaves:
    """``a + factor · b``."""
    return [_plus(x, y, factor) for x, y in zip(a, b, strict=True)]


def minus(a: Leaves, b: Leaves) -> Leaves:
    """``a − b``."""
    return plus(a, b, -1.0)


def _plus(a: np.ndarray, b: np.ndarray, factor: float) -> np.ndarray:
    """With one new array, which for large leaves costs more than the arithmetic."""
    if factor == 1:
        return a + b
    if factor == -1:
        return a - b
    found = factor * b
    found += a
    return found


def _floats(leaves: list) -> Leaves:
    return [np.atleast_1d(np.asarray(leaf, np.float64)) for leaf in leaves if leaf.size]


def _parted(state: Any) -> tuple[list, Callable[[list], Any]]:
    """A state's floating-point leaves, and how to put others in their place."""
    leaves, structure = jax.tree.flatten(state)
    varies = [jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) for leaf in leaves]

    def with_varying(varying: list) -> Any:
        rest = iter(varying)
        filled = [
            next(rest) if v else leaf for leaf, v in zip(leaves, varies, strict=True)
        ]
        return structure.unflatten(filled)

    return [leaf for leaf, v in zip(leaves, varies, strict=True) if v], with_varying
