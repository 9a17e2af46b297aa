"""Gradient over weight norm, against random walks under schedules of their own."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.theory import annealing, equilibrium, transient

BETA, G, D = 0.9, 3.0, 2048


def walk(step, start, alphas):
    """‖g_t‖/‖w_t‖ of a scale-invariant layer among random gradients."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=D)
    w *= start / np.linalg.norm(w)
    state, ratios = None, []
    for t, alpha in enumerate(alphas):
        z = rng.normal(size=D)
        norm = np.sqrt(w @ w)
        g = G / norm / np.sqrt(D) * (z - w * (w @ z) / norm**2)
        ratios.append(np.sqrt(g @ g) / norm)
        w, state = step(w, g, state, t, alpha)
    return np.array(ratios)


def sgd_with(l2):
    """Of a penalty that may depend on the learning rate."""

    def step(w, g, m, t, alpha):
        g = g + l2(alpha) * w
        m = g if m is None else BETA * m + g
        return w - alpha * m, m

    return step


def adamw_with(decay):
    def step(w, g, state, t, alpha):
        m, v = state or (0.0, 0.0)
        m, v = BETA * m + (1 - BETA) * g, 0.99 * v + 0.01 * g**2
        r = m / (1 - BETA ** (t + 1)) / np.sqrt(v / (1 - 0.99 ** (t + 1)))
        return (1 - alpha * decay(alpha)) * w - alpha * r, (m, v)

    return step


# α falls by 10 as 1/(1 + t/T), with a lag of (1 − 1/(pδ₀T))⁻¹; the first half forgets
# the start. The lag takes the power 2/p of the ratio.
PEAK, T = 0.5, 400
ALPHAS = PEAK / (1 + np.arange(9 * T) / T)
DELTA = 1e-2
L2 = DELTA * (1 - BETA) / PEAK
DECAY = DELTA / PEAK


def corrected(decay):
    return lambda alpha: decay * alpha / PEAK


def at(ratio, *settings):
    """A ratio at every step; settings that depend on the step are arrays."""
    rows = np.broadcast_arrays(ALPHAS, *settings)
    return np.array([ratio(*map(float, row)) for row in zip(*rows, strict=True)])


def adamw_ratio(alpha, decay):
    return annealing.adamw_ratio(alpha, decay, G, D)


def lagging(power):
    return annealing.lag(DELTA, 1 / T, power) ** (-2 / power)


