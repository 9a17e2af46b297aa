"""Two one-sided tests: against SciPy, their size at the margin, and their power."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from wdjax import stats
from wdjax.stats import Verdict


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("shift", [-0.9, 0.0, 0.4])
def test_the_p_values_are_two_one_sided_t_tests_of_scipy(rng, shift):
    a, b, margin = shift + rng.normal(size=12), rng.normal(size=12), 0.7
    found = stats.equivalence(a, b, margin)
    low = scipy_stats.ttest_rel(a + margin, b, alternative="greater").pvalue
    high = scipy_stats.ttest_rel(a - margin, b, alternative="less").pvalue
    # The same formula, summed in another order.
    np.testing.assert_allclose([found.p_low, found.p_high], [low, high], rtol=1e-10)
    assert found.p_value == max(found.p_low, found.p_high)


@pytest.mark.parametrize("size", [0.05, 0.01])
@pytest.mark.parametrize("shift", [-1.5, -0.5, 0.0, 0.5, 1.0, 1.5])
def test_the_verdict_is_both_tests_and_is_the_interval_inside_the_band(
    rng, size, shift
):
    for _ in range(50):
        b = rng.normal(size=8)
        a = b + shift + rng.normal(size=8)
        found = stats.equivalence(a, b, 1.0, size)
        interval = stats.paired_interval(a, b, 1 - 2 * size)
        inside = interval.low >= -1.0 and interval.high <= 1.0
        assert found.interval == interval
        assert (found.p_value <= size) == inside
        assert (found.verdict is Verdict.PASS) == inside
        outside = interval.low > 1.0 or interval.high < -1.0
        assert (found.verdict is Verdict.FAIL) == outside


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("n", [5, 60])
def test_at_the_margin_at_most_one_in_twenty_is_called_equivalent(rng, sign, n):
    """The size. It is reached for many measurements only."""
    repetitions, margin = 400, 1.0
    d = sign * margin + rng.normal(size=(repetitions, n))
    passed = sum(
        stats.equivalence(row, np.zeros(n), margin).verdict is Verdict.PASS for row in d
    )
    assert passed <= scipy_stats.binom.ppf(0.995, repetitions, 0.05)
    if n == 60:
        assert passed >= scipy_stats.binom.ppf(0.005, repetitions, 0.05)


@pytest.mark.parametrize("n", [10, 20])
def test_methods_that_are_equal_are_found_equivalent_as_often_as_theory_says(rng, n):
    """Power at d = 0: P(|d̄| + t·s/√n ≤ margin), by a draw of d̄ and s themselves."""
    repetitions, margin = 400, 0.7
    passed = sum(
        stats.equivalence(row, np.zeros(n), margin).verdict is Verdict.PASS
        for row in rng.normal(size=(repetitions, n))
    )
    mean = rng.normal(size=200_000) / np.sqrt(n)
    s = np.sqrt(rng.chisquare(n - 1, size=200_000) / (n - 1))
    t = scipy_stats.t.ppf(0.95, n - 1)
    power = np.mean(np.abs(mean) + t * s / np.sqrt(n) <= margin)
    low, high = scipy_stats.binom.ppf([0.005, 0.995], repetitions, power)
    assert low <= passed <= high
    assert power > 0.3  # so that the test is no test of nothing


def test_what_cannot_be_tested_is_inconclusive():
    for a in ([], [1.0], [1.0, np.nan], [np.inf, 0.0]):
        found = stats.equivalence(np.array(a), np.zeros(len(a)), 1.0)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert np.isnan(found.p_value)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, Verdict.PASS), (2.0, Verdict.FAIL)]
)
def test_differences_without_spread_are_judged_as_they_are(value, expected):
    found = stats.equivalence(np.full(4, value), np.zeros(4), 1.0)
    assert found.verdict is expected
    assert (found.p_value <= 0.05) == (expected is Verdict.PASS)


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_must_be_positive(margin):
    with pytest.raises(ValueError, match="must be positive"):
        stats.equivalence(np.zeros(3), np.ones(3), margin)
