"""Rates from budgets, timescales and windows, against their formulas by hand."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax.decay import rate

# Three restarts; their peaks fall, two begin with a warm-up.
CYCLES = [
    {"init_value": 0.0, "peak_value": 0.4, "warmup_steps": 2, "decay_steps": 5},
    {"init_value": 0.2, "peak_value": 0.2, "warmup_steps": 0, "decay_steps": 10},
    {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 1, "decay_steps": 3},
]
LENGTHS = [5, 10, 3]
STEPS = 20  # two beyond the last restart, which goes on
RESTART = np.array([0] * 5 + [1] * 10 + [2] * 5)
TIMES = np.arange(STEPS)


def over_time(delta, steps=STEPS):
    return np.array([delta(t) if callable(delta) else delta for t in range(steps)])


def left_over(delta, steps):
    """What is left of a weight of 1 that meets no gradient, through a chain."""
    optimizer = wdjax.with_weight_decay(optax.sgd(0.1), delta)

    def step(carry, _):
        theta, state = carry
        u, state = optimizer.update(jnp.zeros_like(theta), state, theta)
        return (optax.apply_updates(theta, u), state), None

    theta = jnp.ones(())
    run = jax.jit(
        lambda: jax.lax.scan(step, (theta, optimizer.init(theta)), length=steps)
    )
    return float(run()[0][0])


def cosine(t):
    return 0.5 * (1 + jnp.cos(jnp.pi * t / STEPS))


ETA = 0.5 * (1 + np.cos(np.pi * TIMES / STEPS))
RATES = {
    "normalised": (rate.normalised(0.3, 16), 0.3 / 4 * np.ones(STEPS)),
    "under a schedule": (rate.normalised(0.3, 16, cosine), 0.3 / 4 * ETA),
    "with restarts": (
        rate.normalised(0.3, LENGTHS, cosine),
        0.3 / np.sqrt([5.0, 10.0, 3.0])[RESTART] * ETA,
    ),
    "by batch": (
        rate.normalised_by_batch(0.3, 32, 1000, 5, cosine),
        0.3 * math.sqrt(32 / (1000 * 5)) * ETA,
    ),
    "timescale": (rate.from_timescale(40, cosine), ETA / 40),
    "in samples": (rate.from_timescale_in_samples(800, 32), 32 / 800 * np.ones(STEPS)),
    "in epochs": (
        rate.from_timescale_in_epochs(0.5, 1000, 32, cosine),
        32 / (1000 * 0.5) * ETA,
    ),
    "early": (rate.early(0.1, 7), 0.1 * (TIMES < 7)),
    "late": (rate.late(cosine, 7), ETA * (TIMES >= 7)),
    "product": (rate.product(0.5, cosine, jnp.array(0.2)), 0.1 * ETA),
}
rates = pytest.mark.parametrize(("delta", "by_hand"), RATES.values(), ids=RATES)


@rates
def test_a_rate_is_its_formula_by_hand(delta, by_hand):
    # A root, a quotient and a cosine, each rounded once.
    np.testing.assert_allclose(over_time(delta), by_hand, rtol=1e-14, atol=1e-17)


@rates
def test_a_weight_without_gradient_shrinks_by_the_product(delta, by_hand):
    assert left_over(delta, STEPS) == pytest.approx(np.prod(1 - by_hand), rel=1e-13)


@pytest.mark.parametrize(
    ("delta", "by_hand"), [pair for pair in RATES.values() if callable(pair[0])]
)
def test_a_schedule_takes_traced_and_batched_steps(delta, by_hand):
    np.testing.assert_allclose(jax.jit(jax.vmap(delta))(TIMES), by_hand, atol=1e-16)
    np.testing.assert_allclose(delta(jnp.asarray(TIMES)), by_hand, atol=1e-16)


@pytest.mark.parametrize(
    "narrow", [jnp.bfloat16, jnp.float32], ids=lambda d: d.__name__
)
@pytest.mark.parametrize("scheduled", [False, True])
def test_a_product_of_narrow_factors_is_formed_in_float64(narrow, scheduled):
    a, b = jnp.array(0.3, narrow), jnp.array(0.7, narrow)
    delta = rate.product((lambda t: a) if scheduled else a, b)
    delta = delta(0) if callable(delta) else delta
    assert delta.dtype == jnp.float64
    assert float(delta) == float(a) * float(b)


def test_normalised_takes_the_root_of_the_batch():
    """Four times the batch doubles the decay: a linear rule would make it fourfold."""
    one = rate.normalised_by_batch(0.3, 8, 1000, 5)
    four = rate.normalised_by_batch(0.3, 32, 1000, 5)
    assert four == pytest.approx(2 * one, rel=1e-14)
    assert one == pytest.approx(rate.normalised(0.3, 1000 * 5 / 8), rel=1e-14)


def test_a_timescale_in_epochs_is_linear_in_the_batch():
    """Where Loshchilov & Hutter have a root: the two rules disagree."""
    one = rate.from_timescale_in_epochs(2.0, 1000, 8)
    four = rate.from_timescale_in_epochs(2.0, 1000, 32)
    assert four == pytest.approx(4 * one, rel=1e-14)


def test_lambda_norm_is_the_decay_of_a_budget_of_one_step():
    assert rate.normalised(0.3, 1) == 0.3


def test_restarts_follow_sgdr_schedule_step_by_step():
    """η_t by hand from Optax's own schedule: per-restart peak and length."""
    alpha = np.array([optax.sgdr_schedule(CYCLES)(t) for t in range(STEPS)])
    peak = np.array([0.4, 0.2, 0.1])[RESTART]
    length = np.array([5.0, 10.0, 3.0])[RESTART]
    delta = over_time(rate.normalised_with_restarts(0.3, CYCLES))
    # Optax's schedule in both; the rest is a root and two quotients.
    np.testing.assert_allclose(delta, 0.3 / np.sqrt(length) * alpha / peak, rtol=1e-14)
    traced = jax.jit(jax.vmap(rate.normalised_with_restarts(0.3, CYCLES)))(TIMES)
    np.testing.assert_allclose(traced, delta, rtol=1e-6)  # Optax's float32, compiled
    for start, warm_up, size in ((0, 2, 5), (5, 0, 10), (15, 1, 3)):
        top = delta[start + warm_up]  # η_t is 1 at each restart's peak
        assert top == pytest.approx(0.3 / math.sqrt(size), rel=1e-6)


