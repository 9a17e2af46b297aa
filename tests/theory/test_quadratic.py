"""Closed forms on a quadratic, against NumPy's iterations in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.theory import quadratic

D = 4
L2S = [0.0, 0.05, 1.0, 30.0]


@pytest.fixture(params=[0, 1], ids=["seed0", "seed1"])
def problem(request):
    rng = np.random.default_rng(request.param)
    A = rng.normal(size=(D, D))
    H = A @ A.T / D + 0.1 * np.eye(D)
    theta_star, theta_0 = rng.normal(size=(2, D))
    return H, theta_star, theta_0


def descend(H, theta_star, theta, *, l2, learning_rate, t):
    """θ ← θ − α(∇f + λθ), by hand."""
    for _ in range(t):
        theta = theta - learning_rate * (H @ (theta - theta_star) + l2 * theta)
    return theta


def heavy_ball(H, theta_star, alpha, beta, *, l2=0.0, decay_rate=0.0, nesterov=False):
    """m ← βm + g, θ ← θ − α(m or βm + g) − δθ, by hand, until it rests."""
    theta, m = np.zeros(D), np.zeros(D)
    for _ in range(20_000):
        g = H @ (theta - theta_star) + l2 * theta
        m = beta * m + g
        direction = beta * m + g if nesterov else m
        theta = theta - alpha * direction - decay_rate * theta
    return theta


@pytest.mark.parametrize("l2", L2S)
def test_limit_point_is_where_gradient_descent_ends(problem, l2):
    H, theta_star, theta_0 = problem
    learning_rate = 1 / (np.linalg.eigvalsh(H)[-1] + l2)
    end = descend(H, theta_star, theta_0, l2=l2, learning_rate=learning_rate, t=5_000)
    theta_inf = quadratic.limit_point(jnp.array(H), jnp.array(theta_star), l2)
    # Converged: what is left is round-off times the condition number, here < 100.
    np.testing.assert_allclose(theta_inf, end, rtol=1e-10, atol=1e-12)


def test_limit_point_goes_from_the_minimiser_to_the_origin(problem):
    H, theta_star, _ = map(jnp.array, problem)
    np.testing.assert_allclose(
        quadratic.limit_point(H, theta_star, 0.0), theta_star, rtol=1e-12
    )
    # First order in 1/λ: λθ_∞ → Hθ*, with a relative error of h_max/λ.
    far = 1e9
    np.testing.assert_allclose(
        far * quadratic.limit_point(H, theta_star, far), H @ theta_star, rtol=1e-7
    )


@pytest.mark.parametrize("l2", L2S)
@pytest.mark.parametrize("alpha", [0.01, 0.7])
@pytest.mark.parametrize("t", [0, 1, 2, 25])
def test_trajectory_is_gradient_descent(problem, l2, alpha, t):
    H, theta_star, theta_0 = problem
    # Some of it diverges.
    expected = descend(H, theta_star, theta_0, l2=l2, learning_rate=alpha, t=t)
    theta_t = quadratic.trajectory(
        jnp.array(H), jnp.array(theta_star), l2, alpha, jnp.array(theta_0), t
    )
    # t multiply-adds in float64, relative to the largest coordinate.
    atol = 1e-12 * np.abs(expected).max()
    np.testing.assert_allclose(theta_t, expected, rtol=1e-10, atol=atol)


def test_trajectory_takes_traced_arguments(problem):
    H, theta_star, theta_0 = map(jnp.array, problem)
    times = jnp.arange(6)
    # Three quarters of the bound, so some contraction factors are negative.
    alpha = 0.75 * quadratic.stable_learning_rate(H, 1.0)
    run = jax.vmap(quadratic.trajectory, in_axes=(None, None, None, None, None, 0))
    rows = jax.jit(run)(H, theta_star, jnp.array(1.0), alpha, theta_0, times)
    as_numpy = [np.array(x) for x in (H, theta_star, theta_0)]
    for t, row in enumerate(rows):
        expected = descend(*as_numpy, l2=1.0, learning_rate=float(alpha), t=t)
        np.testing.assert_allclose(row, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("l2", L2S)
def test_stable_learning_rate_is_the_boundary(problem, l2):
    H, theta_star, _ = problem
    bound = float(quadratic.stable_learning_rate(jnp.array(H), l2))
    h, Q = np.linalg.eigh(H)
    assert bound * (h[-1] + l2) == pytest.approx(2, rel=1e-12)

    theta_inf = np.linalg.solve(H + l2 * np.eye(D), H @ theta_star)
    theta_0 = theta_inf + Q[:, -1]  # one unit off, along the steepest direction

    def left(alpha):
        theta = descend(H, theta_star, theta_0, l2=l2, learning_rate=alpha, t=2_000)
        return np.linalg.norm(theta - theta_inf)

    # |1 − 0.99·2|^2000 = 3e-18 and 1.02^2000 = 2e17, up to round-off of θ itself.
    assert left(0.99 * bound) < 1e-10
    assert left(1.01 * bound) > 1e10


@pytest.mark.parametrize("l2", L2S)
def test_spectral_filter_is_the_limit_point_along_an_eigenvector(problem, l2):
    H, theta_star, _ = problem
    h, Q = np.linalg.eigh(H)
    theta_inf = np.linalg.solve(H + l2 * np.eye(D), H @ theta_star)
    np.testing.assert_allclose(
        quadratic.spectral_filter(jnp.array(h), l2),
        (Q.T @ theta_inf) / (Q.T @ theta_star),
        rtol=1e-10,
    )


def test_spectral_filter_keeps_the_steep_and_forgets_the_flat():
    h = jnp.array([1e-12, 1.0, 1e12])
    np.testing.assert_allclose(
        quadratic.spectral_filter(h, 1.0), [0, 0.5, 1], atol=1e-11
    )
    np.testing.assert_array_equal(quadratic.spectral_filter(h, 0.0), [1, 1, 1])
    np.testing.assert_array_equal(quadratic.spectral_filter(h, np.inf), [0, 0, 0])


def test_path_is_the_limit_point_of_each_penalty(problem):
    H, theta_star, _ = problem
    path = quadratic.path(jnp.array(H), jnp.array(theta_star), jnp.array(L2S))
    for l2, theta_inf in zip(L2S, path, strict=True):
        expected = np.linalg.solve(H + l2 * np.eye(D), H @ theta_star)
        np.testing.assert_allclose(theta_inf, expected, rtol=1e-10)


def test_path_begins_at_the_minimiser_and_ends_at_the_origin(problem):
    H, theta_star, _ = map(jnp.array, problem)
    path = quadratic.path(H, theta_star, jnp.array([0.0, jnp.inf]))
    np.testing.assert_allclose(path[0], theta_star, rtol=1e-10)
    np.testing.assert_array_equal(path[1], jnp.zeros(D))


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_heavy_ball_decay_has_the_fixed_point_of_l2(problem, beta, nesterov):
    H, theta_star, _ = problem
    alpha, l2 = 0.02, 0.3
    delta = quadratic.heavy_ball_decay(alpha, l2, beta)
    coupled = heavy_ball(H, theta_star, alpha, beta, l2=l2, nesterov=nesterov)
    decoupled = heavy_ball(
        H, theta_star, alpha, beta, decay_rate=delta, nesterov=nesterov
    )
    # Both at rest: round-off times the condition number.
    np.testing.assert_allclose(decoupled, coupled, rtol=1e-10)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_heavy_ball_l2_is_the_ridge_that_naive_decay_solves(problem, beta):
    H, theta_star, _ = problem
    alpha, naive = 0.02, 0.3
    l2 = quadratic.heavy_ball_l2(alpha, alpha * naive, beta)
    assert l2 == pytest.approx((1 - beta) * naive)
    rest = heavy_ball(H, theta_star, alpha, beta, decay_rate=alpha * naive)
    ridge = np.linalg.solve(H + l2 * np.eye(D), H @ theta_star)
    np.testing.assert_allclose(rest, ridge, rtol=1e-10)
