"""What moves under a step of decay, against ml_dtypes' arithmetic on every weight."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from wdjax.theory import rounding

# Each with its bits, and octaves in which weights and their decay are normal.
DTYPES = {
    "bfloat16": (ml_dtypes.bfloat16, rounding.BFLOAT16, (-8, 3)),
    "float16": (np.float16, rounding.FLOAT16, (0, 12)),
    "float32": (np.float32, rounding.FLOAT32, (-8, 3)),
}
dtypes = pytest.mark.parametrize(
    ("dtype", "bits", "octaves"), DTYPES.values(), ids=DTYPES
)


def weights(dtype, octaves, n=200_000):
    """Log-uniform magnitudes, by equal steps, of both signs."""
    low, high = octaves
    magnitudes = 2.0 ** (low + (high - low) * (np.arange(n) + 0.5) / n)
    return (magnitudes * np.where(np.arange(n) % 2, 1, -1)).astype(dtype)


def moved(theta, delta):
    """By θ + round(−δθ): the product in float64, so that it is rounded once."""
    step = (-delta * theta.astype(np.float64)).astype(theta.dtype)
    return np.mean(theta + step != theta)


def moved_by_factor(theta, delta):
    return np.mean(theta * theta.dtype.type(1 - delta) != theta)


@dtypes
def test_up_to_the_largest_lost_rate_no_weight_moves(dtype, bits, octaves):
    theta, lost = weights(dtype, octaves), rounding.largest_lost(bits)
    for delta in (lost / 100, 0.9 * lost, lost):
        assert moved(theta, delta) == 0
        assert rounding.fraction_moved(delta, bits) == 0
    assert moved(theta, 1.02 * lost) > 0  # it is the largest


@dtypes
def test_from_the_smallest_sure_rate_on_every_weight_moves(dtype, bits, octaves):
    theta, sure = weights(dtype, octaves), rounding.smallest_sure(bits)
    for delta in (sure, 1.3 * sure, 10 * sure):
        assert moved(theta, delta) == 1
        assert rounding.fraction_moved(delta, bits) == 1
    assert moved(theta, 0.9 * sure) < 1  # it is the smallest


@dtypes
@pytest.mark.parametrize("octave", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_between_them_the_share_is_logarithmic(dtype, bits, octaves, octave):
    delta = 2.0 ** (octave - bits - 1)
    predicted = float(rounding.fraction_moved(delta, bits))
    assert predicted == pytest.approx(octave, rel=1e-12)
    # Powers of two move too, and the threshold is on two grids; see `fraction_moved`.
    # 2e-4 is the spacing of the weights in all octaves together.
    grid = 3.5 * 2.0**-bits / np.log(2) + 2e-4
    assert moved(weights(dtype, octaves), delta) == pytest.approx(predicted, abs=grid)


@dtypes
def test_a_rounded_factor_moves_all_or_none(dtype, bits, octaves):
    theta, lost = weights(dtype, octaves, 20_000), rounding.largest_lost(bits)
    for delta in (0.0, lost / 10, lost, 1.01 * lost, 2 * lost, 0.1):
        expected = bool(rounding.factor_moves(delta, bits))
        assert moved_by_factor(theta, delta) == expected
        assert expected == (delta > lost)


@dtypes
def test_a_rounded_factor_removes_a_multiple_of_the_gap(dtype, bits, octaves):
    del octaves
    rates = np.linspace(0, 12, 97) * 2.0**-bits  # ties among them
    factors = (1 - rates).astype(dtype).astype(np.float64)
    found = rounding.removed_by_factor(jnp.asarray(rates), bits)
    np.testing.assert_array_equal(found, 1 - factors)


def test_an_array_of_rates_is_answered_rate_by_rate():
    rates = jnp.array([2.0**-10, 2.0**-8.5, 2.0**-7])
    np.testing.assert_allclose(rounding.fraction_moved(rates, 8), [0, 0.5, 1])
    np.testing.assert_array_equal(rounding.factor_moves(rates, 8), [False, True, True])


def test_the_numbers_of_bfloat16_are_those_of_the_claim():
    assert rounding.largest_lost(rounding.BFLOAT16) == 2**-9
    assert rounding.smallest_sure(rounding.BFLOAT16) == 2**-8
