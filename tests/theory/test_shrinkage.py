"""Spectral filters against iterations, an ODE, regressions, and scans by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.theory import quadratic, shrinkage

H = np.array([0.05, 0.4, 1.0, 3.0])
THETA_STAR = np.array([1.5, -2.0, 0.3, 1.0])


@pytest.mark.parametrize("alpha", [0.01, 0.3, 0.6])
@pytest.mark.parametrize("k", [0, 1, 2, 40])
def test_gradient_descent_keeps_what_iterations_have_learnt(alpha, k):
    theta = np.zeros(4)
    for _ in range(k):
        theta = theta - alpha * H * (theta - THETA_STAR)
    kept = shrinkage.gradient_descent(jnp.array(H), alpha, k)
    np.testing.assert_allclose(kept * THETA_STAR, theta, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("time", [0.0, 0.2, 3.0])
def test_gradient_flow_solves_its_differential_equation(time):
    # Runge-Kutta of order 4: error (ht/n)^4·ht/120 < 1e-10 at ht = 9, n = 4000.
    n = 4_000
    dt, theta = time / n, np.zeros(4)

    def slope(theta):
        return -H * (theta - THETA_STAR)

    for _ in range(n):
        k1 = slope(theta)
        k2 = slope(theta + dt / 2 * k1)
        k3 = slope(theta + dt / 2 * k2)
        k4 = slope(theta + dt * k3)
        theta = theta + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    kept = shrinkage.gradient_flow(jnp.array(H), time)
    np.testing.assert_allclose(kept * THETA_STAR, theta, atol=1e-10)


def test_gradient_descent_becomes_gradient_flow_in_proportion_to_the_step():
    h, time = jnp.array(H), 2.0
    flow = shrinkage.gradient_flow(h, time)
    gaps = [
        np.abs(shrinkage.gradient_descent(h, time / k, k) - flow) for k in (500, 1_000)
    ]
    # First order in α, and the next order is 0.6 % of it at αh = 6e-3.
    np.testing.assert_allclose(gaps[0] / gaps[1], 2, rtol=0.01)


def test_gradient_flow_of_hardly_any_time_does_not_cancel():
    h = jnp.array([1e-3])
    np.testing.assert_allclose(shrinkage.gradient_flow(h, 1e-15), 1e-18, rtol=1e-12)


def test_early_stopping_keeps_between_ridge_and_1_2985_of_ridge():
    x = jnp.logspace(-6, 3, 20_001)
    flow, ridge = shrinkage.gradient_flow(x, 1.0), quadratic.spectral_filter(x, 1.0)
    ratio = np.asarray(flow / ridge)
    assert ratio.min() >= 1 - 1e-15
    # The maximum is 1.29843; a grid of 2,222 points per decade is within 1e-6 of it.
    assert 1.2984 < ratio.max() < 1.2985
    assert float(x[ratio.argmax()]) == pytest.approx(1.793, abs=2e-3)


@pytest.mark.parametrize("noise_variance", [0.0, 0.01, 1.0, 100.0])
def test_early_stopping_has_at_most_1_6862_of_the_risk_of_ridge(noise_variance):
    h, theta_star = jnp.array(H), jnp.array(THETA_STAR)
    for time in np.logspace(-3, 3, 61):
        flow = shrinkage.risk(
            h, theta_star, shrinkage.gradient_flow(h, time), noise_variance
        )
        ridge = shrinkage.risk(
            h, theta_star, quadratic.spectral_filter(h, 1 / time), noise_variance
        )
        assert flow <= 1.6862 * ridge


def test_the_factor_1_6862_is_nearly_reached_by_pure_noise():
    h, nothing, time = jnp.array([1.0]), jnp.array([0.0]), 1.79328
    flow = shrinkage.risk(h, nothing, shrinkage.gradient_flow(h, time), 1.0)
    ridge = shrinkage.risk(h, nothing, quadratic.spectral_filter(h, 1 / time), 1.0)
    assert 1.6859 < float(flow / ridge) < 1.6862


def test_risk_of_ridge_is_that_of_regressions_on_fresh_errors():
    rng = np.random.default_rng(4)
    n, d, error, l2 = 40, 3, 0.8, 0.3
    X = rng.normal(size=(n, d)) * np.array([2.0, 1.0, 0.3])
    truth = np.array([0.5, -1.0, 2.0])
    curvature = X.T @ X / n
    h, Q = np.linalg.eigh(curvature)
    y = X @ truth + error * rng.normal(size=(20_000, n))
    fits = np.linalg.solve(curvature + l2 * np.eye(d), X.T @ y.T / n).T - truth
    losses = 0.5 * np.sum(fits @ curvature * fits, axis=1)
    kept = quadratic.spectral_filter(jnp.array(h), l2)
    risk = shrinkage.risk(jnp.array(h), jnp.array(Q.T @ truth), kept, error**2 / n)
    standard_error = losses.std() / np.sqrt(len(losses))
    assert abs(losses.mean() - risk) < 4 * standard_error  # a chance of 6e-5
    assert standard_error < 0.01 * risk


def bayes_risk(h, l2, noise_variance, prior_variance, weights):
    """Σ w E(θ̂ − θ*)², θ̂ = h(θ* + ζ)/(h + λ): the two variances, by hand."""
    bias = (l2 / (h + l2)) ** 2 * prior_variance
    variance = (h / (h + l2)) ** 2 * noise_variance / h
    return np.sum(weights * (bias + variance))


@pytest.mark.parametrize("noise_variance", [0.01, 0.5])
@pytest.mark.parametrize("prior_variance", [0.2, 4.0])
@pytest.mark.parametrize("weights", [H, np.ones(4), np.array([0.0, 0, 0, 1.0])])
def test_optimal_l2_has_the_least_bayes_risk_whatever_the_weights(
    noise_variance, prior_variance, weights
):
    best = shrinkage.optimal_l2(noise_variance, prior_variance)
    l2s = best * np.logspace(-1, 1, 2_001)  # the middle one is λ* itself
    risks = [bayes_risk(H, l2, noise_variance, prior_variance, weights) for l2 in l2s]
    # Flat to 2nd order there: one grid point is a relative 1e-3 in λ, 1e-6 in risk.
    assert abs(int(np.argmin(risks)) - 1_000) <= 1


def test_optimal_l2_is_exact_where_all_weights_are_equal():
    h, tau2 = jnp.array(H), 0.3
    theta_star = jnp.full(4, 1.5)

    def risk(l2):
        return shrinkage.risk(h, theta_star, quadratic.spectral_filter(h, l2), tau2)

    best = shrinkage.optimal_l2(tau2, jnp.sum(theta_star**2) / 4)
    slope, scale = jax.grad(risk)(best), risk(best) / best
    assert abs(slope) < 1e-14 * scale
    assert jax.grad(jax.grad(risk))(best) > 0


def test_without_a_prior_the_optimum_is_bracketed_by_that_of_the_modes():
    h, theta_star, tau2 = jnp.array(H), jnp.array(THETA_STAR), 0.3

    def risk(l2):
        return shrinkage.risk(h, theta_star, quadratic.spectral_filter(h, l2), tau2)

    least, greatest = (tau2 / THETA_STAR**2).min(), (tau2 / THETA_STAR**2).max()
    assert jax.grad(risk)(least) < 0 < jax.grad(risk)(greatest)


def test_the_best_filter_is_a_ridge_of_its_own_for_each_mode():
    h, theta_star, tau2 = jnp.array(H), jnp.array(THETA_STAR), 0.3
    best = h / (h + tau2 / theta_star**2)
    slope = jax.grad(lambda kept: shrinkage.risk(h, theta_star, kept, tau2))(best)
    np.testing.assert_allclose(slope, np.zeros(4), atol=1e-15)
