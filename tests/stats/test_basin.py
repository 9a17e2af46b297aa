"""Basins of known slope."""

import inspect

import numpy as np
import pytest
from scipy import stats as scipy_stats

from wdjax import stats
from wdjax.stats import Censoring, Verdict

INCONCLUSIVE = Verdict.INCONCLUSIVE
NAN = float("nan")

LEARNING_RATES = 0.1 * 2.0 ** (np.arange(7) / 2)
DECAYS = np.concatenate([[0.0], 1e-3 * 2.0 ** np.arange(-4, 5)])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def basin(slope, *, seeds=2, curvature=0.4, centre=-9.9):
    """Noiseless errors whose best log2 λ is ``centre + slope · log2(α/α₀)``."""
    log_alpha = np.log2(LEARNING_RATES)
    best = centre + slope * (log_alpha - log_alpha.mean())
    with np.errstate(divide="ignore"):
        distance = np.log2(DECAYS)[:, None] - best[None, :]
    errors = 57 + curvature * distance**2
    errors[0] = 57 + 10  # λ = 0: a strip of its own
    return np.broadcast_to(errors, (seeds, *errors.shape)).copy()


@pytest.mark.parametrize("slope", [-1.5, -1.0, 0.0, 1.0])
def test_the_slope_of_an_exact_basin_is_recovered(slope):
    found = stats.basin_slope(LEARNING_RATES, DECAYS, basin(slope))
    # Round-off of a 5-point polynomial fit, far below 1e-10; two equal seeds agree.
    np.testing.assert_allclose(found.slope, [slope] * 3, atol=1e-10)
    log_alpha = np.log2(LEARNING_RATES)
    expected = 2 ** (-9.9 + slope * (log_alpha - log_alpha.mean()))
    np.testing.assert_allclose(found.best_decays, expected, rtol=1e-10)
    assert found.censored == (None,) * 7
    assert found.num_censored == 0


def test_slope_minus_two_is_recovered_when_the_grid_cuts_its_ends_off():
    found = stats.basin_slope(LEARNING_RATES, DECAYS, basin(-2.0, centre=-10.0))
    np.testing.assert_allclose(found.slope, [-2.0] * 3, atol=1e-10)
    assert found.censored == (None,) * 7  # the end columns' windows are off centre


def test_a_slope_too_steep_for_the_grid_censors_its_ends():
    found = stats.basin_slope(LEARNING_RATES, DECAYS, basin(-3.0, centre=-10.0))
    np.testing.assert_allclose(found.slope, [-3.0] * 3, atol=1e-10)
    edge = Censoring.EDGE
    assert found.censored == (edge, None, None, None, None, None, edge)
    np.testing.assert_array_equal(np.isnan(found.best_decays), [1, 0, 0, 0, 0, 0, 1])


def test_the_basin_may_be_curved_outside_its_five_cells():
    """Only five cells count, so what lies beyond may have any shape."""
    errors = basin(0.0, centre=-10.0)
    errors[:, [1, 2, 8, 9]] = 90.0
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors)
    np.testing.assert_allclose(found.slope, [0.0] * 3, atol=1e-10)


def test_the_row_without_decay_is_never_the_minimum():
    errors = basin(-1.0)
    errors[:, 0] = 0.0
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors)
    np.testing.assert_allclose(found.slope, [-1.0] * 3, atol=1e-10)


@pytest.mark.parametrize("best_row", [1, 9])
def test_a_minimum_at_the_edge_is_censored(best_row):
    errors = basin(0.0)
    errors[:, best_row, 3] = 0.0
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors)
    assert found.censored == (None, None, None, Censoring.EDGE, None, None, None)


@pytest.mark.parametrize("rows", [[0], [1], [0, 1, 2, 3, 4], [2, 3, 4, 5]])
@pytest.mark.parametrize("spoilt", [0.0, NAN])
def test_fewer_than_five_decays_are_the_reason_whatever_else_is_wrong(rows, spoilt):
    """The row without decay does not count; four may hold their minimum inside."""
    errors = basin(0.0, centre=-11.0)[:, rows] + spoilt
    found = stats.best_decays(DECAYS[rows], errors)
    assert found.censored == (Censoring.FEW,) * 7
    assert np.isnan(found.values).all()