def test_restarts_change_at_the_step_at_which_optax_changes():
    lam = over_time(rate.normalised(1.0, LENGTHS))
    schedules = [optax.constant_schedule(size**-0.5) for size in LENGTHS]
    joined = optax.join_schedules(schedules, [5, 15])
    np.testing.assert_allclose(lam, [joined(t) for t in range(STEPS)], rtol=1e-14)


def test_the_length_is_the_current_restarts_and_not_the_runs():
    delta = rate.normalised(0.3, LENGTHS)
    assert delta(0) == pytest.approx(0.3 / math.sqrt(5), rel=1e-14)
    assert delta(17) == pytest.approx(0.3 / math.sqrt(3), rel=1e-14)


def test_one_restart_is_a_run_without_restarts():
    np.testing.assert_allclose(
        over_time(rate.normalised(0.3, [7], cosine)),
        over_time(rate.normalised(0.3, 7, cosine)),
        rtol=1e-14,
    )


def test_the_default_multiplier_leaves_the_lambda_of_the_paper():
    """λ in adamw's PAPER convention and δ_t in decay_weights are the same thing."""
    schedule = optax.cosine_decay_schedule(0.02, STEPS)
    paper = {"convention": wdjax.PAPER, "peak_learning_rate": 0.02}
    lam = rate.normalised(0.3, LENGTHS)
    eta = wdjax.decay_rate(1.0, schedule, wdjax.PAPER, peak_learning_rate=0.02)
    by_lambda = wdjax.adamw(schedule, lam, **paper)
    by_rate = wdjax.with_weight_decay(
        optax.adam(schedule), rate.normalised(0.3, LENGTHS, eta)
    )
    wdjax.testing.assert_equivalent(by_lambda, by_rate, steps=STEPS)


