"""Norms and rotations in balance, against random walks solved and simulated."""

import numpy as np
import pytest

from wdjax.theory import equilibrium

ALPHA, BETA, G = 0.05, 0.9, 3.0


def stationary_variance(step, noise):
    """Of the first entry of x, where x ← step·x + noise·z and z is white."""
    n = len(step)
    lyapunov = np.eye(n * n) - np.kron(step, step)
    return np.linalg.solve(lyapunov, np.outer(noise, noise).ravel())[0]


def adamw_walk(delta):
    """The variance of w ← (1 − δ)w − αm', m' = βm + (1 − β)z, without approximation."""
    step = np.array([[1 - delta, -ALPHA * BETA], [0.0, BETA]])
    return stationary_variance(step, (1 - BETA) * np.array([-ALPHA, 1.0]))


def sgdw_walk(delta):
    """Of w ← (1 − δ)w − αm', m' = βm + z."""
    step = np.array([[1 - delta, -ALPHA * BETA], [0.0, BETA]])
    return stationary_variance(step, np.array([-ALPHA, 1.0]))


def sgd_l2_walk(l2):
    """Of w ← w − αm', m' = βm + z + λ₂w."""
    step = np.array([[1 - ALPHA * l2, -ALPHA * BETA], [l2, BETA]])
    return stationary_variance(step, np.array([-ALPHA, 1.0]))


# The formulas are the leading order in δ/(1 − β), here 1e-4: a few times that is left.
DELTA, LEADING = 1e-5, 3e-4


def test_the_size_under_adamw_is_that_of_the_walk():
    rms = equilibrium.rms_adamw(ALPHA, DELTA)
    assert rms == pytest.approx(adamw_walk(DELTA) ** 0.5, rel=LEADING)


def test_the_norm_under_sgd_is_that_of_the_walk():
    """The noise has norm G/‖w‖ and the walk answers ‖w‖² = V·G²/‖w‖²."""
    norm = equilibrium.norm_sgd(ALPHA, DELTA, BETA, G)
    assert norm == pytest.approx((sgdw_walk(DELTA) * G**2) ** 0.25, rel=LEADING)


def test_the_norm_under_an_l2_penalty_is_that_of_its_fixed_point_s_decay():
    l2 = DELTA * (1 - BETA) / ALPHA
    norm = equilibrium.norm_sgd(ALPHA, DELTA, BETA, G)
    assert norm == pytest.approx((sgd_l2_walk(l2) * G**2) ** 0.25, rel=LEADING)
    in_terms_of_l2 = (ALPHA * G**2 / (2 * l2 * (1 - BETA))) ** 0.25
    assert norm == pytest.approx(in_terms_of_l2, rel=1e-12)


def test_the_rotation_is_the_length_of_a_step_by_the_norm():
    """Of a step αm: E m² = (1 − β)/(1 + β) in Adam's average, 1/(1 − β²) in a sum."""
    phi = equilibrium.rotation(DELTA, BETA)
    in_an_average = ALPHA * ((1 - BETA) / (1 + BETA)) ** 0.5
    assert phi == pytest.approx(in_an_average / adamw_walk(DELTA) ** 0.5, rel=LEADING)
    in_a_sum = ALPHA / (1 - BETA**2) ** 0.5
    assert phi == pytest.approx(in_a_sum / sgdw_walk(DELTA) ** 0.5, rel=LEADING)
    l2 = DELTA * (1 - BETA) / ALPHA
    assert phi == pytest.approx((2 * ALPHA * l2 / (1 + BETA)) ** 0.5, rel=1e-12)


def adam_l2_walk(l2, s):
    """Of w ← w − αm'/√v, m' = βm + (1 − β)(sz + λ₂w), where v = s² + λ₂²·Var w.

    The second moment is held at what it is in the mean, which is found by iteration.
    """
    variance = 0.0
    for _ in range(200):
        rate = ALPHA * (1 - BETA) / (s**2 + l2**2 * variance) ** 0.5
        step = np.array([[1 - rate * l2, -rate * BETA], [l2, BETA]])
        variance = stationary_variance(step, s * np.array([-rate, 1.0]))
    return variance