def test_lists_are_as_good_as_arrays():
    errors = basin(-1.0)
    diverged = np.zeros(errors.shape, bool)
    diverged[0, 5, 3] = True
    arrays = (LEARNING_RATES, DECAYS, errors, diverged)
    as_users_call_it = inspect.unwrap(stats.basin_slope)
    for found, expected in (
        (
            as_users_call_it(*(x.tolist() for x in arrays[:3]), diverged),
            stats.basin_slope(*arrays),
        ),
        (
            inspect.unwrap(stats.best_decays)(*(x.tolist() for x in arrays[1:])),
            stats.best_decays(*arrays[1:]),
        ),
    ):
        assert found.censored == expected.censored
        np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("centre", [-12.4, -12.0, -8.0, -7.6])
def test_one_cell_inside_the_edge_the_vertex_is_still_exact(centre):
    """The five cells then lie to one side; a parabola does not mind."""
    found = stats.basin_slope(LEARNING_RATES, DECAYS, basin(0.0, centre=centre))
    assert found.num_censored == 0
    np.testing.assert_allclose(np.log2(found.best_decays), centre, rtol=1e-10)


@pytest.mark.parametrize("row", [4, 5, 6, 7])
@pytest.mark.parametrize("how", ["nan", "inf", "flag"])
def test_one_diverged_run_among_the_five_censors_its_column(row, how):
    errors = basin(0.0, centre=-9.9)  # minimum in row 5, the five are rows 3 to 7
    diverged = np.zeros(errors.shape, bool)
    if how == "flag":
        diverged[1, row, 2] = True  # its error of some 57 % is not to be believed
    else:
        errors[1, row, 2] = float(how)
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors, diverged)
    assert found.censored == (None, None, Censoring.DIVERGED) + (None,) * 4


@pytest.mark.parametrize("row", [0, 1, 8, 9])
def test_a_diverged_run_beyond_the_five_does_no_harm(row):
    errors = basin(0.0, centre=-9.9)
    errors[1, row] = NAN
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors)
    np.testing.assert_allclose(found.slope, [0.0] * 3, atol=1e-10)


def test_a_column_that_is_not_convex_is_censored():
    errors = basin(0.0, centre=-10.0)
    errors[:, 3:8, 4] = np.array([50.0, 60.0, 49.0, 60.0, 50.0])
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors)
    assert found.censored == (None,) * 4 + (Censoring.CURVATURE,) + (None,) * 2


def test_a_vertex_outside_its_five_cells_is_censored():
    errors = basin(0.0, centre=-10.0)
    errors[:, 3:8, 4] = np.array([50.0, 60.0, 49.0, 60.0, 60.0])
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors)
    assert found.censored == (None,) * 4 + (Censoring.OUTSIDE,) + (None,) * 2


def test_when_everything_diverged_the_slope_is_inconclusive():
    errors = basin(0.0)
    diverged = np.ones(errors.shape, bool)
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors, diverged)
    assert found.censored == (Censoring.DIVERGED,) * 7
    assert np.isnan(found.slope).all()
    assert np.isnan(found.best_decays).all()
    assert stats.verdict(found.slope, 0.0, 0.25) is INCONCLUSIVE


@pytest.mark.parametrize(("spoilt", "conclusive"), [(2, True), (3, False)])
def test_a_slope_needs_five_columns(spoilt, conclusive):
    errors = basin(-1.0)
    errors[:, :, :spoilt] = NAN
    found = stats.basin_slope(LEARNING_RATES, DECAYS, errors)
    assert found.num_censored == spoilt
    assert np.isfinite(found.slope).all() == conclusive


def test_one_seed_has_an_estimate_and_no_interval():
    found = stats.basin_slope(LEARNING_RATES, DECAYS, basin(-1.0, seeds=1))
    assert found.slope.estimate == pytest.approx(-1.0, abs=1e-10)
    assert np.isnan(found.slope[1:]).all()


def test_the_slope_does_not_depend_on_units():
    noisy = basin(-1.0, seeds=4)
    noisy += np.random.default_rng(0).normal(size=noisy.shape) / 4
    ours = stats.basin_slope(LEARNING_RATES, DECAYS, noisy)
    scaled = stats.basin_slope(10 * LEARNING_RATES, DECAYS / 7, noisy / 100)
    # Round-off of the logarithms alone.
    np.testing.assert_allclose(ours.slope, scaled.slope, rtol=1e-9)
    np.testing.assert_allclose(ours.best_decays / 7, scaled.best_decays, rtol=1e-9)


