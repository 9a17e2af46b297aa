"""Equilibria against second moments solved exactly, and against random walks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.theory import equilibrium, stationary

RATES = [(0.3, 1e-5, 0.9), (0.1, 0.02, 0.0), (0.05, 0.2, 0.9), (1.0, 0.7, 0.5)]
rates = pytest.mark.parametrize(("alpha", "delta", "beta"), RATES)
EXACT = 1e-9  # float64, of which the smallest δ cancels five digits or so


def moments(A, B):
    """Variance and lag-1 correlation of the first entry of x' = Ax + Bξ, Var ξ = 1.

    P = APAᵀ + BBᵀ as one linear system: nothing of the closed forms is in it.
    """
    n = len(A)
    P = np.linalg.solve(np.eye(n * n) - np.kron(A, A), np.outer(B, B).ravel())
    P = P.reshape(n, n)
    return P[0, 0], (A @ P)[0, 0] / P[0, 0]


def decoupled(alpha, delta, beta, fresh):
    """(w, m) under m ← βm + fresh·g and w ← (1 − δ)w − αm."""
    A = np.array([[1 - delta, -alpha * beta], [0.0, beta]])
    return moments(A, fresh * np.array([-alpha, 1.0]))


def coupled(alpha, lam, beta):
    """(w, m) under m ← βm + g + λw and w ← w − αm."""
    A = np.array([[1 - alpha * lam, -alpha * beta], [lam, beta]])
    return moments(A, np.array([-alpha, 1.0]))


@rates
def test_adamw_has_the_stationary_moments(alpha, delta, beta):
    variance, correlation = decoupled(alpha, delta, beta, 1 - beta)
    rms = stationary.rms_adamw(alpha, delta, beta)
    np.testing.assert_allclose(rms, np.sqrt(variance), rtol=EXACT)
    angle = stationary.rotation_adamw(delta, beta)
    np.testing.assert_allclose(1 - np.cos(angle), 1 - correlation, rtol=1e-7)


@rates
def test_sgdw_has_the_stationary_moments(alpha, delta, beta):
    """‖w‖² is the variance times the gradient's G²/‖w‖²."""
    variance, correlation = decoupled(alpha, delta, beta, 1.0)
    norm = stationary.norm_sgdw(alpha, delta, beta, 7.0)
    np.testing.assert_allclose(norm**2, variance * 49.0 / norm**2, rtol=EXACT)
    angle = stationary.rotation_sgdw(delta, beta)
    np.testing.assert_allclose(1 - np.cos(angle), 1 - correlation, rtol=1e-7)


@rates
def test_sgd_with_l2_has_the_stationary_moments(alpha, delta, beta):
    lam = delta / alpha
    variance, correlation = coupled(alpha, lam, beta)
    norm = stationary.norm_sgd_l2(alpha, lam, beta, 7.0)
    np.testing.assert_allclose(norm**2, variance * 49.0 / norm**2, rtol=EXACT)
    angle = stationary.rotation_sgd_l2(alpha, lam, beta)
    np.testing.assert_allclose(1 - np.cos(angle), 1 - correlation, rtol=1e-7)


@pytest.mark.parametrize("delta", [1e-3, 0.02, 0.5, 1.0])
@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.99), (0.95, 0.98), (0.0, 0.99)])
def test_lion_has_the_sum_over_its_lags(delta, b1, b2):
    """The filter that Lion takes the sign of, written out, and its correlations."""
    lags = 4000
    taps = np.concatenate([[1 - b1], b1 * (1 - b2) * b2 ** np.arange(lags)])
    overlap = np.array([taps[: len(taps) - k] @ taps[k:] for k in range(lags)])
    c = 2 / np.pi * np.arcsin(overlap[1:] / overlap[0])
    rho = 1 - delta
    S = 1 + 2 * np.sum(rho ** np.arange(1, lags) * c)
    variance = S / (1 - rho**2)
    rms = stationary.rms_lion(0.3, delta, b1, b2)
    np.testing.assert_allclose(rms, 0.3 * np.sqrt(variance), rtol=EXACT)
    # E w_t·w_{t+1}, from w_{t+1} = ρw_t − r_t and w_t = −Σ_{k≥1} ρ^(k−1) r_{t−k}.
    beside = np.sum(rho ** np.arange(lags - 1) * c)
    correlation = rho + beside / variance
    angle = stationary.rotation_lion(delta, b1, b2)
    np.testing.assert_allclose(np.cos(angle), correlation, rtol=EXACT, atol=1e-15)


