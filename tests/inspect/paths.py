"""Given weights and gradients, and the updates that a row makes of them.

The weights do not follow the updates. So what differs between two decays is what the
decay does, and not where the weights have gone.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.inspect.behaviours import BEHAVIOURS, Step
from tests.inspect.traps import TRAPS

ALPHA, LAM, STEPS = 0.05, 0.4, 4
# So small that what is of second order in α lies below the tolerances.
ALPHA_SMALL = 1e-7
ROWS = {row.name: row for row in (*BEHAVIOURS, *TRAPS)}
# What a path holds fixed: the weights and gradients that each step is given.
START = {
    "kernel": np.array([[1.0, -2.0], [0.5, 3.0], [-0.7, 0.2]]),
    "bias": np.array([0.4, -1.0]),
}
GRADIENT = {
    "kernel": np.array([[0.1, 0.2], [-0.15, 0.3], [0.7, -0.02]]),
    "bias": np.array([-0.1, 1.1]),
}
# η_t: a number for each applied step.
ETA = np.array([1.0, 0.5, 0.25, 0.125])
# The large one meets the cap on momo's step, the small one does not.
LOSS, SMALL_LOSS = 1e3, 0.5


def wave(tree, t):
    """The tree, turned a little more in each step; no two are parallel."""

    def turned(x):
        return x * (1 + 0.3 * np.sin(1.0 + t + np.arange(x.size))).reshape(x.shape)

    return jax.tree.map(turned, tree)


def thetas(t):
    return wave(START, t)


def elsewhere(t):
    return jax.tree.map(lambda x: 1.8 * x - 0.6, wave(START, 3 * t))


def gradients(t):
    return wave(GRADIENT, 2 * t)


def zeros(t):
    del t
    return jax.tree.map(np.zeros_like, START)


def with_l2(t):
    return jax.tree.map(lambda g, theta: g + LAM * theta, gradients(t), thetas(t))


def quadratic(params):
    return LOSS + 0.5 * sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(params))


def arguments(row, g, theta, loss=LOSS):
    """The params, gradients and keywords in the form that a row needs."""
    params, g = jax.tree.map(jnp.asarray, (theta, g))
    values = {"value": loss, "grad": g, "value_fn": quadratic, "obj_fn": quadratic}
    if "value_fn" in row.extra:
        values["value"] = quadratic(params)
    values["grad_fn"] = lambda adversary, i: g
    if "lookahead params" in row.extra:
        slow = jax.tree.map(lambda x: 0.5 * x + 0.1, params)
        params = optax.LookaheadParams(fast=params, slow=slow)
    if "per-example gradients" in row.extra:
        g = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), g)
    return params, g, {k: v for k, v in values.items() if k in row.extra}


def update(row, optimizer, state, *given):
    params, g, extra = arguments(row, *given)
    return optimizer.update(g, state, params, **extra)


def scheduled(t):
    return ALPHA_SMALL * jnp.asarray(ETA)[t]


@functools.cache
def path(name, *, rate=ALPHA, lam=LAM, at=thetas, g=gradients, start=thetas, loss=LOSS):
    """The updates, and the steps that they were made in."""
    row = ROWS[name]
    optimizer = row.make(rate, lam)
    state, updates, steps = optimizer.init(arguments(row, g(0), start(0))[0]), [], []
    for t in range(max(STEPS, 3 * row.every)):
        u, new = update(row, optimizer, state, g(t), at(t), loss)
        updates.append(jax.tree.map(np.asarray, u))
        steps.append(Step(t, state, new))
        state = new
    return updates, steps


def differences(name, **kwargs):
    """What the decay adds to each update."""
    pairs = zip(path(name, **kwargs)[0], path(name, lam=0.0, **kwargs)[0], strict=True)
    return [jax.tree.map(np.subtract, *pair) for pair in pairs]


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def rows(condition, table=ROWS):
    return pytest.mark.parametrize(
        "row", [row for row in table.values() if condition(row)], ids=lambda r: r.name
    )
