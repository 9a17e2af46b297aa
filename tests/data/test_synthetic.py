"""Synthetic quadratics have the spectrum, the minimiser and the noise asked for."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.data.synthetic import gradient, noisy_gradient, quadratic, risk

SPECTRUM = jnp.array([0.0, 0.1, 1.0, 10.0])


@pytest.fixture
def problem():
    return quadratic(jax.random.key(0), SPECTRUM, 0.5)


def test_curvature_has_the_spectrum_asked_for(problem):
    # Round-off of a 4 × 4 eigenvalue problem in float64, absolute for the zero.
    chex.assert_trees_all_close(jnp.linalg.eigvalsh(problem.H), SPECTRUM, atol=1e-13)


def test_curvature_is_symmetric_to_the_last_bit(problem):
    chex.assert_trees_all_equal(problem.H, problem.H.T)


def test_basis_and_minimiser_depend_on_the_key():
    one, other = (quadratic(jax.random.key(k), SPECTRUM, 0.0) for k in (0, 1))
    assert jnp.linalg.norm(one.H - other.H) > 0.1
    assert jnp.linalg.norm(one.theta_star - other.theta_star) > 0.1


def test_basis_is_not_the_axes(problem):
    off_diagonal = problem.H - jnp.diag(jnp.diag(problem.H))
    assert jnp.linalg.norm(off_diagonal) > 0.1


def test_basis_is_uniform():
    """E[H] = tr(H)/d · I for a uniform basis."""
    keys = jax.random.split(jax.random.key(0), 4_000)
    H = jax.vmap(lambda key: quadratic(key, SPECTRUM, 0.0).H)(keys)
    error = H.mean(0) - SPECTRUM.mean() * jnp.eye(4)
    standard_error = H.std(0) / np.sqrt(len(keys))
    # 16 entries: 4 standard errors are exceeded with probability 0.001.
    assert jnp.abs(error / standard_error).max() < 4


def test_risk_is_the_quadratic_form_in_its_eigenbasis(problem):
    h, Q = jnp.linalg.eigh(problem.H)
    theta = jnp.array([1.0, -2.0, 0.5, 3.0])
    by_hand = sum(h * (Q.T @ (theta - problem.theta_star)) ** 2) / 2
    chex.assert_trees_all_close(risk(problem, theta), by_hand, rtol=1e-12)


def test_minimiser_has_no_risk_and_no_gradient(problem):
    assert risk(problem, problem.theta_star) == 0
    chex.assert_trees_all_equal(gradient(problem, problem.theta_star), jnp.zeros(4))


def test_gradient_is_the_derivative_of_risk(problem):
    theta = jnp.array([1.0, -2.0, 0.5, 3.0])
    derivative = jax.grad(risk, argnums=1)(problem, theta)
    chex.assert_trees_all_close(gradient(problem, theta), derivative, rtol=1e-12)


def test_noise_is_unbiased_white_and_of_the_size_asked_for(problem):
    theta = jnp.array([1.0, -2.0, 0.5, 3.0])
    n = 20_000
    keys = jax.random.split(jax.random.key(1), n)
    draws = jax.vmap(lambda key: noisy_gradient(problem, theta, key))(keys)
    noise = (draws - gradient(problem, theta)[None, :]) / 0.5
    # In units of their standard errors, 1/√n, and √2/√n on the diagonal.
    mean = noise.mean(0) * np.sqrt(n)
    covariance = (noise.T @ noise / n - jnp.eye(4)) * np.sqrt(n)
    covariance = covariance / jnp.where(jnp.eye(4) == 1, np.sqrt(2), 1)
    # 4 + 16 numbers: 4 standard errors are exceeded with probability 0.001.
    assert jnp.abs(mean).max() < 4
    assert jnp.abs(covariance).max() < 4


def test_noise_can_be_swept():
    keys = jax.random.split(jax.random.key(0), 3)
    problems = jax.vmap(lambda key, s: quadratic(key, SPECTRUM, s))(keys, jnp.arange(3))
    chex.assert_trees_all_equal(problems.noise, jnp.array([0.0, 1.0, 2.0]))


def test_problem_keeps_the_dtype_of_its_spectrum():
    problem = quadratic(jax.random.key(0), SPECTRUM.astype(jnp.float32), 0.5)
    assert {leaf.dtype for leaf in problem} == {jnp.dtype(jnp.float32)}
    draw = noisy_gradient(problem, jnp.zeros(4, jnp.float32), jax.random.key(1))
    assert draw.dtype == jnp.float32
