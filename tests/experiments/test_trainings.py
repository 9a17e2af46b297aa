"""Methods by what they remove, and the budget that adds it up."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import wdjax
from experiments.harness.methods import METHODS, adam_gain
from experiments.harness.trainings import budget
from wdjax import sweep


def test_the_budget_is_the_sum_of_the_decay_rates():
    """SGDW in the paper's convention: Σδ_t = λ Σ η_t, whatever α."""
    eta = sweep.cosine(40)
    records = xr.Dataset(
        {"pull": (("decay", "learning_rate", "record"), np.zeros((2, 3, 4)))},
        {"decay": [0.01, 0.02], "learning_rate": [0.1, 0.2, 0.4]},
    )
    pull = records.decay / records.learning_rate
    records["pull"] = pull.expand_dims(record=4).transpose(..., "record")
    t = np.arange(40)
    total = (0.5 * (1 + np.cos(np.pi * t / 40))).sum()
    expected = np.broadcast_to([[0.01 * total], [0.02 * total]], (2, 3))
    found = budget(records, eta, 40).transpose("decay", "learning_rate")
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # η_t is float32


def test_adams_gain_is_the_mean_of_its_preconditioner():
    params = {"a": jnp.ones(3), "b": jnp.ones((2, 2))}
    optimizer = wdjax.adam_l2(0.1, 0.0)
    state = optimizer.init(params)
    rng = np.random.default_rng(0)
    second = {k: np.zeros(v.shape) for k, v in params.items()}
    for _ in range(3):
        grads = {k: rng.normal(size=v.shape) for k, v in params.items()}
        _, state = optimizer.update(
            {k: jnp.asarray(g) for k, g in grads.items()}, state, params
        )
        second = {k: 0.999 * second[k] + 0.001 * grads[k] ** 2 for k in params}
    flat = np.concatenate([v.ravel() for v in second.values()]) / (1 - 0.999**3)
    expected = np.mean(1 / (np.sqrt(flat) + 1e-8))
    np.testing.assert_allclose(adam_gain(state), expected, rtol=1e-10)


@pytest.mark.parametrize("name", list(METHODS))
def test_the_pull_is_the_fraction_removed_per_learning_rate(name):
    """At zero gradient the first update of SGD's two and of AdamW shows it."""
    method, alpha, lam, beta = METHODS[name], 0.1, 0.02, 0.9
    h = {"learning_rate": jnp.asarray(alpha), "decay": jnp.asarray(lam)}
    optimizer = method.make(h, lambda t: h["learning_rate"], beta)
    params = jnp.asarray([1.0, -2.0])
    state, theta = optimizer.init(params), params
    updates, state = optimizer.update(jnp.zeros(2), state, theta)
    pull = method.pull(h, beta, state)
    removed = -updates / params / alpha
    if name == "SGD+L2":  # its momentum adds up to 1/(1 − β) later
        removed = removed / (1 - beta)
    if name == "Adam+L2":  # its first step has length α whatever λ is
        v = np.array([lam, -2 * lam]) ** 2
        removed = np.full(2, lam * np.mean(1 / (np.sqrt(v) + 1e-8)))
    np.testing.assert_allclose(removed, np.full(2, pull), rtol=1e-9)
    assert isinstance(optimizer, optax.GradientTransformation)