def test_a_seed_effect_common_to_all_cells_changes_nothing():
    noisy = basin(-1.0, seeds=4)
    noisy += np.random.default_rng(0).normal(size=noisy.shape) / 4
    shifted = noisy + np.array([5.0, -3.0, 2.0, 9.0])[:, None, None]
    np.testing.assert_allclose(
        stats.basin_slope(LEARNING_RATES, DECAYS, noisy).slope,
        stats.basin_slope(LEARNING_RATES, DECAYS, shifted).slope,
        rtol=1e-9,  # round-off: the errors themselves are 1e2
    )


def test_the_half_width_is_the_wider_of_regression_and_jackknife():
    noisy = basin(-1.0, seeds=4)
    noisy += np.random.default_rng(1).normal(size=noisy.shape) / 4
    found = stats.basin_slope(LEARNING_RATES, DECAYS, noisy)

    def slope(errors):
        best = stats.basin_slope(LEARNING_RATES, DECAYS, errors).best_decays
        return scipy_stats.linregress(np.log(LEARNING_RATES), np.log(best))

    regression = scipy_stats.t.ppf(0.975, 5) * slope(noisy).stderr
    without = [slope(np.delete(noisy, i, axis=0)).slope for i in range(4)]
    # The jackknife's variance is (n−1)²/n times the sample variance of these.
    jackknife = scipy_stats.t.ppf(0.975, 3) * np.sqrt(9 / 4 * np.var(without, ddof=1))
    half = found.slope.high - found.slope.estimate
    assert half == pytest.approx(max(regression, jackknife), rel=1e-9)


@pytest.mark.parametrize(
    ("noise", "by_seed", "by_column"),
    [(1.0, 0.0, 0.0), (0.3, 0.2, 0.0), (0.3, 0.0, 0.3)],
    ids=["noise", "seeds differ", "not straight"],
)
def test_the_interval_covers_the_slope_of_noisy_basins(rng, noise, by_seed, by_column):
    """The docstring's table, in small; each of the two halves alone fails one row."""
    repetitions, seeds, slope = 200, 5, -1.0
    log_alpha, log_decays = np.arange(-3, 4) / 2, np.arange(-4, 5)

    def covers():
        slopes = slope + by_seed * rng.normal(size=(seeds, 1))
        best = slopes * log_alpha + rng.uniform(-0.5, 0.5)
        best = best + by_column * rng.normal(size=7)
        errors = 3 * ((log_decays[None, :, None] - best[:, None, :]) / 4) ** 2
        errors = 57 + errors + 2 * rng.normal(size=(seeds, 1, 1))
        errors = errors + noise * rng.normal(size=errors.shape)
        found = stats.basin_slope(2.0**log_alpha, 2.0**log_decays, errors).slope
        return found.low <= slope <= found.high

    covered = sum(covers() for _ in range(repetitions))
    # Below the 1 % quantile of the nominal binomial, coverage is not 95 %.
    assert covered >= scipy_stats.binom.ppf(0.01, repetitions, 0.95)


@pytest.mark.parametrize(
    ("learning_rates", "decays", "match"),
    [
        (LEARNING_RATES[::-1], DECAYS, "learning_rates must .* increase"),
        (LEARNING_RATES, DECAYS[::-1], "decays must .* increase"),
        (LEARNING_RATES - 0.1, DECAYS, "must be positive"),
        (LEARNING_RATES, DECAYS - 1.0, "must not be negative"),
    ],
)
def test_bad_axes_are_refused(learning_rates, decays, match):
    with pytest.raises(ValueError, match=match):
        stats.basin_slope(learning_rates, decays, basin(0.0))


def test_each_column_has_its_own_best_decay_with_and_without_each_seed():
    """Two parabolas 1 octave apart: the mean's vertex is half way between them."""
    errors = np.stack([basin(0.0, seeds=1, centre=c)[0] for c in (-10.0, -9.0)])
    found = stats.best_decays(DECAYS, errors)
    # Round-off of a 5-point polynomial fit.
    np.testing.assert_allclose(np.log2(found.values), -9.5, rtol=1e-10)
    np.testing.assert_allclose(np.log2(found.without_seed[0]), -9.0, rtol=1e-10)
    np.testing.assert_allclose(np.log2(found.without_seed[1]), -10.0, rtol=1e-10)
