"""Intervals against oracles, and their coverage."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from wdjax import stats

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_paired_interval_is_the_paired_t_of_scipy(rng, level):
    a, b = rng.normal(size=(2, 6))
    expected = scipy_stats.ttest_rel(a, b).confidence_interval(level)
    interval = stats.paired_interval(a, b, level)
    # The same formula, summed in another order.
    np.testing.assert_allclose(interval[1:], expected, rtol=1e-12)
    assert interval.estimate == pytest.approx(np.mean(a - b), rel=1e-12)


def test_mean_interval_by_hand():
    # mean 2, s = 1, n = 3, t(2, 97.5 %) = 4.302653 from a table to 7 digits.
    half = 4.302653 / np.sqrt(3)
    interval = stats.mean_interval(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(interval, (2, 2 - half, 2 + half), rtol=1e-6)


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("seeds", [2, 7])
def test_the_jackknife_of_a_mean_is_students_interval(rng, level, seeds):
    x = rng.normal(size=(seeds, 3))
    without = np.stack([np.delete(x, i, axis=0).mean(axis=0) for i in range(seeds)])
    half = stats.jackknife(without, level)
    students = [stats.mean_interval(column, level) for column in x.T]
    # Round-off of the means.
    np.testing.assert_allclose(half, [t.high - t.estimate for t in students], rtol=1e-9)


def test_a_jackknife_without_seeds_or_without_an_estimate_is_not_known():
    assert np.isnan(stats.jackknife(np.empty((0, 2)))).tolist() == [True, True]
    assert np.isnan(stats.jackknife(np.ones((1, 2)))).tolist() == [True, True]
    half = stats.jackknife(np.array([[1.0, NAN], [1.0, 2.0]]))
    np.testing.assert_array_equal(half, [0.0, NAN])


def test_pairing_removes_what_the_seeds_share(rng):
    seed_effect, noise = 10 * rng.normal(size=8), 0.1 * rng.normal(size=8)
    interval = stats.paired_interval(seed_effect + 1 + noise, seed_effect)
    assert interval.high - interval.low < 1


@pytest.mark.parametrize(
    "interval", [stats.mean_interval, stats.bootstrap_interval], ids=["t", "bca"]
)
def test_too_few_or_diverged_measurements_give_nan(interval):
    assert np.isnan(interval(np.array([]))).all()
    assert np.isnan(interval(np.array([1.0, INF, -INF]))).all()
    assert np.isnan(interval(np.array([1.0, NAN]))).all()
    alone = interval(np.array([1.0]))
    assert alone.estimate == 1.0
    assert np.isnan(alone[1:]).all()
    assert interval(np.array([2.0, 2.0, 2.0])) == (2.0, 2.0, 2.0)


def test_bootstrap_leans_to_the_side_of_the_skew(rng):
    x = rng.exponential(size=40)
    interval = stats.bootstrap_interval(x)
    assert interval == stats.bootstrap_interval(x)  # seeded
    assert interval.estimate == pytest.approx(np.mean(x))
    # A symmetric interval has equal arms; BCa's longer arm is on the long tail.
    assert interval.high - np.mean(x) > 1.1 * (np.mean(x) - interval.low) > 0


def test_bootstrap_agrees_with_t_on_many_normal_measurements(rng):
    x = rng.normal(size=2_000)
    # Ends agree up to the bootstrap's own noise, a few percent of the half-width.
    half = 1.96 / np.sqrt(2_000)
    np.testing.assert_allclose(
        stats.bootstrap_interval(x), stats.mean_interval(x), atol=0.1 * half
    )


def test_the_paired_bootstrap_is_that_of_the_differences(rng):
    a, b = rng.exponential(size=(2, 30))
    ours = stats.paired_bootstrap(a, b, 0.9, num_resamples=999, seed=3)
    assert ours == stats.bootstrap_interval(a - b, 0.9, num_resamples=999, seed=3)
    assert ours.estimate == pytest.approx(np.mean(a) - np.mean(b), rel=1e-12)


def test_the_paired_bootstrap_is_bca_of_scipy_on_pairs(rng):
    """SciPy's own paired resampling, of the statistic mean(a) − mean(b)."""
    a, b = rng.exponential(size=(2, 30)) + rng.normal(size=30)
    low, high = scipy_stats.bootstrap(
        (a, b),
        lambda a, b, axis: np.mean(a, axis) - np.mean(b, axis),
        paired=True,
        vectorized=True,
        n_resamples=9_999,
        rng=np.random.default_rng(7),
    ).confidence_interval
    ours = stats.paired_bootstrap(a, b)
    # Two draws of 9,999 resamples: a quantile's own noise is 2 % of the width.
    np.testing.assert_allclose(ours[1:], (low, high), atol=0.05 * (high - low))


def test_the_paired_bootstrap_drops_what_the_seeds_share(rng):
    seed_effect, noise = 10 * rng.normal(size=8), 0.1 * rng.normal(size=8)
    interval = stats.paired_bootstrap(seed_effect + 1 + noise, seed_effect)
    assert interval.high - interval.low < 1


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("n", [3, 5, 60])
def test_students_interval_covers_a_normal_mean_at_its_level(rng, n, level):
    x = 2.0 + 3.0 * rng.normal(size=(1_000, n))
    found = [stats.mean_interval(row, level) for row in x]
    covered = sum(i.low <= 2.0 <= i.high for i in found)
    # Neither too narrow nor too wide: the six cases together err in 1 of 100.
    low, high = scipy_stats.binom.ppf([0.005 / 6, 1 - 0.005 / 6], 1_000, level)
    assert low <= covered <= high


@pytest.mark.parametrize(
    ("draw", "mean", "nominal"),
    [("normal", 0.0, 0.93), ("exponential", 1.0, 0.92)],
)
def test_bca_covers_nearly_its_level_with_sixty_measurements(rng, draw, mean, nominal):
    """The docstring's last column; 93 and 92 % are what it states."""
    x = getattr(rng, draw)(size=(200, 60))
    found = [stats.bootstrap_interval(row, num_resamples=999) for row in x]
    covered = sum(i.low <= mean <= i.high for i in found)
    low, high = scipy_stats.binom.ppf([0.005, 0.995], 200, nominal)
    assert low <= covered <= high


def test_bca_of_five_measurements_covers_too_little(rng):
    """Why a study of few seeds uses Student's: the docstring's 82 %, not 95 %."""
    x = rng.normal(size=(200, 5))
    found = [stats.bootstrap_interval(row, num_resamples=999) for row in x]
    covered = sum(i.low <= 0.0 <= i.high for i in found)
    assert covered < scipy_stats.binom.ppf(0.01, 200, 0.95)
