"""What is exact makes the same path, in NumPy; what is not agrees as it says."""

import itertools
import math

import numpy as np
import optax
import pytest

from tests.inspect.conventions import (
    ALPHA,
    AT,
    BATCH,
    BETA,
    CONVENTIONS,
    ETA,
    EXAMPLES,
    SCHEDULED,
    STEPS,
    deltas_of,
    some,
)
from wdjax.inspect import convert


def value(*args, **changes):
    return float(convert(*args, **(AT | changes)))


def gradient(theta, t):
    """Of a quadratic whose minimum moves, so that every step matters."""
    h = np.array([0.3, 1.0, 3.0])
    return h * (theta - np.array([1.0, -2.0, 0.5]) - 0.3 * np.cos(1.7 * t))


THETA = np.array([2.0, 1.0, -1.5])


def adam_path(alphas, deltas, b2=0.99, eps=1e-3):
    theta, m, v, path = THETA, 0.0, 0.0, []
    for t, (alpha, delta) in enumerate(zip(alphas, deltas, strict=True), start=1):
        g = gradient(theta, t)
        m, v = BETA * m + (1 - BETA) * g, b2 * v + (1 - b2) * g * g
        r = (m / (1 - BETA**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        theta = (1 - delta) * theta - alpha * r
        path.append(theta)
    return np.array(path)


def sgd_path(alphas, beta, penalty=lambda theta: 0.0, deltas=None):
    theta, m, path = THETA, 0.0, []
    for t, alpha in enumerate(alphas):
        m = beta * m + gradient(theta, t) + penalty(theta)
        theta = (1 - (0.0 if deltas is None else deltas[t])) * theta - alpha * m
        path.append(theta)
    return np.array(path)


SAME_SCHEDULE = [
    pair
    for pair in itertools.permutations(CONVENTIONS, 2)
    if CONVENTIONS[pair[0]][2] == CONVENTIONS[pair[1]][2]
]


@pytest.mark.parametrize(("source", "target"), SAME_SCHEDULE)
def test_exact_under_a_schedule_is_the_same_adamw_path(source, target):
    lam = some(source)
    converted = convert(lam, source, target, **SCHEDULED)
    assert converted.exactness == "exact"
    ours = adam_path(ALPHA * ETA, deltas_of(target, float(converted), ETA))
    theirs = adam_path(ALPHA * ETA, deltas_of(source, lam, ETA))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)  # 60 steps of roundings
    bare = adam_path(ALPHA * ETA, 0 * ETA)
    assert np.abs(theirs - bare).max() > 1e-2  # the decay matters here


@pytest.mark.parametrize(
    ("source", "target"), [*itertools.permutations(CONVENTIONS, 2)]
)
def test_at_a_constant_rate_all_conventions_make_the_same_path(source, target):
    lam, eta = some(source), np.ones(STEPS)
    converted = convert(lam, source, target, **AT)
    assert converted.exactness == "exact"
    ours = adam_path(ALPHA * eta, deltas_of(target, float(converted), eta))
    theirs = adam_path(ALPHA * eta, deltas_of(source, lam, eta))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_a_rate_below_its_peak_is_a_constant_multiplier():
    """At η = ½ throughout: b counts, and the conversion is exact."""
    at = AT | {"learning_rate": ALPHA / 2, "peak_learning_rate": ALPHA}
    eta = np.full(STEPS, 0.5)
    for source, target in itertools.permutations(CONVENTIONS, 2):
        lam = some(source)
        converted = convert(lam, source, target, **at)
        ours = deltas_of(target, float(converted), eta)
        np.testing.assert_allclose(ours, deltas_of(source, lam, eta), rtol=1e-13)
    normalised = convert(0.5, "normalised", "constant", **at)
    assert float(normalised) == pytest.approx(0.5 / 2 / math.sqrt(150), rel=1e-13)


@pytest.mark.parametrize("target", ["optax", "paper"])
def test_plain_sgd_takes_the_same_path_with_l2_and_with_decay(target):
    converted = convert(0.3, "pytorch:SGD", target, **(SCHEDULED | {"momentum": 0.0}))
    assert converted.exactness == "exact"
    ours = sgd_path(ALPHA * ETA, 0.0, deltas=deltas_of(target, float(converted), ETA))
    theirs = sgd_path(ALPHA * ETA, 0.0, penalty=lambda theta: 0.3 * theta)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_keras_penalty_has_no_half():
    """The gradient of l‖θ‖² by a difference, which is exact for a square."""
    l = 0.15

    def keras(theta):
        return (l * (theta + 1) ** 2 - l * (theta - 1) ** 2) / 2

    l2 = value(l, "keras:L2", "pytorch:SGD")
    ours = sgd_path(ALPHA * ETA, BETA, penalty=lambda theta: l2 * theta)
    theirs = sgd_path(ALPHA * ETA, BETA, penalty=keras)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_with_momentum_the_fixed_points_agree_and_the_paths_do_not():
    def rest(path_of):
        h, goal = np.array([0.3, 1.0, 3.0]), np.array([1.0, -2.0, 0.5])
        theta, m, path = THETA, 0.0, []
        for _ in range(12_000):
            l2, delta = path_of
            m = BETA * m + h * (theta - goal) + l2 * theta
            theta = (1 - delta) * theta - ALPHA * m
            path.append(theta)
        return np.array(path)

    converted = convert(0.3, "pytorch:SGD", "decay_rate", **AT)
    assert converted.exactness == "asymptotic"
    assert "fixed point" in converted.because
    with_l2, with_decay = rest((0.3, 0.0)), rest((0.0, float(converted)))
    ridge = np.array([0.3, 1.0, 3.0]) * np.array([1.0, -2.0, 0.5])
    ridge /= np.array([0.3, 1.0, 3.0]) + 0.3
    np.testing.assert_allclose(with_l2[-1], ridge, rtol=1e-12)
    np.testing.assert_allclose(with_decay[-1], ridge, rtol=1e-12)
    assert np.abs(with_l2 - with_decay).max() > 0.1


def test_a_half_life_is_the_number_of_steps_to_a_half():
    delta = value(7.0, "half-life:steps", "decay_rate")
    theta = 1.0
    for _ in range(7):
        theta = theta - delta * theta
    assert theta == pytest.approx(0.5, rel=1e-14)
    delta = value(2.0, "half-life:epochs", "decay_rate")
    left = (1 - delta) ** (2 * EXAMPLES // BATCH)  # two epochs of 30 steps
    assert left == pytest.approx(0.5, rel=1e-13)


def test_a_timescale_is_the_mean_age_in_the_average():
    """Of an impulse: its weights are those of an EMA, whose ages have the mean τ."""
    tau = 12.0
    delta = value(tau, "timescale:steps", "decay_rate")
    theta, response = 0.0, []
    for t in range(600):
        theta = (1 - delta) * theta + delta * (t == 0)
        response.append(theta)
    ages = np.arange(1, 601)
    assert np.sum(response) == pytest.approx(1.0, rel=1e-12)
    assert ages @ response == pytest.approx(tau, rel=1e-12)
    epochs = value(delta, "decay_rate", "timescale:epochs")
    assert epochs * EXAMPLES / BATCH == pytest.approx(tau, rel=1e-14)
    samples = value(delta, "decay_rate", "timescale:samples")
    assert samples == pytest.approx(tau * BATCH, rel=1e-14)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_budget_is_the_sum_over_the_schedule(name):
    budget = convert(0.5, name, "budget", **SCHEDULED)
    by_hand = np.sum(deltas_of(name, 0.5, ETA))
    assert float(budget) == pytest.approx(by_hand, rel=1e-13)
    assert budget.exactness == "exact"
    back = convert(float(budget), "budget", name, **SCHEDULED)
    assert float(back) == pytest.approx(0.5, rel=1e-13)


OTHER_SCHEDULE = [
    pair
    for pair in itertools.permutations(CONVENTIONS, 2)
    if CONVENTIONS[pair[0]][2] != CONVENTIONS[pair[1]][2]
]


@pytest.mark.parametrize(("source", "target"), OTHER_SCHEDULE)
def test_what_follows_the_schedule_otherwise_is_given_the_same_budget(source, target):
    lam = some(source)
    converted = convert(lam, source, target, **SCHEDULED)
    assert converted.exactness == "heuristic"
    assert "budget" in converted.because
    ours, theirs = (
        deltas_of(target, float(converted), ETA),
        deltas_of(source, lam, ETA),
    )
    assert np.sum(ours) == pytest.approx(np.sum(theirs), rel=1e-13)
    assert np.abs(ours - theirs).max() > 0.1 * theirs.max()


def test_a_cosine_asks_corrected_decay_for_four_thirds():
    """∫η / ∫η² = (1/2)/(3/8); a sum over 1,000 steps is within one step of it."""
    cosine = optax.cosine_decay_schedule(ALPHA, 1000)
    at = {"learning_rate": cosine, "peak_learning_rate": ALPHA, "steps": 1000}
    lam = convert(0.1, "optax", "corrected", **at)
    assert float(lam) == pytest.approx(0.1 * 4 / 3, rel=1e-3)


def test_by_way_of_the_decay_rate_the_peaks_agree():
    delta = convert(0.5, "optax", "decay_rate", **SCHEDULED)
    assert delta.exactness == "exact"
    assert "peak" in delta.because
    lam = convert(float(delta), "decay_rate", "corrected", **SCHEDULED)
    assert deltas_of("corrected", float(lam), ETA)[10] == pytest.approx(0.01, rel=1e-13)