@pytest.mark.parametrize("delta", [1e-3, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_signs_of_a_momentum_are_those_of_lion_with_equal_betas(delta, beta):
    """(1 − β)g + βm is then the momentum itself, with c_k = β^k; another formula."""
    c = beta ** np.arange(1.0, 400)  # 0.9⁴⁰⁰ is 5e-19
    rms = stationary.rms_sign(0.3, delta, jnp.array(c))
    lion = stationary.rms_lion(0.3, delta, beta, beta)
    np.testing.assert_allclose(rms, lion, rtol=EXACT)
    angle = stationary.rotation_sign(delta, jnp.array(c))
    expected = stationary.rotation_lion(delta, beta, beta)
    np.testing.assert_allclose(angle, expected, rtol=EXACT)


@pytest.mark.parametrize("delta", [1e-3, 0.3, 1.0])
def test_signs_without_memory_are_a_walk_of_unit_steps(delta):
    """A sum of independent ±α: V = α²/(1 − ρ²), and w_t·w_{t+1} = ρ‖w_t‖²."""
    none = jnp.zeros(3)
    variance = 0.3**2 * np.sum((1 - delta) ** (2 * np.arange(40_000)))
    rms = stationary.rms_sign(0.3, delta, none)
    np.testing.assert_allclose(rms, np.sqrt(variance), rtol=EXACT)
    angle = stationary.rotation_sign(delta, none)
    np.testing.assert_allclose(angle, np.arccos(1 - delta), rtol=EXACT)


def test_signs_of_an_alternating_average_are_a_shorter_walk():
    """n_t = g_t − bg_{t−1} has c_1 = −b/(1 + b²): a filter that no momentum is."""
    rng, b, steps = np.random.default_rng(0), 0.8, 400
    g = rng.normal(size=(steps + 1, 20_000))
    signs = np.sign(g[1:] - b * g[:-1])
    w = ALPHA * (1 - DELTA) ** np.arange(steps)[::-1] @ signs  # 0.98⁴⁰⁰ is 3e-4
    rms = stationary.rms_sign(ALPHA, DELTA, jnp.array([-b / (1 + b**2)]))
    # 1/√(2·20,000) is 0.5 %: 3 standard errors. Without memory it would be 34 % more.
    np.testing.assert_allclose(np.sqrt(np.mean(w**2)), rms, rtol=0.015)


def test_small_rates_give_the_published_leading_orders():
    delta = 1e-9
    np.testing.assert_allclose(
        stationary.rotation_adamw(delta, 0.9),
        np.sqrt(2 * delta * 0.1 / 1.9),
        rtol=1e-8,
    )
    np.testing.assert_allclose(
        stationary.rms_adamw(0.3, delta, 0.9), 0.3 / np.sqrt(2 * delta), rtol=1e-7
    )
    np.testing.assert_allclose(
        stationary.rotation_sgd_l2(0.1, delta / 0.1, 0.9),
        np.sqrt(2 * delta / 1.9),
        rtol=1e-8,
    )
    # Lion's has arcsin c ≈ c for c_0 = 1 and c_k ≤ 0.35: 1 + 2Σ is 71.0 for 72.1.
    published = np.sqrt(np.pi * delta * (0.01 + 0.81 * 0.01 / 1.99))
    np.testing.assert_allclose(
        stationary.rotation_lion(delta, 0.9, 0.99), published, rtol=8e-3
    )


def test_the_leading_orders_are_left_behind_in_proportion_to_delta():
    """Those of the other module, with λ₂ = δ(1 − β)/α at β = 0.9 and α = 0.1."""
    pairs = {
        "rotation": (
            lambda d: stationary.rotation_adamw(d, 0.9),
            lambda d: equilibrium.rotation(d, 0.9),
        ),
        "rms": (
            lambda d: stationary.rms_adamw(0.1, d, 0.9),
            lambda d: equilibrium.rms_adamw(0.1, d),
        ),
        "norm": (
            lambda d: stationary.norm_sgdw(0.1, d, 0.9, 3.0),
            lambda d: equilibrium.norm_sgd(0.1, d, 0.9, 3.0),
        ),
        "norm under L2": (
            lambda d: stationary.norm_sgd_l2(0.1, d, 0.9, 3.0),
            lambda d: equilibrium.norm_sgd(0.1, d, 0.9, 3.0),
        ),
    }
    for name, (exact, leading) in pairs.items():
        small, double = (exact(d) / leading(d) - 1 for d in (1e-4, 2e-4))
        assert abs(small) < 1e-3, name  # δ/(1 − β)
        assert double / small == pytest.approx(2.0, rel=0.01), name


D, BURN, STEPS = 4096, 5000, 1200  # v̂ forgets the start to e⁻⁵; then 24 τ of 50 steps


def walk(step, w):
    """RMS and rotation of a scale-invariant layer among random gradients.

    Gradients are Gaussian noise, made orthogonal to w, of norm 3/‖w‖ on average.
    """
    rng = np.random.default_rng(0)
    mean_square, cosines = [], []
    state = None
    for t in range(BURN + STEPS):
        z = rng.normal(size=D)
        norm = np.sqrt(w @ w)
        g = 3 / norm / np.sqrt(D) * (z - w * (w @ z) / norm**2)
        new, state = step(w, g, state, t)
        if t >= BURN:
            mean_square.append(new @ new / D)
            cosines.append(w @ new / np.sqrt((w @ w) * (new @ new)))
        w = new
    return np.sqrt(np.mean(mean_square)), np.arccos(np.mean(cosines))


ALPHA, DELTA, BETA = 0.05, 0.02, 0.9


def adamw(w, g, state, t):
    m, v = state or (0.0, 0.0)
    m, v = BETA * m + (1 - BETA) * g, 0.999 * v + 0.001 * g**2
    m_hat, v_hat = m / (1 - BETA ** (t + 1)), v / (1 - 0.999 ** (t + 1))
    return (1 - DELTA) * w - ALPHA * m_hat / np.sqrt(v_hat), (m, v)


def sgdw(w, g, m, t):
    m = g if m is None else BETA * m + g
    return (1 - DELTA) * w - ALPHA * m, m


def sgd_l2(w, g, m, t):
    g = g + DELTA / ALPHA * w
    m = g if m is None else BETA * m + g
    return w - ALPHA * m, m


def lion(w, g, m, t):
    m = 0.0 if m is None else m
    r = np.sign(0.9 * m + 0.1 * g)
    return (1 - DELTA) * w - ALPHA * r, 0.99 * m + 0.01 * g


def rms_of(norm):
    return norm / np.sqrt(D)


WALKS = {
    "adamw": (
        adamw,
        stationary.rms_adamw(ALPHA, DELTA, BETA),
        stationary.rotation_adamw(DELTA, BETA),
    ),
    "sgdw": (
        sgdw,
        rms_of(stationary.norm_sgdw(ALPHA, DELTA, BETA, 3.0)),
        stationary.rotation_sgdw(DELTA, BETA),
    ),
    "sgd_l2": (
        sgd_l2,
        rms_of(stationary.norm_sgd_l2(ALPHA, DELTA / ALPHA, BETA, 3.0)),
        stationary.rotation_sgd_l2(ALPHA, DELTA / ALPHA, BETA),
    ),
    "lion": (
        lion,
        stationary.rms_lion(ALPHA, DELTA, 0.9, 0.99),
        stationary.rotation_lion(DELTA, 0.9, 0.99),
    ),
}


@pytest.mark.parametrize(("step", "rms", "rotation"), WALKS.values(), ids=WALKS)
def test_a_scale_invariant_layer_among_random_gradients_ends_there(step, rms, rotation):
    """Within 1 %, half the tolerance of the claim `equilibrium`.

    Sampling: √(2/D) of ‖w‖², averaged over some 24 independent stretches, is 0.3 % of
    the RMS. Adam's v̂, a mean of some 1,000 squares, raises E m²/v̂ by about 0.1 %.
    """
    start = np.random.default_rng(1).normal(size=D) * 2 * float(rms)
    found_rms, found_rotation = walk(step, start)
    np.testing.assert_allclose(found_rms, rms, rtol=0.01)
    np.testing.assert_allclose(found_rotation, rotation, rtol=0.01)


def test_every_form_is_traceable_and_differentiable():
    deltas = jnp.array([1e-4, 1e-2])
    for form in (
        lambda d: stationary.rotation_adamw(d, 0.9),
        lambda d: stationary.rms_adamw(0.1, d, 0.9),
        lambda d: stationary.norm_sgdw(0.1, d, 0.9, 1.0),
        lambda d: stationary.rotation_sgd_l2(0.1, d, 0.9),
        lambda d: stationary.norm_sgd_l2(0.1, d, 0.9, 1.0),
        lambda d: stationary.rotation_lion(d, 0.9, 0.99),
        lambda d: stationary.rms_lion(0.1, d, 0.9, 0.99),
        lambda d: stationary.rms_sign(0.1, d, jnp.array([0.5, 0.2])),
        lambda d: stationary.rotation_sign(d, jnp.array([0.5, 0.2])),
    ):
        values = jax.jit(jax.vmap(form))(deltas)
        np.testing.assert_allclose(values, [form(d) for d in deltas], rtol=1e-12)
        assert np.isfinite(jax.vmap(jax.grad(form))(deltas)).all()


def test_decay_alone_without_memory_turns_by_its_own_rate():
    """Without momentum w_{t+1}·w_t = ρ‖w_t‖², whatever the steps are."""
    for delta in (1e-3, 0.3, 1.0):
        expected = np.arccos(1 - delta)
        assert stationary.rotation_adamw(delta, 0.0) == pytest.approx(expected)
        assert stationary.rotation_lion(delta, 0.0, 0.99) == pytest.approx(expected)
        assert stationary.rotation_sgd_l2(delta, 1.0, 0.0) == pytest.approx(expected)
