"""The effective learning rates, against trajectories on the sphere."""

import numpy as np
import pytest

from wdjax.theory import effective_learning_rate, equilibrium, scale_invariant

BETA, G = 0.9, 3.0


def gradient(w):
    """Of F(w/‖w‖) for F(x) = Σ x⁴ + a·x, which is scale-invariant."""
    norm = np.sqrt(w @ w)
    x = w / norm
    dF = 4 * x**3 + np.array([1.0, -2.0, 0.5])
    return (dF - (dF @ x) * x) / norm


def angle(w, step):
    """By which w − step is turned; np.arccos would lose half of the digits."""
    along = (w @ step) / (w @ w)
    across = step - along * w
    return np.arctan2(np.sqrt(across @ across), (1 - along) * np.sqrt(w @ w))


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_weights_of_unit_norm_turn_alike(scale):
    x = np.array([0.6, 0.0, -0.8])
    w = scale * x
    sgd = effective_learning_rate.sgd(0.02, scale)
    assert angle(w, 0.02 * gradient(w)) == pytest.approx(angle(x, sgd * gradient(x)))
    adam = effective_learning_rate.adam(0.02, scale)
    signs = np.sign(gradient(w))
    assert angle(w, 0.02 * signs) == pytest.approx(angle(x, adam * signs))


PAIRS = [(0.05, 1e-3), (0.2, 1e-5)]


@pytest.mark.parametrize(("alpha", "decay"), PAIRS)
def test_in_equilibrium_they_are_those_of_the_equilibrium_s_norm(alpha, decay):
    norm = equilibrium.norm_sgd(alpha, decay, BETA, G)
    expected = effective_learning_rate.sgd(alpha, norm)
    found = effective_learning_rate.sgd_equilibrium(decay, BETA, G)
    assert found == pytest.approx(expected, rel=1e-12)
    norm = 50**0.5 * equilibrium.rms_adamw(alpha, decay)
    expected = effective_learning_rate.adam(alpha, norm)
    found = effective_learning_rate.adamw_equilibrium(decay, 50)
    assert found == pytest.approx(expected, rel=1e-12)
    norm = equilibrium.norm_adam_l2(alpha, decay, 7.0)
    expected = effective_learning_rate.adam(alpha, norm)
    found = effective_learning_rate.adam_l2_equilibrium(alpha, decay, 7.0)
    assert found == pytest.approx(expected, rel=1e-12)


def sgd_l2(alpha, lam):
    return effective_learning_rate.sgd_equilibrium(alpha * lam / (1 - BETA), BETA, G)


def adam_l2(alpha, lam):
    return effective_learning_rate.adam_l2_equilibrium(alpha, lam, 7.0)


FAMILIES = {
    "SGD + L2": (scale_invariant.SGD_L2, sgd_l2),
    "SGDW, Optax": (
        scale_invariant.SGDW_OPTAX,
        lambda a, lam: effective_learning_rate.sgd_equilibrium(a * lam, BETA, G),
    ),
    "SGDW, paper": (
        scale_invariant.SGDW_PAPER,
        lambda a, lam: effective_learning_rate.sgd_equilibrium(lam, BETA, G),
    ),
    "Adam + L2": (scale_invariant.ADAM_L2, adam_l2),
    "AdamW, Optax": (
        scale_invariant.ADAMW_OPTAX,
        lambda a, lam: effective_learning_rate.adamw_equilibrium(a * lam, 50),
    ),
    "AdamW, paper": (
        scale_invariant.ADAMW_PAPER,
        lambda a, lam: effective_learning_rate.adamw_equilibrium(lam, 50),
    ),
}


@pytest.mark.parametrize(("symmetry", "rate"), FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("factor", [1e-3, 0.3, 8.0])
def test_the_pairs_of_a_symmetry_share_it_and_others_do_not(symmetry, rate, factor):
    alpha, lam = 0.05, 1e-3
    new = scale_invariant.equivalent_decay(symmetry, lam, alpha, factor * alpha)
    assert rate(factor * alpha, new) == pytest.approx(rate(alpha, lam), rel=1e-12)
    assert rate(factor * alpha, 2 * new) > 1.2 * rate(alpha, lam)  # 2^(1/3) and √2