@pytest.mark.parametrize("s", [1e-3, 1.0, 30.0])
def test_the_size_under_adam_with_l2_is_that_of_the_walk(s):
    l2 = DELTA * s / ALPHA  # so that δ = αλ₂/s
    rms = equilibrium.rms_adam_l2(ALPHA, l2, s)
    assert rms == pytest.approx(adam_l2_walk(l2, s) ** 0.5, rel=LEADING)


def test_the_penalty_s_part_of_the_second_moment_is_of_the_order_of_delta():
    """Its next term: −δ/4 for the part itself and +δκ/2 for the walk, κ = 0.1/1.9."""
    s, deltas = 2.0, np.array([1e-4, 2e-4])
    excess = [
        adam_l2_walk(delta * s / ALPHA, s)
        / equilibrium.rms_adam_l2(ALPHA, delta * s / ALPHA, s) ** 2
        - 1
        for delta in deltas
    ]
    expected = deltas * (-1 / 4 + (1 - BETA) / (1 + BETA) / 2)
    np.testing.assert_allclose(excess, expected, rtol=0.01)  # up to δ² again


def test_the_norm_under_adam_with_l2_is_that_of_its_entries():
    """Each entry's gradient is its σ_i by the norm that all of them have."""
    sigma, l2 = np.array([0.1, 1.0, 5.0]), 1e-6
    norm = equilibrium.norm_adam_l2(ALPHA, l2, sigma.sum())
    squares = [adam_l2_walk(l2, s / norm) for s in sigma]
    assert norm == pytest.approx(sum(squares) ** 0.5, rel=LEADING)


def test_the_rotation_under_adam_with_l2_is_the_length_of_a_step_by_the_norm():
    """In the letters of one paper: κ^½·(2α²λ₂d/G)^(1/3), for entries alike."""
    d, l2 = 50, 1e-6
    norm = equilibrium.norm_adam_l2(ALPHA, l2, d**0.5 * G)
    phi = equilibrium.rotation_adam_l2(ALPHA, norm, BETA, d)
    kappa = (1 - BETA) / (1 + BETA)
    expected = kappa**0.5 * (2 * ALPHA**2 * l2 * d / G) ** (1 / 3)
    assert phi == pytest.approx(expected, rel=1e-12)


def test_what_is_left_of_the_leading_order_is_proportional_to_delta():
    def excess(delta):
        return adamw_walk(delta) / equilibrium.rms_adamw(ALPHA, delta) ** 2 - 1

    assert excess(2e-4) / excess(1e-4) == pytest.approx(2.0, rel=0.01)


INVERSES = {
    "rotation": (
        lambda d: equilibrium.rotation(d, BETA),
        lambda x: equilibrium.rotation_decay(x, BETA),
    ),
    "rms_adamw": (
        lambda d: equilibrium.rms_adamw(ALPHA, d),
        lambda x: equilibrium.rms_adamw_decay(ALPHA, x),
    ),
    "norm_sgd": (
        lambda d: equilibrium.norm_sgd(ALPHA, d, BETA, G),
        lambda x: equilibrium.norm_sgd_decay(ALPHA, x, BETA, G),
    ),
    "rms_adam_l2": (
        lambda lam: equilibrium.rms_adam_l2(ALPHA, lam, 0.3),
        lambda x: equilibrium.rms_adam_l2_decay(ALPHA, x, 0.3),
    ),
    "norm_adam_l2": (
        lambda lam: equilibrium.norm_adam_l2(ALPHA, lam, 7.0),
        lambda x: equilibrium.norm_adam_l2_decay(ALPHA, x, 7.0),
    ),
    "rotation_adam_l2": (
        lambda lam: equilibrium.rotation_adam_l2(
            ALPHA, equilibrium.norm_adam_l2(ALPHA, lam, 7.0), BETA, 50
        ),
        lambda x: equilibrium.rotation_adam_l2_decay(ALPHA, x, BETA, 7.0, 50),
    ),
}


