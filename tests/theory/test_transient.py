"""Norms on their way, against moments that are followed step by step, and walks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.theory import equilibrium, transient

ALPHA, G = 0.05, 3.0
starts = pytest.mark.parametrize("start", [0.1, 0.9, 1.0, 1.2, 5.0])


def at(norm, t, start, settled, delta):
    """A closed form at many steps."""
    return np.array([norm(float(step), start, settled, delta) for step in t])


def second_moments(start, delta, beta, steps):
    """E w_t² of w ← (1 − δ)w − αm, m ← βm + (1 − β)z, from w_0 and m_0 = 0."""
    A = np.array([[1 - delta, -ALPHA * beta], [0.0, beta]])
    B = (1 - beta) * np.array([-ALPHA, 1.0])
    P, found = np.diag([start**2, 0.0]), []
    for _ in range(steps):
        P = A @ P @ A.T + np.outer(B, B)
        found.append(P[0, 0])
    return np.array(found)


@starts
@pytest.mark.parametrize("delta", [1e-4, 0.1, 0.7])
def test_adamw_without_momentum_is_exact(start, delta):
    t = np.array([1, 7, 50, 400])
    settled = ALPHA / np.sqrt(1 - (1 - delta) ** 2)
    moments = second_moments(start * settled, delta, 0.0, 400)[t - 1]
    norms = at(transient.norm_adamw, t, start * settled, settled, delta)
    np.testing.assert_allclose(norms**2, moments, rtol=1e-12)


@starts
def test_adamw_with_momentum_is_late_by_the_momentum(start):
    """Of the gradient k steps ago (1 − β^k)² has come: 2/(1 − β) are missing at most.

    Each is 2δ of ‖w∞‖².
    """
    delta, beta, t = 1e-4, 0.9, np.array([500, 5_000, 20_000])
    settled = equilibrium.rms_adamw(ALPHA, delta)
    moments = second_moments(start * settled, delta, beta, 20_000)[t - 1]
    norms = at(transient.norm_adamw, t, start * settled, settled, delta)
    np.testing.assert_allclose(
        (norms / settled) ** 2, moments / settled**2, atol=4 * delta / (1 - beta)
    )


def sgd_squares(start, delta, C, steps):
    """‖w‖² ← (1 − δ)²‖w‖² + C²/‖w‖², the mean of a wide layer without momentum."""
    x, found = start**2, []
    for _ in range(steps):
        x = (1 - delta) ** 2 * x + C**2 / x
        found.append(x)
    return np.array(found)


@starts
def test_the_fourth_power_is_linear_for_sgd(start):
    delta, t = 1e-4, np.array([100, 3_000, 20_000])
    settled = equilibrium.norm_sgd(ALPHA, delta, 0.0, G)
    squares = sgd_squares(start * settled, delta, ALPHA * G, 20_000)[t - 1]
    norms = at(transient.norm_sgd, t, start * settled, settled, delta)
    # The next order is C⁴/‖w‖⁴ = 2δ‖w∞‖⁴·(‖w∞‖/‖w‖)⁴: near the start 0.1 it is large,
    # and 1/4 of its share in the sum is left of the norm; afterwards δ.
    worst = 0.01 if start < 0.5 else 2 * delta
    np.testing.assert_allclose(norms**2, squares, rtol=worst)


def test_what_the_fourth_power_leaves_out_is_proportional_to_delta():
    def excess(delta):
        t = int(0.3 / delta)
        settled = equilibrium.norm_sgd(ALPHA, delta, 0.0, G)
        exact = sgd_squares(2 * settled, delta, ALPHA * G, t)[-1]
        return exact / transient.norm_sgd(t, 2 * settled, settled, delta) ** 2 - 1

    assert abs(excess(1e-4)) < 1e-4
    assert excess(2e-4) / excess(1e-4) == pytest.approx(2.0, rel=0.01)


D = 4096


def walked(step, start, steps):
    """‖w_t‖ of a scale-invariant layer among random gradients."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=D)
    w *= start / np.linalg.norm(w)
    norms, m = [], np.zeros(D)
    for _ in range(steps):
        z = rng.normal(size=D)
        norm = np.sqrt(w @ w)
        g = G / norm / np.sqrt(D) * (z - w * (w @ z) / norm**2)
        w, m = step(w, g, m)
        norms.append(np.sqrt(w @ w))
    return np.array(norms)


def sgd(delta, beta):
    def step(w, g, m):
        m = beta * m + g
        return (1 - delta) * w - ALPHA * m, m

    return step


def sgd_with_l2(l2, beta):
    def step(w, g, m):
        m = beta * m + g + l2 * w
        return w - ALPHA * m, m

    return step


def signs(delta):
    return lambda w, g, m: ((1 - delta) * w - ALPHA * np.sign(g), m)