def test_a_timescale_makes_the_weights_an_average_of_that_length():
    """θ_t by hand: Σ (1/τ)(1 − 1/τ)^{t−1−s} q_s for targets q_s = −αr_s·τ."""
    tau, alpha = 5.0, 0.1
    gradients = np.cos(np.arange(30.0))
    optimizer = wdjax.with_weight_decay(optax.sgd(alpha), rate.from_timescale(tau))
    theta, state = jnp.zeros(()), optimizer.init(jnp.zeros(()))
    for g in gradients:
        u, state = optimizer.update(jnp.asarray(g), state, theta)
        theta = optax.apply_updates(theta, u)
    weights = (1 / tau) * (1 - 1 / tau) ** np.arange(30)[::-1]
    average = np.sum(weights * (-alpha * tau * gradients))
    assert float(theta) == pytest.approx(average, rel=1e-13)


def test_early_and_late_make_up_the_whole():
    delta = optax.linear_schedule(0.2, 0.0, STEPS)
    parts = over_time(rate.early(delta, 6)) + over_time(rate.late(delta, 6))
    np.testing.assert_array_equal(parts, over_time(delta))


@pytest.mark.parametrize("window", [rate.early, rate.late])
def test_a_closed_window_is_the_bare_optimizer_bit_by_bit(window):
    closed = window(0.3, 0 if window is rate.early else 10**6)
    theta, g = jnp.array([1.0, -3.0]), jnp.array([0.3, 0.1])
    decayed = wdjax.with_weight_decay(optax.adam(0.1), closed)
    bare = optax.adam(0.1)
    u, _ = decayed.update(g, decayed.init(theta), theta)
    np.testing.assert_array_equal(u, bare.update(g, bare.init(theta), theta)[0])


def test_every_number_may_be_traced():
    def delta(numbers):
        lam, steps, batch, examples, epochs, tau, window, t = numbers
        return [
            rate.normalised(lam, steps),
            rate.normalised(lam, [steps, 2 * steps])(t),
            rate.normalised_by_batch(lam, batch, examples, epochs),
            rate.from_timescale(tau),
            rate.from_timescale_in_samples(tau * batch, batch),
            rate.from_timescale_in_epochs(epochs, examples, batch),
            rate.early(lam, window)(t),
            rate.late(lam, window)(t),
        ]

    numbers = (0.3, 16, 32, 1000, 5, 40.0, 7, 20)
    traced = jax.jit(delta)(numbers)
    np.testing.assert_allclose(traced, delta(numbers), rtol=1e-14)
    by_hand = [0.3 / 4, 0.3 / 32**0.5, 0.3 * math.sqrt(32 / 5000)]
    by_hand += [1 / 40, 1 / 40, 32 / 5000, 0.0, 0.3]
    np.testing.assert_allclose(traced, by_hand, rtol=1e-14)


def test_a_grid_of_budgets_is_vmapped():
    steps = jnp.array([4, 16, 100])
    grid = jax.vmap(lambda s: left_over_in_three(rate.normalised(0.3, s)))(steps)
    by_hand = (1 - 0.3 / np.array([2.0, 4.0, 10.0])) ** 3
    np.testing.assert_allclose(grid, by_hand, rtol=1e-14)


def left_over_in_three(delta):
    optimizer, theta = wdjax.decay_weights(delta), jnp.ones(())
    state = optimizer.init(theta)
    for _ in range(3):
        u, state = optimizer.update(jnp.zeros(()), state, theta)
        theta = theta + u
    return theta


