"""Where optimizers end, against root finders and optimizers written out in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from wdjax.theory import objective

H = np.array([0.5, 2.0, 1.0])
THETA_STAR = np.array([2.5, 1.0, -0.7])
LAMBDA = 0.5
NOISES = [1e-3, 0.1, 0.3, 1.0, 3.0, 30.0]


def adam(rng, noise, *, l2=0.0, weight_decay=0.0, chains, rates, averaged, b2):
    """Adam, β₁ = 0, with both decays, by hand; each chain's mean of its last steps."""
    theta, v = np.zeros((chains, 3)), np.zeros((chains, 3))
    total = np.zeros_like(theta)
    for t, alpha in enumerate(rates):
        g = H * (theta - THETA_STAR) + noise * rng.normal(size=theta.shape) + l2 * theta
        v = b2 * v + (1 - b2) * g**2
        step = g / np.sqrt(v / (1 - b2 ** (t + 1)))
        theta = theta - alpha * step - alpha * weight_decay * theta
        total += theta * (t >= len(rates) - averaged)
    return total / averaged


def sgd(rng, noise, *, weight_decay, is_cautious, chains, alpha, steps, averaged):
    """SGD with decoupled decay, gated or not, by hand."""
    theta, total = np.zeros((chains, 3)), np.zeros((chains, 3))
    for t in range(steps):
        g = H * (theta - THETA_STAR) + noise * rng.normal(size=theta.shape)
        gate = (g * theta >= 0) | (not is_cautious)
        theta = theta - alpha * g - alpha * weight_decay * gate * theta
        total += theta * (t >= steps - averaged)
    return total / averaged


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("lam", [0.05, 0.5, 4.0])
def test_adamw_is_the_root_that_a_bracketing_solver_finds(lam, noise):
    theta = objective.adamw(jnp.array(H), jnp.array(THETA_STAR), lam, noise)
    for h, star, found in zip(H, THETA_STAR, theta, strict=True):

        def pull(x, h=h, star=star):
            a = h * (x - star)
            return a / np.sqrt(a**2 + noise**2) + lam * x

        root = brentq(pull, min(star, 0), max(star, 0), xtol=1e-15, rtol=1e-14)
        assert float(found) == pytest.approx(root, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("lam", [0.05, 0.5, 4.0])
def test_cautious_is_the_root_that_a_bracketing_solver_finds(lam, noise):
    theta = objective.cautious(jnp.array(H), jnp.array(THETA_STAR), lam, noise)
    for h, star, found in zip(H, THETA_STAR, theta, strict=True):

        def pull(x, h=h, star=star):
            agrees = norm.cdf(np.sign(star) * h * (x - star) / noise)
            return h * (x - star) + lam * x * agrees

        root = brentq(pull, min(star, 0), max(star, 0), xtol=1e-15, rtol=1e-14)
        assert float(found) == pytest.approx(root, rel=1e-10, abs=1e-13)


def test_runs_of_adamw_by_hand_stay_about_the_root():
    noise, chains = 1.0, 400
    rates = np.geomspace(0.05, 2e-3, 3_000).tolist() + 3_000 * [2e-3]
    means = adam(
        np.random.default_rng(1),
        noise,
        weight_decay=LAMBDA,
        chains=chains,
        rates=rates,
        averaged=3_000,
        b2=0.999,
    )
    expected = objective.adamw(jnp.array(H), jnp.array(THETA_STAR), LAMBDA, noise)
    error = 4 * means.std(axis=0) / np.sqrt(chains)
    # Beside the sampling error a bias of first order in α and 1 − β₂, here 3e-3.
    assert np.all(np.abs(means.mean(0) - expected) < error + 3e-3)
    ridge = objective.ridge(jnp.array(H), jnp.array(THETA_STAR), LAMBDA)
    assert np.abs(means.mean(0) - ridge)[0] > 10 * (error[0] + 3e-3)


def test_runs_of_adam_with_l2_by_hand_stay_about_ridge_at_any_step_size():
    chains = 400
    means = adam(
        np.random.default_rng(2),
        1.0,
        l2=LAMBDA,
        chains=chains,
        rates=2_000 * [0.05],
        averaged=1_500,
        b2=0.9,  # far from 1: the mean is by symmetry, not by a limit
    )
    ridge = H / (H + LAMBDA) * THETA_STAR
    found = objective.ridge(jnp.array(H), jnp.array(THETA_STAR), LAMBDA)
    np.testing.assert_allclose(found, ridge, rtol=1e-15)
    error = means.std(axis=0) / np.sqrt(chains)
    assert np.all(np.abs(means.mean(0) - found) < 4 * error)
    assert np.all(error < 3e-3)


@pytest.mark.parametrize("is_cautious", [False, True])
@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_runs_of_sgd_by_hand_stay_about_ridge_or_the_cautious_root(noise, is_cautious):
    chains = 400
    means = sgd(
        np.random.default_rng(5),
        noise,
        weight_decay=LAMBDA,
        is_cautious=is_cautious,
        chains=chains,
        alpha=0.01,
        steps=4_000,
        averaged=2_500,
    )
    args = (jnp.array(H), jnp.array(THETA_STAR), LAMBDA)
    expected = (
        objective.cautious(*args, noise) if is_cautious else objective.ridge(*args)
    )
    error = means.std(axis=0) / np.sqrt(chains)
    # The gate bends the mean at first order in α: σ²α/2h · Φ'' is below 4e-3 here.
    allowed = 4 * error + (4e-3 if is_cautious else 1e-4)
    assert np.all(np.abs(means.mean(0) - expected) < allowed)


def test_without_noise_adamw_clips_and_a_weight_inside_is_not_pulled():
    h, theta_star = jnp.array(H), jnp.array(THETA_STAR)
    np.testing.assert_allclose(
        objective.clipped(theta_star, LAMBDA), [2.0, 1.0, -0.7], rtol=1e-15
    )
    np.testing.assert_allclose(
        objective.adamw(h, theta_star, LAMBDA, 0.0), [2.0, 1.0, -0.7], rtol=1e-14
    )
    # Near σ = 0 the distance is first order in σ.
    gaps = [
        np.abs(objective.adamw(h, theta_star, LAMBDA, s) - np.array([2.0, 1.0, -0.7]))
        for s in (1e-4, 1e-5)
    ]
    np.testing.assert_allclose(gaps[0][1:] / gaps[1][1:], 10, rtol=1e-3)


def test_full_batch_adamw_by_hand_clips():
    rates = np.geomspace(0.05, 1e-6, 10_000).tolist()
    theta = adam(
        np.random.default_rng(0),
        0.0,
        weight_decay=LAMBDA,
        chains=1,
        rates=rates,
        averaged=1,
        b2=0.9,
    )
    # The rates fall by e in τ = 924 steps. While the gradient falls, its square of
    # 10 steps ago slows the descent by 1 + 10αh/|g| = 1 + 20α, so that the budget is
    # λτ·log(1 + 20·0.05)/20 = 16, and e^-16 = 1e-7 of the way is left.
    np.testing.assert_allclose(theta[0], [2.0, 1.0, -0.7], atol=1e-5)


def test_in_much_noise_adamw_is_ridge_with_the_noise_in_the_penalty():
    h, theta_star = jnp.array(H), jnp.array(THETA_STAR)
    for noise in (1e3, 1e5):
        weak = LAMBDA / noise  # so that λσ stays of the size of h
        theta = objective.adamw(h, theta_star, weak, noise)
        ridge = objective.ridge(h, theta_star, weak * noise)
        # √(a² + σ²) = σ(1 + a²/2σ²), with a² below 2.
        np.testing.assert_allclose(theta, ridge, rtol=1 / noise**2)


def test_adamw_meets_ridge_only_where_the_second_moment_is_one():
    h, star, lam = jnp.array([1.0]), jnp.array([1.5]), 0.5
    a = 1.0 - 1.5  # at ridge, θ = 1
    noise = np.sqrt(1 - a**2)
    np.testing.assert_allclose(objective.adamw(h, star, lam, noise), [1.0], rtol=1e-13)
    for other in (0.5 * noise, 2 * noise):
        assert abs(float(objective.adamw(h, star, lam, other)[0]) - 1) > 0.1


def test_cautious_goes_from_no_decay_to_half_of_it_with_the_noise():
    h, theta_star = jnp.array(H), jnp.array(THETA_STAR)
    np.testing.assert_allclose(
        objective.cautious(h, theta_star, LAMBDA, 0.0), THETA_STAR, rtol=1e-14
    )
    half = objective.ridge(h, theta_star, LAMBDA / 2)
    # First order in 1/σ: Φ(a/σ) − ½ is at most 0.4·a/σ with |a| below 1.
    np.testing.assert_allclose(
        objective.cautious(h, theta_star, LAMBDA, 1e6), half, rtol=1e-6
    )
    pulls = [np.abs(objective.cautious(h, theta_star, LAMBDA, s)) for s in NOISES]
    assert np.all(np.diff(pulls, axis=0) < 0)


@pytest.mark.parametrize("solve", [objective.adamw, objective.cautious])
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_no_decay_leaves_the_minimiser_and_zero_stays_zero(solve, noise):
    h, theta_star = jnp.array(H), jnp.array([2.5, 0.0, -0.7])
    np.testing.assert_allclose(
        solve(h, theta_star, 0.0, noise), [2.5, 0, -0.7], rtol=1e-14
    )
    assert float(solve(h, theta_star, 0.5, noise)[1]) == 0


def factors(rng, Y, step, num_steps):
    """A, B from small random numbers, along ``step(t, W, gradient, W's memory)``."""
    A, B = 0.3 * rng.normal(size=(4, 4)), 0.3 * rng.normal(size=(4, 3))
    memories = [np.zeros_like(A), np.zeros_like(B)]
    for t in range(num_steps):
        residual = A @ B - Y
        gradients = residual @ B.T, A.T @ residual
        A, B = (step(t, *x) for x in zip((A, B), gradients, memories, strict=True))
    return A, B


def matrix(s):
    rng = np.random.default_rng(6)
    U, V = (np.linalg.qr(rng.normal(size=(n, 3)))[0] for n in (4, 3))
    return U * s @ V.T


S = np.array([2.5, 1.2, 0.3])


def test_decayed_factors_have_soft_thresholded_singular_values():
    A, B = factors(
        np.random.default_rng(7),
        matrix(S),
        lambda t, W, g, memory: W - 0.1 * (g + LAMBDA * W),
        2_000,
    )
    found = np.linalg.svd(A @ B, compute_uv=False)
    expected = objective.soft_threshold(jnp.array(S), LAMBDA)
    np.testing.assert_allclose(expected, [2.0, 0.7, 0.0], rtol=1e-15)
    # The rates are λ − s = 0.2 at least: e^(−0.1·0.2·2000) = 4e-18.
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_soft_threshold_minimises_the_nuclear_norm_problem():
    s = jnp.array(S)
    best = objective.soft_threshold(s, LAMBDA)
    candidates = np.linspace(0, 3, 3_001)
    for value, found in zip(S, best, strict=True):
        losses = 0.5 * (value - candidates) ** 2 + LAMBDA * candidates
        assert abs(float(found) - candidates[losses.argmin()]) < 1e-3
    np.testing.assert_array_equal(objective.soft_threshold(s, 0.0), s)


def test_full_batch_adamw_by_hand_leaves_factors_inside_the_box_unshrunk():
    rates = np.geomspace(0.03, 1e-6, 8_000)

    def step(t, W, g, v):
        v[:] = 0.99 * v + 0.01 * g**2
        return W - rates[t] * (
            g / (np.sqrt(v / (1 - 0.99 ** (t + 1))) + 1e-12) + LAMBDA * W
        )

    A, B = factors(np.random.default_rng(7), matrix(S), step, len(rates))
    assert max(np.abs(A).max(), np.abs(B).max()) < objective.box(LAMBDA)
    # It circles the minimiser by some multiple of the last step sizes.
    np.testing.assert_allclose(np.linalg.svd(A @ B, compute_uv=False), S, atol=1e-4)


@pytest.mark.parametrize("start", [0.1, 40.0])
def test_signed_descent_stays_in_the_box(start):
    rng = np.random.default_rng(9)
    alphas = rng.uniform(0, 0.2, size=300)
    theta, kept = np.array([start, -start, 0.0]), 1.0
    for alpha in alphas:
        directions = np.array([-1.0, 1.0, rng.choice([-1.0, 1.0])])  # all outwards
        theta = theta - alpha * directions - alpha * LAMBDA * theta
        kept *= 1 - alpha * LAMBDA
        bound = objective.bounded_norm(start, kept, LAMBDA)
        assert np.abs(theta).max() <= bound * (1 + 1e-12)
    # Its worst case, a constant sign, attains the bound.
    assert np.abs(theta).max() == pytest.approx(bound, rel=1e-12)
    assert objective.bounded_norm(start, 0.0, LAMBDA) == objective.box(LAMBDA) == 2


def test_orthogonal_steps_stay_in_the_ball_of_the_operator_norm():
    rng = np.random.default_rng(10)
    X, target = np.zeros((4, 3)), 10 * rng.normal(size=(4, 3))
    for _ in range(2_000):
        U, _, Vt = np.linalg.svd(X - target, full_matrices=False)
        X = X - 0.01 * (U @ Vt) - 0.01 * LAMBDA * X
    largest = np.linalg.svd(X, compute_uv=False)
    # All targets lie beyond the ball, so all singular values rest at its radius.
    assert np.linalg.svd(target, compute_uv=False).min() > objective.box(LAMBDA)
    np.testing.assert_allclose(largest, objective.box(LAMBDA), rtol=1e-4)
    assert np.abs(X).max() < largest.max()


@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.999), (0.0, 0.99), (0.9, 0.95)])
def test_no_gradients_make_a_larger_step_of_adam_and_growing_ones_attain_it(b1, b2):
    rng = np.random.default_rng(11)
    bound = float(objective.largest_adam_step(b1, b2))

    def steps(gradients):
        m = v = 0.0
        for t, g in enumerate(gradients, start=1):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            yield abs(m / (1 - b1**t)) / np.sqrt(v / (1 - b2**t))

    for spread in (0.1, 1.0, 5.0):  # up to e^±15 between gradients
        wild = rng.normal(size=1_000) * np.exp(spread * rng.normal(size=1_000))
        assert max(steps(wild)) <= bound * (1 + 1e-12)
    # Gradients that grow by β₂/β₁ in each step are the equality of Cauchy and Schwarz;
    # at β₁ = 0 that is a spike after silence.
    steps_ago = np.arange(20_000)
    growing = (b1 / b2) ** steps_ago
    m = np.sum((1 - b1) * b1**steps_ago * growing)
    v = np.sum((1 - b2) * b2**steps_ago * growing**2)
    assert m / np.sqrt(v) == pytest.approx(bound, rel=1e-12)


def test_the_largest_step_of_adam_at_its_defaults():
    assert float(objective.largest_adam_step(0.9, 0.999)) == pytest.approx(
        7.27, abs=5e-3
    )
    assert float(objective.largest_adam_step(0.9, 0.9)) == pytest.approx(1)
