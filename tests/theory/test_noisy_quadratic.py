"""Means and variances of noisy SGD, against Lyapunov's equation and runs by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.theory import noisy_quadratic, quadratic

H = np.array([0.3, 1.0, 4.0])
THETA_STAR = np.array([2.0, -1.0, 0.5])
SIGMA = np.array([0.7, 1.3, 0.2])
# α, λ₂ or δ, β: near the edge of stability, and with δ far from small.
RATES = [(0.1, 0.02, 0.0), (0.1, 0.3, 0.9), (0.3, 0.6, 0.5), (0.8, 0.1, 0.95)]
rates = pytest.mark.parametrize(("alpha", "decay", "beta"), RATES)
EXACT = 1e-11  # float64; the linear systems have condition numbers below 1e4


def stationary(A, B, c):
    """Mean and covariance of x' = Ax + c + Bξ, as two linear systems."""
    n = len(A)
    P = np.linalg.solve(np.eye(n * n) - np.kron(A, A), np.outer(B, B).ravel())
    return np.linalg.solve(np.eye(n) - A, c), P.reshape(n, n)


def coupled(mode, rates):
    """(θ, m): m ← βm + h(θ − θ*) + λθ + σξ, then θ ← θ − αm, as matrices."""
    h, theta_star, sigma, (alpha, lam, beta) = *mode, rates
    gradient = np.array([h + lam, beta])  # the new m, from the old (θ, m)
    A = np.array([np.array([1.0, 0.0]) - alpha * gradient, gradient])
    push = np.array([-alpha, 1.0])
    return stationary(A, sigma * push, -h * theta_star * push)


def decoupled(mode, rates):
    """(θ, m): m ← βm + h(θ − θ*) + σξ, then θ ← (1 − δ)θ − αm."""
    h, theta_star, sigma, (alpha, delta, beta) = *mode, rates
    gradient = np.array([h, beta])
    A = np.array([np.array([1 - delta, 0.0]) - alpha * gradient, gradient])
    push = np.array([-alpha, 1.0])
    return stationary(A, sigma * push, -h * theta_star * push)


def solved(system, alpha, decay, beta):
    modes = zip(H, THETA_STAR, SIGMA, strict=True)
    each = [system(mode, (alpha, decay, beta)) for mode in modes]
    return np.array([mean[0] for mean, _ in each]), np.array([P for _, P in each])


@rates
def test_sgd_with_l2_has_the_moments_of_its_lyapunov_equation(alpha, decay, beta):
    mean, P = solved(coupled, alpha, decay, beta)
    h, theta_star, sigma = map(jnp.array, (H, THETA_STAR, SIGMA))
    np.testing.assert_allclose(
        noisy_quadratic.mean_sgd_l2(h, theta_star, decay), mean, rtol=EXACT
    )
    np.testing.assert_allclose(
        noisy_quadratic.variance_sgd_l2(h, decay, alpha, beta, sigma),
        P[:, 0, 0],
        rtol=EXACT,
    )
    np.testing.assert_allclose(
        noisy_quadratic.covariance_sgd_l2(h, decay, alpha, beta, sigma), P, rtol=EXACT
    )


@rates
def test_sgdw_has_the_moments_of_its_lyapunov_equation(alpha, decay, beta):
    mean, P = solved(decoupled, alpha, decay, beta)
    h, theta_star, sigma = map(jnp.array, (H, THETA_STAR, SIGMA))
    np.testing.assert_allclose(
        noisy_quadratic.mean_sgdw(h, theta_star, alpha, decay, beta), mean, rtol=EXACT
    )
    np.testing.assert_allclose(
        noisy_quadratic.variance_sgdw(h, alpha, decay, beta, sigma),
        P[:, 0, 0],
        rtol=EXACT,
    )
    np.testing.assert_allclose(
        noisy_quadratic.covariance_sgdw(h, alpha, decay, beta, sigma), P, rtol=EXACT
    )


def run(rng, alpha, *, l2, delta, beta, chains=4_000, steps=400):
    """Heavy ball with both decays, by hand, under uniform noise; the last weights."""
    theta, m = np.zeros((chains, len(H))), np.zeros((chains, len(H)))
    for _ in range(steps):
        xi = rng.uniform(-np.sqrt(3), np.sqrt(3), size=theta.shape)
        m = beta * m + H * (theta - THETA_STAR) + l2 * theta + SIGMA * xi
        theta = (1 - delta) * theta - alpha * m
    return theta


@pytest.mark.parametrize(("l2", "delta"), [(0.4, 0.0), (0.0, 0.1)])
def test_runs_under_noise_that_is_not_gaussian_have_the_same_moments(l2, delta):
    alpha, beta = 0.15, 0.6
    theta = run(np.random.default_rng(3), alpha, l2=l2, delta=delta, beta=beta)
    h, theta_star, sigma = map(jnp.array, (H, THETA_STAR, SIGMA))
    if l2:
        mean = noisy_quadratic.mean_sgd_l2(h, theta_star, l2)
        variance = noisy_quadratic.variance_sgd_l2(h, l2, alpha, beta, sigma)
    else:
        mean = noisy_quadratic.mean_sgdw(h, theta_star, alpha, delta, beta)
        variance = noisy_quadratic.variance_sgdw(h, alpha, delta, beta, sigma)
    n = len(theta)
    # Standard errors of 4,000 independent chains; 4 of them are a chance of 6e-5 each.
    # Var x̄ = V/n, Var s² ≤ 2V²/n (fewer, as uniform noise has light tails).
    assert np.all(np.abs(theta.mean(0) - mean) < 4 * np.sqrt(variance / n))
    assert np.all(np.abs(theta.var(0) / variance - 1) < 4 * np.sqrt(2 / n))


