"""Bands, verdicts, what would change them, and their file."""

import json
import math

import pytest

from experiments.harness.findings import (
    Band,
    around,
    at_least,
    at_most,
    equality,
    inequality,
    judged,
    shown,
    turning,
)
from experiments.harness.reports import Report, verdict_objects
from wdjax.stats import UNKNOWN, Interval, Verdict, exact

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def verdict(band, interval, seeds=5):
    return judged("x", band, interval, seeds=seeds).verdict


@pytest.mark.parametrize(
    ("band", "text"),
    [
        (around(-1, 0.25), "−1 ± 0.25"),
        (at_most(0.01), "at most 0.01"),
        (at_least(-3), "at least −3"),
        (Band(1, 2), "from 1 to 2"),
    ],
)
def test_a_band_says_what_it_allows(band, text):
    assert band.text("g") == text


def test_a_prediction_moved_by_three_tolerances_fails():
    measured = Interval(1.0, 0.95, 1.05)
    assert verdict(around(1.0, 0.1), measured) is PASS
    assert verdict(around(1.0 + 3 * 0.1, 0.1), measured) is FAIL
    assert verdict(around(1.0 - 3 * 0.1, 0.1), measured) is FAIL


def test_fewer_than_three_seeds_decide_nothing():
    for band in (around(1, 0.1), around(9, 0.1)):
        assert verdict(band, exact(1.0), seeds=2) is INCONCLUSIVE
    assert verdict(around(1, 0.1), exact(1.0), seeds=3) is PASS
    assert verdict(around(1, 0.1), exact(1.0), seeds=0) is PASS  # nothing is random


def test_an_equality_holds_up_to_its_tolerance_and_says_both():
    found = equality("x", 2e-11, 1e-10, predicted="the same")
    assert found.verdict is PASS
    assert (found.predicted, found.measured) == (
        "the same, ± 1e-10",
        "off by at most 2.0e-11",
    )
    assert equality("x", 3e-10, 1e-10, predicted="the same").verdict is FAIL
    assert equality("x", math.nan, 1.0, predicted="").verdict is INCONCLUSIVE
    told = equality("x", 0.0, 1.0, predicted="", measured="every bit", notes="n")
    assert (told.measured, told.conditions) == ("every bit", "n")


def test_an_inequality_holds_from_its_least_on_and_says_both():
    found = inequality("x", 0.5, 0.01, predicted="moves by")
    assert found.verdict is PASS
    assert (found.predicted, found.measured) == ("moves by at least 0.01", "0.5")
    assert inequality("x", 0.003, 0.01, predicted="moves by").verdict is FAIL
    told = inequality("x", 0.5, 0.01, predicted="", measured="far", convention="c")
    assert (told.measured, told.conditions) == ("far", "c")


def test_no_interval_decides_nothing():
    assert verdict(around(1, 0.1), UNKNOWN) is INCONCLUSIVE
    assert verdict(at_most(1), Interval(0.0, math.nan, math.nan)) is INCONCLUSIVE


def test_an_interval_is_shown_with_its_ends_where_it_has_any():
    assert shown(Interval(-1.0, -1.5, 0.5), ".1f") == "−1.0 [−1.5, 0.5]"
    assert shown(exact(0.25)) == "0.25"
    assert shown(Interval(0.25, math.nan, math.nan)) == "0.25"


@pytest.mark.parametrize(
    ("band", "interval", "expected"),
    [
        # inside for shifts of −0.5 to 0.3; beside below −1.3 and above 0.9
        (
            around(0.0, 1.0),
            Interval(0.2, 0.1, 0.3),
            "FAIL if it were 0.9 higher; INCONCLUSIVE if it were 0.7 higher",
        ),
        (
            at_most(0.0),
            Interval(-2.0, -3.0, -1.0),
            "FAIL if it were 3 higher; INCONCLUSIVE if it were 1 higher",
        ),
        (
            at_most(0.0),
            Interval(0.5, -0.5, 1.5),
            "PASS if it were 1.5 lower; FAIL if it were 0.5 higher",
        ),
        (
            at_least(5.0),
            Interval(2.0, 1.0, 3.0),
            "PASS if it were 4 higher; INCONCLUSIVE if it were 2 higher",
        ),
        (
            around(0.0, 0.5),
            Interval(0.0, -1.0, 1.0),
            (
                "PASS only if the interval were narrower than the band; "
                "FAIL if it were 1.5 lower"
            ),
        ),
        (around(0.0, 1e-3), exact(1e-4), "FAIL if it were 0.0009 higher"),
        (at_least(1.0), exact(3.0), "FAIL if it were 2 lower"),
        (at_most(0.0), exact(0.0), "FAIL if it were any higher"),
        (at_least(1.0), exact(1.0), "FAIL if it were any lower"),
    ],
)
def test_what_would_have_changed_the_verdict(band, interval, expected):
    assert turning(judged("x", band, interval)) == expected


@pytest.mark.parametrize(
    ("band", "interval"),
    [
        (around(0.0, 1.0), Interval(0.2, 0.1, 0.3)),
        (at_most(0.0), Interval(0.5, -0.5, 1.5)),
        (at_least(5.0), Interval(2.0, 1.0, 3.0)),
    ],
)
def test_the_shift_that_is_named_does_change_the_verdict(band, interval):
    """Just beyond it, and not just before it."""
    finding = judged("x", band, interval)
    for part in turning(finding).split("; "):
        name, _, _, _, by, way = part.split(" ")
        shift = float(by) * (1 if way == "higher" else -1)
        for factor, changed in ((1.001, True), (0.999, False)):
            moved = Interval(*(x + factor * shift for x in interval))
            assert (judged("x", band, moved).verdict is Verdict(name)) is changed


def test_what_is_missing_is_said():
    assert turning(judged("x", at_most(1), exact(0), seeds=2)) == (
        "at least 3 seeds are needed for a verdict"
    )
    assert turning(judged("x", at_most(1), UNKNOWN)) == "there is no interval to judge"


def test_a_verdict_by_itself_says_all_that_it_rests_on():
    finding = judged(
        "a sentence",
        at_most(0.5),
        UNKNOWN,
        seeds=7,
        budget="3",
        convention="δ_t = λα_t",
        notes="2 cells diverged",
    )
    assert finding.conditions == "7 seeds; budget 3; δ_t = λα_t; 2 cells diverged"
    report = Report(
        name="some",
        claim="A claim.",
        mode="default",
        command="python -m experiments run some",
        data="photos10",
        provenance={"commit": "abc"},
        tolerances="0" * 64,
        seconds=1.5,
        findings=[finding],
    )
    (one,) = verdict_objects(report)
    json.dumps(one, allow_nan=False)
    wanted = "claim predicted measured interval tolerance verdict seeds data budget "
    wanted += "convention commit seconds tolerances command turning"
    assert set(wanted.split()) <= set(one)
    assert one["interval"] == {"estimate": None, "low": None, "high": None}
    assert one["band"] == {"low": None, "high": 0.5, "prediction": None}
