"""Optimizers by hand that lie just beyond what an audit takes for the same."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.inspect.by_hand import ruled
from wdjax.inspect.auditing import audit

chain, l2 = optax.chain, optax.add_decayed_weights


def weights():
    return {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}


def upwards(size):
    """Noise of one sign, from a key in the state: equal states, equal noise."""

    def update(updates, state, params=None):
        del params
        key, sub = jax.random.split(state)

        def noisy(u):
            return u + size * jax.random.uniform(sub, u.shape, u.dtype)

        return jax.tree.map(noisy, updates), key

    return optax.GradientTransformation(lambda _: jax.random.key(0), update)


@pytest.mark.parametrize("core", [optax.scale_by_adam(), optax.trace(0.9)])
def test_an_l2_penalty_of_many_strengths_has_no_one_strength(core):
    """λ₂ of each step is exact, and differs: no single one may be named."""
    halving = chain(l2(lambda t: 0.1 * 0.5**t), core, optax.scale(-0.1))
    constant = chain(l2(lambda t: 0.1 + 0.0 * t), core, optax.scale(-0.1))
    assert audit(halving, weights()).per_leaf["kernel"].l2 is None
    found = audit(constant, weights()).per_leaf["kernel"]
    assert found.l2 == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("core", [optax.scale_by_adam(), optax.trace(0.9)])
def test_an_elastic_net_in_front_is_no_l2(core):
    """0.1θ + 0.05 sign(θ) has the derivative of 0.1θ; a finite change tells them."""
    net = ruled(lambda g, p: g + 0.1 * p + 0.05 * jnp.sign(p))
    found = audit(chain(net, core, optax.scale(-0.1)), weights())
    assert found.per_leaf["kernel"].l2 is None


def test_noise_on_a_single_entry_is_no_pull_towards_another_point():
    noisy = chain(optax.adamw(0.1, weight_decay=0.1), upwards(0.1))
    found = audit(noisy, {"scalar": jnp.ones(())})
    assert found.kind == "decoupled"
    np.testing.assert_allclose(found.decay_rate, 0.01, rtol=1e-6)
    pulled = chain(optax.adam(0.1), ruled(lambda u, p: u - 0.01 * (p - 1)))
    assert audit(pulled, {"scalar": jnp.ones(())}).kind == "target"


@pytest.mark.parametrize("power", [2, 0.5])
def test_a_power_of_the_coefficient_is_no_convention(power):
    found = audit(lambda a, b: optax.adamw(a, weight_decay=b**power), weights())
    fit = found.convention
    assert fit.decay == pytest.approx(power, rel=1e-6)
    assert fit.factor == pytest.approx(1.0, rel=1e-6)
    assert fit.name == ""
    assert f"δ_t = λ^{power:g} · α^1 · η_t^1" in str(found)


def test_a_decay_that_a_schedule_switches_off_follows_no_power_of_it():
    def at_the_peak(learning_rate, weight_decay):
        def decay(t):
            if not callable(learning_rate):
                return weight_decay
            return weight_decay * (learning_rate(t) >= learning_rate(0))

        return optax.adamw(learning_rate, weight_decay=decay)

    found = audit(at_the_peak, weights())
    assert math.isnan(found.convention.schedule)
    assert found.convention.residual == math.inf
    assert found.convention.name == ""
    assert "could not be told" in str(found)