NOT_A_RATE = r"weight_decay is -0\.1; it must be finite"
BAD = {
    "negative": (lambda: rate.normalised(-0.1, 10), NOT_A_RATE),
    "no steps": (lambda: rate.normalised(0.1, 0), "steps is 0; it must be larger"),
    "a fraction": (lambda: rate.normalised(0.1, 0.5), r"steps is 0\.5; .*at least 1"),
    "nowhere": (lambda: rate.normalised(0.1, []), "steps is empty; give the length"),
    "a short one": (lambda: rate.normalised(0.1, [5, 0]), r"steps\[1\] is 0; it must"),
    "negative one": (lambda: rate.normalised(0.1, [-5]), r"steps\[0\] is -5; it must"),
    "multiplier": (lambda: rate.normalised(0.1, 10, -1.0), "multiplier is -1; it must"),
    "batch": (lambda: rate.normalised_by_batch(0.1, 0, 9, 9), "batch_size is 0; it"),
    "no examples": (
        lambda: rate.normalised_by_batch(0.1, 9, 0, 9),
        "examples is 0; it must be larger",
    ),
    "no epochs": (
        lambda: rate.normalised_by_batch(0.1, 9, 9, 0),
        "epochs is 0; it must be larger",
    ),
    "budget": (
        lambda: rate.normalised_by_batch(0.1, 100, 10, 1),
        r"examples · epochs / batch_size is 0\.1; .*at least 1",
    ),
    "peak": (
        lambda: rate.normalised_with_restarts(0.1, [CYCLES[0] | {"peak_value": 0.0}]),
        r"cosine_kwargs\[0\]\['peak_value'\] is 0; it must be larger",
    ),
    "no restarts": (lambda: rate.normalised_with_restarts(0.1, []), "steps is empty"),
    "timescale": (lambda: rate.from_timescale(0.9), r"steps is 0\.9; .*at least 1"),
    "samples": (
        lambda: rate.from_timescale_in_samples(16, 32),
        r"samples / batch_size is 0\.5; .*at least 1",
    ),
    "no samples": (
        lambda: rate.from_timescale_in_samples(0, 32),
        "samples is 0; it must be larger",
    ),
    "no batch": (
        lambda: rate.from_timescale_in_samples(16, 0),
        "batch_size is 0; it must be larger",
    ),
    "epochs": (lambda: rate.from_timescale_in_epochs(0.0, 9, 3), "epochs is 0; it"),
    "empty epochs": (
        lambda: rate.from_timescale_in_epochs(2.0, 0, 3),
        "examples is 0; it must be larger",
    ),
    "early": (lambda: rate.early(0.1, -1), "steps is -1; it must be finite"),
    "early rate": (lambda: rate.early(-0.1, 1), r"decay_rate is -0\.1; it must be"),
    "late": (lambda: rate.late(0.1, -1), "steps is -1; it must be finite"),
    "late rate": (lambda: rate.late(-0.1, 1), r"decay_rate is -0\.1; it must be"),
}


@pytest.mark.parametrize(("make", "sentence"), BAD.values(), ids=BAD)
def test_senseless_input_is_refused_by_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_string_is_refused_by_a_sentence():
    as_users_call_it = inspect.unwrap(rate.from_timescale)  # no type checks
    with pytest.raises(ValueError, match="steps is 'long'; it must be a number"):
        as_users_call_it("long")


NEGATIVE = {
    "normalised": lambda m: wdjax.rate.normalised(0.1, 10, m),
    "normalised_by_batch": lambda m: wdjax.rate.normalised_by_batch(0.1, 2, 20, 3, m),
    "from_timescale": lambda m: wdjax.rate.from_timescale(10.0, m),
    "samples": lambda m: wdjax.rate.from_timescale_in_samples(10.0, 2.0, m),
    "epochs": lambda m: wdjax.rate.from_timescale_in_epochs(2.0, 10.0, 2.0, m),
}


@pytest.mark.parametrize("make", NEGATIVE.values(), ids=NEGATIVE)
def test_every_rate_takes_its_multiplier_and_refuses_a_negative_one(make):
    with pytest.raises(ValueError, match=r"^multiplier is -0\.5; it must be finite"):
        make(-0.5)
    assert float(make(0.5)) == pytest.approx(0.5 * float(make(1.0)), rel=1e-15)