@pytest.mark.parametrize("start", [0.6, 3.0])
@pytest.mark.parametrize("kind", ["sgd", "heavy ball", "heavy ball with l2", "signs"])
def test_a_scale_invariant_layer_follows(kind, start):
    """Within 1.5 % at every step from the 50th, while the norm moves by more than 20 %.

    What a step adds to ‖w‖² is known to √(2/D) = 2 % of that step alone, and the steps
    have new directions. With momentum some 2/(1 − β) gradients are missing, each
    2δ/0.6⁴ of ‖w‖² at the lower start: 1.5 % of the norm together, at δ = 1e-4.
    """
    heavy = kind.startswith("heavy")
    delta, beta, steps = (1e-4, 0.9, 2_500) if heavy else (2e-3, 0.0, 250)
    settled = equilibrium.norm_sgd(ALPHA, delta, beta, G)
    step, norm = sgd(delta, beta), transient.norm_sgd
    if kind == "heavy ball with l2":
        step = sgd_with_l2(delta * (1 - beta) / ALPHA, beta)
    if kind == "signs":
        settled = equilibrium.rms_adamw(ALPHA, delta) * np.sqrt(D)
        step, norm = signs(delta), transient.norm_adamw
    found = walked(step, start * settled, steps)[49:]
    t = np.arange(50, steps + 1)
    expected = at(norm, t, start * settled, settled, delta)
    np.testing.assert_allclose(found, expected, rtol=0.015)
    assert abs(np.log(found[-1] / (start * settled))) > np.log(1.2)


FORMS = {
    "adamw": (transient.norm_adamw, transient.steps_adamw),
    "sgd": (transient.norm_sgd, transient.steps_sgd),
}


@pytest.mark.parametrize(("norm", "steps"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("start", "then"), [(0.2, 0.95), (7.0, 1.05)])
def test_after_the_steps_the_norm_is_just_near(norm, steps, start, then):
    t = steps(start * 4.0, 4.0, 1e-3, 0.05)
    assert norm(t, start * 4.0, 4.0, 1e-3) == pytest.approx(then * 4.0, rel=1e-12)
    assert t > 100


@pytest.mark.parametrize("steps", [transient.steps_adamw, transient.steps_sgd])
def test_a_start_that_is_near_takes_no_steps(steps):
    for start in (0.96, 1.0, 1.04):
        assert steps(start, 1.0, 1e-3, 0.05) == 0
        assert jnp.isfinite(jax.grad(steps, argnums=2)(start, 1.0, 1e-3, 0.05))


def test_from_far_above_decay_acts_alone_and_sgd_takes_as_long_as_adamw():
    """‖w_0‖/‖w∞‖ = 10⁶ is forgotten at δ per step by both: ln 10⁶/δ and a little."""
    times = [
        f(1e6, 1.0, 1e-3, 0.5) for f in (transient.steps_adamw, transient.steps_sgd)
    ]
    alone = np.log(1e6) / -np.log(1 - 1e-3)
    # The rest is −log((1.5)^p − 1)/p of a time of 1/δ: −0.11 and −0.35.
    np.testing.assert_allclose(
        (np.array(times) - alone) * 1e-3, [-0.11, -0.35], atol=0.01
    )


def test_under_a_schedule_the_squares_follow_their_recursions():
    """Constant rates are the closed forms; with none at all the norm stands still."""
    n, delta = 3_000, 1e-4
    alphas, deltas = jnp.full(n, ALPHA), jnp.full(n, delta)
    t = np.arange(1, n + 1)
    settled = ALPHA * np.sqrt(50 / (1 - (1 - delta) ** 2))
    np.testing.assert_allclose(
        transient.norms_adamw(9.0, alphas, deltas, 50),
        at(transient.norm_adamw, t, 9.0, settled, delta),
        rtol=1e-11,  # 3,000 roundings
    )
    sgd_norms = transient.norms_sgd(9.0, alphas, deltas, 0.9, G)
    squares = sgd_squares(9.0, delta, ALPHA * G / (1 - 0.9), n)
    np.testing.assert_allclose(sgd_norms**2, squares, rtol=1e-11)
    for still in (
        transient.norms_adamw(9.0, 0 * alphas, 0 * deltas, 50),
        transient.norms_sgd(9.0, 0 * alphas, 0 * deltas, 0.9, G),
    ):
        np.testing.assert_allclose(still, 9.0, rtol=1e-12)


def test_under_a_falling_schedule_a_walk_follows_too():
    n, l2, beta = 1_500, 0.008, 0.9
    alphas = ALPHA / (1 + np.arange(n) / 500)
    start = equilibrium.norm_sgd(ALPHA, ALPHA * l2 / (1 - beta), beta, G)
    rates = iter(alphas)

    def step(w, g, m):
        m = beta * m + g + l2 * w
        return w - next(rates) * m, m

    found = walked(step, start, n)
    deltas = jnp.array(alphas * l2 / (1 - beta))
    expected = transient.norms_sgd(start, jnp.array(alphas), deltas, beta, G)
    np.testing.assert_allclose(found[49:], expected[49:], rtol=0.015)  # as above
    assert found[-1] < 0.85 * start