def test_without_momentum_the_variance_is_the_familiar_one():
    h, alpha, l2, sigma = jnp.array(H), 0.2, 0.3, 1.7
    expected = alpha * sigma**2 / ((H + l2) * (2 - alpha * (H + l2)))
    coupled_variance = noisy_quadratic.variance_sgd_l2(h, l2, alpha, 0.0, sigma)
    np.testing.assert_allclose(coupled_variance, expected, rtol=1e-14)
    # And decoupled decay with δ = αλ is the same process.
    decoupled_variance = noisy_quadratic.variance_sgdw(h, alpha, alpha * l2, 0.0, sigma)
    np.testing.assert_allclose(decoupled_variance, expected, rtol=1e-14)


def test_with_momentum_the_same_mean_is_not_the_same_spread():
    h, theta_star = jnp.array(H), jnp.array(THETA_STAR)
    alpha, l2, beta = 0.05, 0.5, 0.9
    delta = quadratic.heavy_ball_decay(alpha, l2, beta)
    np.testing.assert_allclose(
        noisy_quadratic.mean_sgdw(h, theta_star, alpha, delta, beta),
        noisy_quadratic.mean_sgd_l2(h, theta_star, l2),
        rtol=1e-13,
    )
    coupled_variance = noisy_quadratic.variance_sgd_l2(h, l2, alpha, beta, 1.0)
    decoupled_variance = noisy_quadratic.variance_sgdw(h, alpha, delta, beta, 1.0)
    assert np.all(np.abs(decoupled_variance / coupled_variance - 1) > 0.3)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_no_noise_has_no_spread_and_no_decay_has_no_shrinkage(beta):
    h, theta_star = jnp.array(H), jnp.array(THETA_STAR)
    still = noisy_quadratic.variance_sgdw(h, 0.1, 0.02, beta, 0.0)
    np.testing.assert_array_equal(still, np.zeros(3))
    for mean in (
        noisy_quadratic.mean_sgd_l2(h, theta_star, 0.0),
        noisy_quadratic.mean_sgdw(h, theta_star, 0.1, 0.0, beta),
    ):
        np.testing.assert_allclose(mean, THETA_STAR, rtol=1e-15)
    np.testing.assert_allclose(
        noisy_quadratic.variance_sgdw(h, 0.1, 0.0, beta, 1.0),
        noisy_quadratic.variance_sgd_l2(h, 0.0, 0.1, beta, 1.0),
        rtol=1e-15,
    )


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_stable_learning_rates_are_where_the_spectral_radius_passes_one(beta):
    h_max, l2, delta = 3.0, 0.4, 0.2

    def radius(alpha, *, l2, delta):
        gradient = np.array([h_max + l2, beta])
        A = np.array([np.array([1 - delta, 0.0]) - alpha * gradient, gradient])
        return np.abs(np.linalg.eigvals(A)).max()

    coupled_bound = noisy_quadratic.stable_learning_rate_sgd_l2(h_max, l2, beta)
    decoupled_bound = noisy_quadratic.stable_learning_rate_sgdw(h_max, delta, beta)
    for bound, decays in (
        (coupled_bound, {"l2": l2, "delta": 0.0}),
        (decoupled_bound, {"l2": 0.0, "delta": delta}),
    ):
        assert radius((1 - 1e-6) * bound, **decays) < 1
        assert radius((1 + 1e-6) * bound, **decays) > 1
        assert radius(1e-3 * bound, **decays) < 1  # nothing else is in the way


def test_the_variance_diverges_at_the_stable_learning_rate():
    h, l2, beta = jnp.array([2.0]), 0.5, 0.8
    bound = noisy_quadratic.stable_learning_rate_sgd_l2(2.0, l2, beta)
    near, nearer = (
        noisy_quadratic.variance_sgd_l2(h, l2, (1 - gap) * bound, beta, 1.0)[0]
        for gap in (1e-5, 1e-6)
    )
    # A simple pole: ten times nearer is ten times wider, up to the gap itself.
    assert nearer / near == pytest.approx(10, rel=1e-4)


def test_excess_risk_is_the_mean_loss_of_runs():
    alpha, beta, l2 = 0.15, 0.6, 0.4
    theta = run(np.random.default_rng(8), alpha, l2=l2, delta=0.0, beta=beta)
    losses = 0.5 * np.sum(H * (theta - THETA_STAR) ** 2, axis=1)
    h, theta_star, sigma = map(jnp.array, (H, THETA_STAR, SIGMA))
    risk = noisy_quadratic.excess_risk(
        h,
        theta_star,
        noisy_quadratic.mean_sgd_l2(h, theta_star, l2),
        noisy_quadratic.variance_sgd_l2(h, l2, alpha, beta, sigma),
    )
    assert abs(losses.mean() - risk) < 4 * losses.std() / np.sqrt(len(losses))
    assert losses.std() / np.sqrt(len(losses)) < 0.02 * risk  # and it can tell
