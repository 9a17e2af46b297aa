r"""Assertions on optimizers: do two make the same trajectory, and how does one decay?

Both run side by side on one problem, each on its own iterates, and the whole
trajectories are compared leaf by leaf. The distance at a step is relative to the
leaf's largest entry over the run,

.. math:: d_t = \frac{\max|\theta^a_t - \theta^b_t|}{\max_s \max|\theta^b_s|},

and absolute for a leaf that is zero throughout.

A comparison that could not fail is refused: values that are not finite, updates that
are all zero, and an optimizer whose update does not depend on the parameters, that is,
one that has no decay.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from wdjax.inspect.assertions import (
    assert_convention,
    assert_decays,
    assert_never_decays,
)

__all__ = [
    "Parting",
    "Problem",
    "Trajectory",
    "assert_convention",
    "assert_decays",
    "assert_divergent",
    "assert_equivalent",
    "assert_never_decays",
    "small_network",
    "trajectory",
]

Trajectory = PyTree[Float[Array, "steps ..."]]


class Problem(NamedTuple):
    """Where to start, and which gradient the optimizers see.

    Attributes:
        params: the initial parameters.
        gradient: ``(params, step) -> gradient``; a pure function, so that both
            optimizers meet the same noise in the same step.
    """

    params: PyTree
    gradient: Callable[[PyTree, Int[Array, ""]], PyTree]


class Parting(NamedTuple):
    """Where two trajectories are furthest apart, and where they first part."""

    distance: float
    step: int
    leaf: str
    first_step: int


def small_network(seed: int = 0) -> Problem:
    r"""The default problem: stochastic regression with a small tanh network.

    .. math:: f_t(\theta) = \tfrac12 \operatorname{mean}_{x \sim t}
              \|\tanh(xW_1 + b_1)W_2 - y\|^2

    It is non-linear, its curvature is not isotropic, and each step draws a minibatch
    of 8 of its 32 examples.

    Args:
        seed: draws data, initial parameters and minibatches.

    Returns:
        A problem in the default float dtype.
    """
    x_key, y_key, w1_key, b1_key, w2_key, batch_key = jax.random.split(
        jax.random.key(seed), 6
    )
    x = jax.random.normal(x_key, (32, 5)) * jnp.geomspace(0.3, 3.0, 5)[None, :]
    y = jax.random.normal(y_key, (32, 3))
    params = {
        "hidden": {
            "kernel": 0.4 * jax.random.normal(w1_key, (5, 7)),
            "bias": 0.1 * jax.random.normal(b1_key, (7,)),
        },
        "output": {"kernel": 0.4 * jax.random.normal(w2_key, (7, 3))},
    }

    def loss(params: PyTree, rows: Int[Array, " batch"]) -> Float[Array, ""]:
        hidden = params["hidden"]
        h = jnp.tanh(x[rows] @ hidden["kernel"] + hidden["bias"][None, :])
        residual = h @ params["output"]["kernel"] - y[rows]
        return 0.5 * jnp.mean(jnp.sum(residual**2, axis=1))

    def gradient(params: PyTree, step: Int[Array, ""]) -> PyTree:
        key = jax.random.fold_in(batch_key, step)
        return jax.grad(loss)(params, jax.random.choice(key, 32, (8,), replace=False))

    return Problem(params, gradient)


def assert_equivalent(
    a: optax.GradientTransformation,
    b: optax.GradientTransformation,
    *,
    problem: Problem | None = None,
    steps: int = 50,
    rtol: float | None = None,
) -> None:
    r"""Assert that two optimizers make the same trajectory, step by step.

    Args:
        a: an optimizer with decay.
        b: another one.
        problem: the caller's own, or :func:`small_network`.
        steps: how many.
        rtol: largest distance :math:`d_t` allowed. The default,
            :math:`16\,\epsilon\cdot\text{steps}` with the machine epsilon of the
            coarsest leaf, is rounding error of a well-conditioned problem.

    Raises:
        ValueError: ``rtol`` is not in [0, 1).
        AssertionError: they part; the message says at which step, in which leaf and
            by how much. Or the comparison could not have failed (see the module).
    """
    problem = small_network() if problem is None else problem
    if rtol is not None and not 0 <= rtol < 1:
        raise ValueError(
            f"rtol is {rtol}; it must be at least 0 and below 1, or nothing could fail."
        )
    if rtol is None:
        rtol = 16 * _epsilon(problem.params) * steps
    path_a, path_b = _both(a, b, problem, steps)
    parting = _parting(path_a, path_b, rtol)
    scaled_a, scaled_b = _in_units_of(path_b, path_a), _in_units_of(path_b, path_b)
    try:
        chex.assert_trees_all_close(scaled_a, scaled_b, rtol=0.0, atol=rtol)
    except AssertionError as error:
        raise AssertionError(
            f"The optimizers part at step {parting.first_step} of {steps}. They are "
            f"furthest apart, by {parting.distance:.3g} of the leaf's largest entry "
            f"(allowed: {rtol:.3g}), in leaf {parting.leaf!r} at step {parting.step}."
            f"\n{error}"
        ) from None


def assert_divergent(
    a: optax.GradientTransformation,
    b: optax.GradientTransformation,
    *,
    at_least: float,
    problem: Problem | None = None,
    steps: int = 50,
) -> None:
    r"""Assert that two optimizers part by at least a stated distance.

    Args:
        a: an optimizer with decay.
        b: another one.
        at_least: the distance :math:`d_t > 0` that some leaf must reach in some step.
        problem: the caller's own, or :func:`small_network`.
        steps: how many.

    Raises:
        ValueError: ``at_least`` is not positive, which no comparison could miss.
        AssertionError: they stay closer; the message says where they came furthest
            apart, and by how much. Or the comparison says nothing (see the module).
    """
    if not at_least > 0:
        raise ValueError(
            f"at_least is {at_least}; it must be positive, or nothing could fail."
        )
    problem = small_network() if problem is None else problem
    parting = _parting(*_both(a, b, problem, steps), at_least)
    if parting.distance < at_least:
        raise AssertionError(
            f"The optimizers stay within {parting.distance:.3g} of each other over "
            f"{steps} steps (at least {at_least:.3g} was asserted); they come furthest "
            f"apart in leaf {parting.leaf!r} at step {parting.step}."
        )


def trajectory(
    optimizer: optax.GradientTransformation, problem: Problem, steps: int
) -> Trajectory:
    """The parameters after each step, stacked on a leading axis.

    Args:
        optimizer: any, whose ``update`` may require ``params``.
        problem: start and gradient.
        steps: how many.

    Returns:
        A tree of the parameters' structure; entry ``t`` of a leaf is its value after
        ``t + 1`` steps.
    """
    return _run(optimizer, problem, steps)[0]


def _run(
    optimizer: optax.GradientTransformation, problem: Problem, steps: int
) -> tuple[Trajectory, Trajectory]:
    """Parameters after each step, and the gradients that were seen in it."""

    def step(carry: tuple, t: Int[Array, ""]) -> tuple[tuple, tuple]:
        params, state = carry
        gradient = problem.gradient(params, t)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, gradient)

    carry = (problem.params, optimizer.init(problem.params))
    scan = jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.arange(steps))[1])
    return scan(carry)


def _both(
    a: optax.GradientTransformation,
    b: optax.GradientTransformation,
    problem: Problem,
    steps: int,
) -> tuple[Trajectory, Trajectory]:
    """Both trajectories, once they are known to be worth comparing."""
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1.")
    paths = []
    for name, optimizer in (("first", a), ("second", b)):
        path, gradients = _run(optimizer, problem, steps)
        _refuse_nonfinite(name, path)
        _refuse_standstill(name, path, problem.params)
        _refuse_no_decay(name, optimizer, problem, gradients, path)
        paths.append(path)
    chex.assert_trees_all_equal_structs(*paths)
    return paths[0], paths[1]


def _refuse_nonfinite(name: str, path: Trajectory) -> None:
    for leaf, values in _named(path):
        steps = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))
        if steps.size:
            raise AssertionError(
                f"The {name} optimizer is not finite from step {steps[0]}, leaf "
                f"{leaf!r}: nothing can be compared. Lower its learning rate."
            )


def _refuse_standstill(name: str, path: Trajectory, params: PyTree) -> None:
    pairs = zip(jax.tree.leaves(path), jax.tree.leaves(params), strict=True)
    if all(np.all(np.asarray(v) == np.asarray(start)[None]) for v, start in pairs):
        raise AssertionError(
            f"All updates of the {name} optimizer are zero: nothing is compared. "
            "Check its learning rate and the problem's gradient."
        )


def _refuse_no_decay(
    name: str,
    optimizer: optax.GradientTransformation,
    problem: Problem,
    gradients: Trajectory,
    path: Trajectory,
) -> None:
    """Replay the same gradients on other parameters: decay must notice."""

    @jax.jit
    def replay(factor: Float[Array, ""]) -> Trajectory:
        def step(state: PyTree, seen: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            gradient, params = seen
            scaled = jax.tree.map(partial(_scaled, factor), params)
            updates, state = optimizer.update(gradient, state, scaled)
            return state, updates

        start = optimizer.init(problem.params)
        return jax.lax.scan(step, start, (gradients, path))[1]

    plain = jax.tree.leaves(replay(jnp.asarray(1.0)))
    for factor in (-1.0, 1e6):  # a sign method feels λθ only where it outweighs g
        scaled = jax.tree.leaves(replay(jnp.asarray(factor)))
        if not all(map(np.array_equal, plain, scaled)):
            return
    raise AssertionError(
        f"The {name} optimizer has a decay of zero: its updates are the same whatever "
        "the parameters are. Give it a decay, on leaves that the problem has."
    )


def _scaled(factor: Float[Array, ""], p: Array) -> Array:
    """A multiple of a leaf, short of its infinity: 0·∞ would look like decay."""
    theta = p.astype(jnp.promote_types(p.dtype, jnp.float32))
    largest = jnp.max(jnp.abs(theta), initial=1.0)
    return (jnp.minimum(factor, 0.5 * jnp.finfo(p.dtype).max / largest) * theta).astype(
        p.dtype
    )


def _parting(path_a: Trajectory, path_b: Trajectory, tolerance: float) -> Parting:
    furthest = Parting(-1.0, 0, "", -1)
    first = np.inf
    for (leaf, a), (_, b) in zip(_named(path_a), _named(path_b), strict=True):
        gap = np.abs(a - b) / _scale(b)
        distance = gap.reshape(len(gap), -1).max(1)
        step = int(distance.argmax())
        if distance[step] > furthest.distance:
            furthest = Parting(float(distance[step]), step, leaf, -1)
        beyond = np.flatnonzero(distance > tolerance)
        first = min(first, beyond[0]) if beyond.size else first
    return furthest._replace(first_step=-1 if np.isinf(first) else int(first))


def _named(tree: PyTree) -> list[tuple[str, np.ndarray]]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    named = [(jax.tree_util.keystr(k, simple=True, separator="/"), v) for k, v in flat]
    return [(k, np.asarray(v, np.result_type(v.dtype, np.float64))) for k, v in named]


def _in_units_of(reference: Trajectory, path: Trajectory) -> PyTree:
    def scaled(v: Array, r: Array) -> np.ndarray:
        dtype = np.result_type(v.dtype, np.float64)
        return np.asarray(v, dtype) / _scale(np.asarray(r, dtype))

    return jax.tree.map(scaled, path, reference)


def _scale(values: np.ndarray) -> float:
    return float(np.abs(values).max()) or 1.0  # a leaf of zeros has no unit


def _epsilon(params: PyTree) -> float:
    return max(float(jnp.finfo(p.dtype).eps) for p in jax.tree.leaves(params))
