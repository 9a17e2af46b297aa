"""Weights as averages, against optimizers run step by step and sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax.theory import averaging

STEPS = 40
RNG = np.random.default_rng(3)
RATES = jnp.asarray(RNG.uniform(0.0, 0.3, STEPS))
ALPHAS = jnp.asarray(RNG.uniform(0.01, 0.1, STEPS))


def gradient(theta):
    return np.sin(3 * theta) + theta


def sgd_directions(theta_0, alphas, deltas):
    m, theta, directions = 0.0, theta_0, []
    for alpha, delta in zip(alphas, deltas, strict=True):
        m = 0.9 * m + gradient(theta)
        directions.append(m)
        theta = (1 - delta) * theta - alpha * m
    return theta, np.array(directions)


def adam_directions(theta_0, alphas, deltas):
    m, v, theta, directions = 0.0, 0.0, theta_0, []
    for t, (alpha, delta) in enumerate(zip(alphas, deltas, strict=True), 1):
        g = gradient(theta)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        r = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
        directions.append(r)
        theta = (1 - delta) * theta - alpha * r
    return theta, np.array(directions)


@pytest.mark.parametrize("optimizer", [sgd_directions, adam_directions])
def test_the_sum_over_all_steps_is_where_the_steps_lead(optimizer):
    theta_0 = np.array([0.3, -2.0, 1.0])
    theta, directions = optimizer(theta_0, np.asarray(ALPHAS), np.asarray(RATES))
    unrolled = averaging.unrolled(
        jnp.asarray(theta_0), jnp.asarray(directions), ALPHAS, RATES
    )
    # Sums of 40 terms of order 1 in float64.
    np.testing.assert_allclose(unrolled, theta, rtol=0, atol=1e-14)


def test_the_sum_is_where_wdjax_adamw_leads():
    """Its updates carry both parts: the decay is taken out of them again."""
    alpha, lam, steps = 0.05, 1.5, 30
    adamw, theta = wdjax.adamw(alpha, lam), jnp.array([0.3, -2.0, 1.0])
    state, theta_0, directions = adamw.init(theta), theta, []
    for _ in range(steps):
        updates, state = adamw.update(jnp.sin(3 * theta) + theta, state, theta)
        assert isinstance(updates, jax.Array)
        directions.append(-(updates + alpha * lam * theta) / alpha)
        theta = optax.apply_updates(theta, updates)
    unrolled = averaging.unrolled(
        theta_0,
        jnp.stack(directions),
        jnp.full(steps, alpha),
        jnp.full(steps, alpha * lam),
    )
    np.testing.assert_allclose(unrolled, theta, rtol=0, atol=1e-13)


def test_without_decay_every_update_survives_whole():
    still = jnp.zeros(STEPS)
    np.testing.assert_array_equal(averaging.survival(still), np.ones(STEPS))
    assert averaging.initial_weight(still) == 1
    np.testing.assert_array_equal(averaging.target_weights(still), np.zeros(STEPS))


def test_a_step_that_removes_everything_forgets_all_before_it_and_keeps_itself():
    deltas = jnp.array([0.1, 0.2, 1.0, 0.3, 0.0])
    expected = [0.0, 0.0, 0.7, 1.0, 1.0]
    np.testing.assert_allclose(averaging.survival(deltas), expected, rtol=1e-15)
    assert averaging.initial_weight(deltas) == 0


def test_the_weights_of_initialisation_and_targets_sum_to_one():
    weights = averaging.target_weights(RATES)
    total = averaging.initial_weight(RATES) + jnp.sum(weights)
    assert float(total) == pytest.approx(1.0, abs=1e-14)
    assert float(jnp.min(weights)) >= 0


def test_the_mean_age_of_a_target_is_the_timescale():
    delta, steps = 0.05, 2000
    weights = np.asarray(averaging.target_weights(jnp.full(steps, delta)))
    ages = np.arange(steps, 0, -1)  # the last update is one step old
    # (1 − δ)^2000 is 3e-45: the run is long enough for rounding error alone.
    assert weights @ ages == pytest.approx(averaging.timescale(delta), rel=1e-12)


@pytest.mark.parametrize("delta", [1e-3, 0.05, 0.5])
def test_after_the_half_life_half_is_left(delta):
    assert (1 - delta) ** averaging.half_life(delta) == pytest.approx(0.5, rel=1e-12)
    back = averaging.half_life_decay(averaging.half_life(delta))
    assert back == pytest.approx(delta, rel=1e-13)
    assert isinstance(back, float)
    traced = jax.jit(averaging.half_life)(delta)
    assert float(traced) == pytest.approx(averaging.half_life(delta), rel=1e-14)


def test_the_half_life_of_a_small_rate_is_ln_2_of_the_timescale():
    delta = 1e-15  # 1 − δ would keep one digit of it
    expected = np.log(2) * averaging.timescale(delta)
    assert averaging.half_life(delta) == pytest.approx(expected, rel=1e-12)


def test_epochs_count_steps():
    delta, steps_per_epoch = 0.004, 125
    epochs = averaging.timescale_in_epochs(delta, steps_per_epoch)
    assert epochs == pytest.approx(2.0, rel=1e-14)  # 250 steps
    back = averaging.timescale_in_epochs_decay(epochs, steps_per_epoch)
    assert back == pytest.approx(delta, rel=1e-14)


@pytest.mark.parametrize("total", [0.5, 3.0, 10.0])
def test_the_budget_bounds_what_is_left_of_the_initialisation(total):
    bound = averaging.initial_weight_of_budget(total)
    for steps in (20, 200, 20_000):
        left = averaging.initial_weight(jnp.full(steps, total / steps))
        squares = total**2 / steps
        assert left < bound
        # ln(1 − δ) ≥ −δ − δ²/2 − δ³/(3(1 − δ)); the last is below δ²/2 for δ ≤ 0.6.
        assert left > bound * np.exp(-squares)
        if steps == 20_000:
            ratio = 1 - float(left / bound)
            assert ratio == pytest.approx(squares / 2, rel=0.01)  # next order: δ


def cosine(t, steps):
    return (1 + np.cos(np.pi * t / steps)) / 2


SHAPES = {
    "constant": (averaging.CONSTANT, lambda t, steps: np.ones_like(t)),
    "cosine": (averaging.COSINE, cosine),
    "cosine squared": (averaging.COSINE_SQUARED, lambda t, n: cosine(t, n) ** 2),
    "linear": (averaging.LINEAR, lambda t, n: 1 - t / n),
    "linear squared": (averaging.LINEAR_SQUARED, lambda t, n: (1 - t / n) ** 2),
}
shapes = pytest.mark.parametrize(("shape", "eta"), SHAPES.values(), ids=SHAPES)


@shapes
@pytest.mark.parametrize("steps", [2, 3, 17, 1000])
def test_a_budget_is_the_sum_over_the_run(shape, eta, steps):
    summed = 0.01 * np.sum(eta(np.arange(float(steps)), steps))
    budget = averaging.budget(0.01, steps, shape)
    assert budget == pytest.approx(summed, rel=1e-13)  # a sum of 1,000 in float64
    back = averaging.budget_decay(budget, steps, shape)
    assert back == pytest.approx(0.01, rel=1e-14)


def test_the_shapes_are_those_of_optax_s_schedules_and_of_two_conventions():
    """AdamW and its corrected form under a cosine, from their rates step by step."""
    steps, peak, lam = 50, 0.02, 0.3
    schedule = optax.cosine_decay_schedule(peak, steps)
    for convention, shape in (
        (wdjax.OPTAX, averaging.COSINE),
        (wdjax.CORRECTED, averaging.COSINE_SQUARED),
    ):
        rate = wdjax.decay_rate(lam, schedule, convention, peak_learning_rate=peak)
        assert callable(rate)
        summed = np.sum([float(rate(t)) for t in range(steps)])
        # Optax's schedules are float32.
        budget = averaging.budget(lam * peak, steps, shape)
        assert budget == pytest.approx(summed, rel=1e-6)


def test_the_corrected_decay_needs_four_thirds_under_a_cosine():
    factor = averaging.equal_budget_factor
    cosine_, squared = averaging.COSINE, averaging.COSINE_SQUARED
    assert factor(cosine_, squared, np.inf) == pytest.approx(4 / 3, rel=1e-15)
    linear, linear_squared = averaging.LINEAR, averaging.LINEAR_SQUARED
    assert factor(linear, linear_squared, np.inf) == pytest.approx(1.5, rel=1e-15)
    # By hand for two steps: 1 + 1/2 against 1 + 1/4.
    assert factor(cosine_, squared, 2) == pytest.approx(1.5 / 1.25, rel=1e-15)


@shapes
def test_the_factor_keeps_the_budget(shape, eta):
    steps, delta = 30, 0.02
    factor = averaging.equal_budget_factor(averaging.COSINE, shape, steps)
    new = averaging.budget(factor * delta, steps, shape)
    old = averaging.budget(delta, steps, averaging.COSINE)
    assert new == pytest.approx(old, rel=1e-14)
    del eta
