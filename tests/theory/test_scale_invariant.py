"""The symmetry exponents, against update rules written out in NumPy."""

import numpy as np
import pytest

from wdjax.theory import scale_invariant

BETA, B1, B2, EPS = 0.9, 0.9, 0.99, 1e-3
C = 4.0  # a power of two, and so exact in floating point
STEPS = 60


def gradient(w):
    """Of F(w/‖w‖) for F(x) = Σ x⁴ + a·x, which is scale-invariant."""
    norm = np.sqrt(w @ w)
    x = w / norm
    dF = 4 * x**3 + np.array([1.0, -2.0, 0.5])
    return (dF - (dF @ x) * x) / norm


def sgd(w, alpha, l2=0.0, decay_rate=0.0, eps=None):
    m, visited = np.zeros_like(w), []
    for _ in range(STEPS):
        m = BETA * m + gradient(w) + l2 * w
        w = w - alpha * m - decay_rate * w
        visited.append(w)
    return np.array(visited)


def adam(w, alpha, l2=0.0, decay_rate=0.0, eps=EPS):
    m, v, visited = np.zeros_like(w), np.zeros_like(w), []
    for t in range(1, STEPS + 1):
        g = gradient(w) + l2 * w
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g * g
        direction = (m / (1 - B1**t)) / (np.sqrt(v / (1 - B2**t)) + eps)
        w = w - alpha * direction - decay_rate * w
        visited.append(w)
    return np.array(visited)


def lion(w, alpha, l2=0.0, decay_rate=0.0):
    m, visited = np.zeros_like(w), []
    for _ in range(STEPS):
        g = gradient(w) + l2 * w
        direction = np.sign(B1 * m + (1 - B1) * g)
        m = B2 * m + (1 - B2) * g
        w = w - alpha * direction - decay_rate * w
        visited.append(w)
    return np.array(visited)


FAMILIES = {
    "SGD + L2": (
        scale_invariant.SGD_L2,
        lambda w, alpha, lam, eps: sgd(w, alpha, l2=lam),
        -1,
    ),
    "SGDW, Optax": (
        scale_invariant.SGDW_OPTAX,
        lambda w, alpha, lam, eps: sgd(w, alpha, decay_rate=alpha * lam),
        -1,
    ),
    "SGDW, paper": (
        scale_invariant.SGDW_PAPER,
        lambda w, alpha, lam, eps: sgd(w, alpha, decay_rate=lam),
        0,
    ),
    "Adam + L2": (
        scale_invariant.ADAM_L2,
        lambda w, alpha, lam, eps: adam(w, alpha, l2=lam, eps=eps),
        -2,
    ),
    "AdamW, Optax": (
        scale_invariant.ADAMW_OPTAX,
        lambda w, alpha, lam, eps: adam(w, alpha, decay_rate=alpha * lam, eps=eps),
        -1,
    ),
    "AdamW, paper": (
        scale_invariant.ADAMW_PAPER,
        lambda w, alpha, lam, eps: adam(w, alpha, decay_rate=lam, eps=eps),
        0,
    ),
    "Lion + L2": (
        scale_invariant.SIGN_L2,
        lambda w, alpha, lam, eps: lion(w, alpha, l2=lam),
        -2,
    ),
    "Lion, Optax": (
        scale_invariant.SIGN_OPTAX,
        lambda w, alpha, lam, eps: lion(w, alpha, decay_rate=alpha * lam),
        -1,
    ),
    "Lion, paper": (
        scale_invariant.SIGN_PAPER,
        lambda w, alpha, lam, eps: lion(w, alpha, decay_rate=lam),
        0,
    ),
}


@pytest.mark.parametrize(("symmetry", "run", "_"), FAMILIES.values(), ids=FAMILIES)
def test_the_whole_trajectory_scales(symmetry, run, _):
    w, alpha, lam = np.array([0.3, 1.0, -0.7]), 0.05, 0.02
    visited = run(w, alpha, lam, EPS)
    p, q = symmetry
    scaled = run(C * w, C**p * alpha, C**q * lam, EPS / C)
    # Powers of two only move exponents, so every bit agrees.
    np.testing.assert_array_equal(scaled, C * visited)


@pytest.mark.parametrize(("symmetry", "run", "_"), FAMILIES.values(), ids=FAMILIES)
def test_another_decay_does_not_scale(symmetry, run, _):
    """The decay matters at these settings, so the test above is not vacuous."""
    w, alpha, lam = np.array([0.3, 1.0, -0.7]), 0.05, 0.02
    visited = run(w, alpha, lam, EPS)
    p, q = symmetry
    scaled = run(C * w, C**p * alpha, C ** (q - 1) * lam, EPS / C)
    assert np.abs(scaled - C * visited).max() > 1e-3


@pytest.mark.parametrize(("symmetry", "_", "slope"), FAMILIES.values(), ids=FAMILIES)
def test_the_slopes_are_those_of_the_figures(symmetry, _, slope):
    assert scale_invariant.predicted_slope(symmetry) == slope


@pytest.mark.parametrize(("symmetry", "run", "_"), FAMILIES.values(), ids=FAMILIES)
def test_the_equivalent_decay_visits_the_same_functions(symmetry, run, _):
    w, alpha, lam = np.array([0.3, 1.0, -0.7]), 0.05, 0.02
    new_alpha = C**symmetry.learning_rate * alpha
    new = scale_invariant.equivalent_decay(symmetry, lam, alpha, new_alpha)
    scaled = run(C * w, new_alpha, new, EPS / C)
    # A quotient and a power, and 60 steps of what they round.
    np.testing.assert_allclose(scaled, C * run(w, alpha, lam, EPS), rtol=1e-12)


def test_the_equivalent_decay_of_the_same_learning_rate_is_the_same():
    for symmetry, *_ in FAMILIES.values():
        same = scale_invariant.equivalent_decay(symmetry, 0.02, 0.3, 0.3)
        assert same == pytest.approx(0.02, rel=1e-15)
