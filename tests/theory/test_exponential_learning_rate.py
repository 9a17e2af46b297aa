"""Runs with and without decay on a scale-invariant function, in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.theory import exponential_learning_rate as exponential

STEPS, W_0 = 80, np.array([0.3, 1.0, -0.7])


def gradient(w):
    """Of F(w/‖w‖) for F(x) = Σ x⁴ + a·x, which is scale-invariant."""
    norm = np.sqrt(w @ w)
    x = w / norm
    dF = 4 * x**3 + np.array([1.0, -2.0, 0.5])
    return (dF - (dF @ x) * x) / norm


def sgd(hypers, decay_rates=(0.0,) * STEPS, buffer=0.0, l2=0.0):
    """The points on the sphere that heavy ball visits; hypers are (α_t, β_t)."""
    w, m, visited = W_0, buffer, []
    for (alpha, beta), delta in zip(hypers, decay_rates, strict=True):
        m = beta * m + gradient(w) + l2 * w
        w = (1 - delta) * w - alpha * m
        visited.append(w / np.sqrt(w @ w))
    return np.array(visited)


def adam(hypers, weights, decay_rate=0.0):
    """Likewise for Adam; the originals' 1 − β and bias corrections are kept."""
    (b1, b2), w, m, v, visited = weights, W_0, 0.0, 0.0, []
    for t, (alpha, beta_1, beta_2, eps) in enumerate(hypers, 1):
        g = gradient(w)
        m, v = beta_1 * m + (1 - b1) * g, beta_2 * v + (1 - b2) * g**2
        direction = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        w = (1 - decay_rate) * w - alpha * direction
        visited.append(w / np.sqrt(w @ w))
    return np.array(visited)


# Eighty steps of rounding error, which these smooth descents do not amplify.
SAME = {"rtol": 0, "atol": 1e-13}


@pytest.mark.parametrize("beta", [0.0, 0.9])
@pytest.mark.parametrize("delta", [1e-3, 0.01])
def test_sgd_without_decay_visits_the_functions_of_sgd_with_it(beta, delta):
    alpha = 0.02
    with_decay = sgd([(alpha, beta)] * STEPS, [delta] * STEPS)
    hypers = [exponential.sgd(alpha, delta, beta, t) for t in range(STEPS)]
    np.testing.assert_allclose(sgd(hypers), with_decay, **SAME)


@pytest.mark.parametrize(("delta", "apart"), [(1e-3, 1e-4), (0.01, 1e-3)])
def test_with_the_momentum_as_it_was_sgd_goes_elsewhere(delta, apart):
    alpha, beta = 0.02, 0.9
    with_decay = sgd([(alpha, beta)] * STEPS, [delta] * STEPS)
    hypers = [(exponential.sgd(alpha, delta, beta, t)[0], beta) for t in range(STEPS)]
    assert np.abs(sgd(hypers) - with_decay).max() > apart


def test_schedules_of_both_are_divided_out_too():
    rng = np.random.default_rng(0)
    alphas, deltas = rng.uniform(0, 0.03, STEPS), rng.uniform(0, 0.05, STEPS)
    with_decay = sgd([(alpha, 0.9) for alpha in alphas], deltas)
    hypers = exponential.sgd_under_a_schedule(
        jnp.asarray(alphas), jnp.asarray(deltas), 0.9
    )
    np.testing.assert_allclose(sgd(np.transpose(hypers)), with_decay, **SAME)


def test_constant_schedules_are_the_exponential_learning_rate():
    alpha, delta, beta = 0.02, 0.03, 0.9
    schedules = exponential.sgd_under_a_schedule(
        jnp.full(STEPS, alpha), jnp.full(STEPS, delta), beta
    )
    constant = [exponential.sgd(alpha, delta, beta, t) for t in range(STEPS)]
    alphas, betas = np.transpose(constant)
    np.testing.assert_allclose(schedules.learning_rate, alphas, rtol=1e-13)
    # The first multiplies an empty buffer.
    np.testing.assert_allclose(schedules.momentum[1:], betas[1:], rtol=1e-15)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_an_l2_penalty_behind_momentum_is_an_exponential_learning_rate_too(beta):
    """The momentum stays, and the buffer starts at −(1 − c)w₀/(αc)."""
    alpha, l2 = 0.02, 0.1
    penalised = sgd([(alpha, beta)] * STEPS, l2=l2)
    c = exponential.l2_contraction(alpha, l2, beta)
    hypers = [(alpha * c ** -(2 * t + 1), beta) for t in range(STEPS)]
    start = -(1 - c) / (alpha * c) * W_0
    # The first step multiplies the buffer by β: what it starts at is M_{−1}.
    np.testing.assert_allclose(sgd(hypers, buffer=start), penalised, **SAME)
    if beta:
        assert np.abs(sgd(hypers) - penalised).max() > 1e-4


def test_without_momentum_the_penalty_contracts_by_1_minus_alpha_lambda():
    assert exponential.l2_contraction(0.1, 0.3, 0.0) == pytest.approx(0.97, rel=1e-15)
    # With momentum αλ/(1 − β), to first order: the next is of relative order 1e-6.
    c = exponential.l2_contraction(1e-4, 1e-4, 0.9)
    assert 1 - c == pytest.approx(1e-7, rel=1e-5)


@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.3])
@pytest.mark.parametrize("delta", [1e-3, 0.02])
def test_adam_without_decay_visits_the_functions_of_adamw(delta, eps):
    alpha, betas = 0.02, (0.9, 0.99)
    with_decay = adam([(alpha, *betas, eps)] * STEPS, betas, delta)
    hypers = [
        exponential.adamw(alpha, delta, *betas, eps, t) for t in range(1, STEPS + 1)
    ]
    np.testing.assert_allclose(adam(hypers, betas), with_decay, **SAME)


@pytest.mark.parametrize("kept", ["b1", "b2", "eps"])
def test_adam_goes_elsewhere_with_any_one_of_the_three_as_it_was(kept):
    alpha, betas, eps, delta = 0.02, (0.9, 0.99), 0.3, 0.02
    with_decay = adam([(alpha, *betas, eps)] * STEPS, betas, delta)
    original = {"b1": betas[0], "b2": betas[1], "eps": eps}
    hypers = [
        exponential.adamw(alpha, delta, *betas, eps, t)._replace(
            **{kept: original[kept]}
        )
        for t in range(1, STEPS + 1)
    ]
    assert np.abs(adam(hypers, betas) - with_decay).max() > 1e-3


def test_without_decay_nothing_is_changed():
    assert exponential.sgd(0.1, 0.0, 0.9, 7) == (0.1, 0.9)
    assert exponential.adamw(0.1, 0.0, 0.9, 0.99, 1e-8, 7) == (0.1, 0.9, 0.99, 1e-8)
    assert exponential.l2_contraction(0.1, 0.0, 0.9) == pytest.approx(1.0, rel=1e-15)


def test_the_first_step_of_adam_is_divided_by_rho_once_and_keeps_epsilon():
    first = exponential.adamw(0.1, 0.2, 0.9, 0.99, 1e-3, 1)
    assert first.learning_rate == pytest.approx(0.125, rel=1e-15)
    assert first.eps == 1e-3