def last_half(x):
    return np.broadcast_to(x, ALPHAS.shape)[len(ALPHAS) // 2 :]


def within(found, expected, tolerance):
    """Averaged over the half: √(1/2D) = 1.6 % of a norm, some 5 times independent."""
    quotient = np.mean(last_half(found) / last_half(expected))
    assert quotient == pytest.approx(1.0, rel=tolerance)


def slope(ratios):
    """Of log ratio on log α, over the last half."""
    return np.polyfit(np.log(last_half(ALPHAS)), np.log(last_half(ratios)), 1)[0]


SGD_START = equilibrium.norm_sgd(PEAK, DELTA, BETA, G)
ADAMW_START = equilibrium.rms_adamw(PEAK, DELTA) * D**0.5


def test_sgd_with_l2_rises_as_the_root_of_one_over_alpha():
    ratios = walk(sgd_with(lambda alpha: L2), SGD_START, ALPHAS)
    expected = at(annealing.sgd_l2_ratio, L2, BETA) * lagging(transient.SGD_POWER)
    within(ratios, expected, 0.02)
    assert slope(ratios) == pytest.approx(annealing.sgd_exponent(1), abs=0.05)


def test_sgd_with_a_corrected_penalty_stays():
    ratios = walk(sgd_with(corrected(L2)), SGD_START, ALPHAS)
    lam = [annealing.corrected_decay(L2, float(a), PEAK) for a in ALPHAS]
    expected = at(annealing.sgd_l2_ratio, lam, BETA)
    assert np.ptp(expected) < 1e-12
    within(ratios, expected, 0.03)  # δ/(1 − β) = 10 % of a fourth power at the peak
    assert slope(ratios) == pytest.approx(annealing.sgd_exponent(2), abs=0.05)


def test_adamw_rises_as_one_over_alpha():
    ratios = walk(adamw_with(lambda alpha: DECAY), ADAMW_START, ALPHAS)
    expected = at(adamw_ratio, DECAY)
    within(ratios, expected * lagging(transient.ADAMW_POWER), 0.03)  # v̂'s mean of 100
    assert slope(ratios) == pytest.approx(annealing.adamw_exponent(1), abs=0.05)


def test_adamw_with_a_corrected_decay_stays():
    ratios = walk(adamw_with(corrected(DECAY)), ADAMW_START, ALPHAS)
    lam = [annealing.corrected_decay(DECAY, float(a), PEAK) for a in ALPHAS]
    expected = at(adamw_ratio, lam)
    assert np.ptp(expected) < 1e-12
    within(ratios, expected, 0.05)  # δ/(1 − β) = 10 % of a square at the peak
    assert slope(ratios) == pytest.approx(annealing.adamw_exponent(2), abs=0.05)


@pytest.mark.parametrize("alpha", [1e-3, 0.5])
def test_the_ratios_are_those_of_the_equilibrium_s_norms(alpha):
    norm = equilibrium.norm_sgd(alpha, 1e-4, BETA, G)
    ratio = annealing.sgd_ratio(alpha, 1e-4, BETA)
    assert ratio == pytest.approx(G / norm**2, rel=1e-12)
    l2 = 1e-4 * (1 - BETA) / alpha
    assert annealing.sgd_l2_ratio(alpha, l2, BETA) == pytest.approx(ratio, rel=1e-12)
    norm = equilibrium.rms_adamw(alpha, 1e-4) * D**0.5
    ratio = annealing.adamw_ratio(alpha, 1e-4 / alpha, G, D)
    assert ratio == pytest.approx(G / norm**2, rel=1e-12)


@pytest.mark.parametrize("a", [0.0, 1.0, 2.0])
def test_the_exponents_are_those_of_a_decay_rate_that_is_a_power(a):
    alphas = [0.01, 0.1]
    sgd = [annealing.sgd_ratio(alpha, 1e-3 * alpha**a, BETA) for alpha in alphas]
    adamw = [adamw_ratio(alpha, 1e-3 * alpha ** (a - 1)) for alpha in alphas]
    assert np.log10(sgd[1] / sgd[0]) == pytest.approx(annealing.sgd_exponent(a))
    assert np.log10(adamw[1] / adamw[0]) == pytest.approx(annealing.adamw_exponent(a))


@pytest.mark.parametrize("horizon", [3_000, 30_000])
def test_the_lag_is_that_of_the_recursion_under_one_over_time(horizon):
    """Followed step by step until the start is forgotten; δ is left of continuity."""
    delta, n = 1e-3, 20 * horizon
    alphas = PEAK / (1 + jnp.arange(n) / horizon)
    deltas = delta * alphas / PEAK
    norm = transient.norms_adamw(1.0, alphas, deltas, D)[-1]
    settled = equilibrium.rms_adamw(alphas[-1], deltas[-1]) * D**0.5
    expected = annealing.lag(delta, 1 / horizon, transient.ADAMW_POWER)
    assert (norm / settled) ** 2 == pytest.approx(expected, rel=2 * delta)
    norm = transient.norms_sgd(1.0, alphas, deltas, BETA, G)[-1]
    settled = equilibrium.norm_sgd(alphas[-1], deltas[-1], BETA, G)
    expected = annealing.lag(delta, 1 / horizon, transient.SGD_POWER)
    assert (norm / settled) ** 4 == pytest.approx(expected, rel=2 * delta)


def test_a_rate_that_stands_still_has_no_lag():
    assert annealing.lag(1e-3, 0.0, 2) == 1
