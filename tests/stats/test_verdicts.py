"""An interval against a band."""

import pytest

from wdjax import stats
from wdjax.stats import Interval, Verdict

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.9, 1.1, PASS),
        (0.75, 1.25, PASS),  # the band is closed
        (0.7, 1.1, INCONCLUSIVE),
        (0.9, 1.3, INCONCLUSIVE),
        (0.0, 2.0, INCONCLUSIVE),
        (1.25, 1.5, INCONCLUSIVE),  # it touches the band
        (1.3, 1.5, FAIL),
        (0.0, 0.7, FAIL),
        (NAN, 1.1, INCONCLUSIVE),
        (-INF, 0.0, INCONCLUSIVE),
    ],
)
def test_verdict_follows_interval_and_band(low, high, expected):
    assert stats.verdict(Interval(1.0, low, high), 1.0, 0.25) is expected


def test_what_is_missing_is_inconclusive():
    assert stats.verdict(None, 0.0, 1.0) is INCONCLUSIVE
    assert stats.verdict(stats.UNKNOWN, 0.0, 1.0) is INCONCLUSIVE
    assert stats.verdict(Interval(NAN, 0.0, 0.0), 0.0, 1.0) is INCONCLUSIVE


def test_an_exact_number_passes_or_fails():
    assert stats.verdict(stats.exact(1e-11), 0.0, 1e-10) is PASS
    assert stats.verdict(stats.exact(1e-9), 0.0, 1e-10) is FAIL
    assert stats.verdict(stats.exact(NAN), 0.0, 1e-10) is INCONCLUSIVE


def test_a_band_may_be_open_on_one_side():
    assert stats.band_verdict(Interval(-0.5, -0.9, -0.1), -INF, 0.0) is PASS
    assert stats.band_verdict(Interval(0.5, 0.1, 0.9), -INF, 0.0) is FAIL
    assert stats.band_verdict(Interval(0.0, -0.1, 0.1), -INF, 0.0) is INCONCLUSIVE


def test_verdict_prints_as_its_name():
    assert f"{PASS}" == "PASS"