@pytest.mark.parametrize(("there", "back"), INVERSES.values(), ids=INVERSES)
@pytest.mark.parametrize("delta", [1e-6, 0.01, 0.5])
def test_every_formula_has_its_inverse(there, back, delta):
    assert back(there(delta)) == pytest.approx(delta, rel=1e-14)  # a few roundings


DIMENSION, STEPS = 1000, 6000


def scale_invariant_gradient(rng, w):
    """Noise of norm about G, orthogonal to w, and shorter where w is longer."""
    z = G * rng.standard_normal(DIMENSION) / DIMENSION**0.5
    return (z - (z @ w) / (w @ w) * w) / np.sqrt(w @ w)


def settled(step, norm):
    """Mean square of norm and angle over the second half, from twice the norm."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal(DIMENSION)
    w *= 2 * norm / np.linalg.norm(w)
    norms, angles = [], []
    for t in range(1, STEPS + 1):
        new = step(t, w, scale_invariant_gradient(rng, w))
        cosine = new @ w / np.sqrt((new @ new) * (w @ w))
        norms.append(np.sqrt(new @ new))
        angles.append(np.arccos(cosine))
        w = new
    half = STEPS // 2
    return np.mean(np.square(norms[half:])), np.mean(np.square(angles[half:]))


def adam(delta=0.0, l2=0.0, b2=0.999):
    m, v = np.zeros(DIMENSION), np.zeros(DIMENSION)

    def step(t, w, g):
        g = g + l2 * w
        m[:] = BETA * m + (1 - BETA) * g
        v[:] = b2 * v + (1 - b2) * g * g
        direction = m / (1 - BETA**t) / np.sqrt(v / (1 - b2**t))
        return (1 - delta) * w - ALPHA * direction

    return step


def sgd(delta=0.0, l2=0.0):
    m = np.zeros(DIMENSION)

    def step(t, w, g):
        m[:] = BETA * m + g + l2 * w
        return (1 - delta) * w - ALPHA * m

    return step


# The next order, δ/(1 − β), is 2 % of a square, and the norm wanders by 1 % or so over
# the half; the angle hardly does, since a longer weight also has a smaller gradient.
OF_THE_NORM, OF_THE_ANGLE = 0.04, 0.02


@pytest.mark.parametrize("name", ["adamw", "sgdw", "sgd with l2"])
def test_a_scale_invariant_layer_settles_there(name):
    delta = 2e-3
    steps = {
        "adamw": adam(delta),
        "sgdw": sgd(delta),
        "sgd with l2": sgd(l2=delta * (1 - BETA) / ALPHA),
    }
    norm = equilibrium.norm_sgd(ALPHA, delta, BETA, G)
    if name == "adamw":
        norm = equilibrium.rms_adamw(ALPHA, delta) * DIMENSION**0.5
    square, squared_angle = settled(steps[name], norm)
    assert square == pytest.approx(norm**2, rel=OF_THE_NORM)
    phi = equilibrium.rotation(delta, BETA)
    assert squared_angle == pytest.approx(phi**2, rel=OF_THE_ANGLE)


def test_a_scale_invariant_layer_of_adam_with_l2_settles_there():
    l2 = 2e-3 * 0.02 / ALPHA  # δ = αλ₂/s is 2e-3 where a gradient's entries are 0.02
    norm = equilibrium.norm_adam_l2(ALPHA, l2, DIMENSION**0.5 * G)
    square, squared_angle = settled(adam(l2=l2), norm)
    assert square == pytest.approx(norm**2, rel=OF_THE_NORM)
    phi = equilibrium.rotation_adam_l2(ALPHA, norm, BETA, DIMENSION)
    assert squared_angle == pytest.approx(phi**2, rel=OF_THE_NORM)  # it is 1/‖w‖²
