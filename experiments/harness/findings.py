"""What an experiment found: sentences checked by numbers.

A sentence is a :class:`Band` that theory allows and an interval that the run gave; the
verdict follows from the two, by :func:`wdjax.stats.band_verdict`, and so does what
would have changed it (:func:`turning`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from experiments.harness.tolerances import tolerances
from wdjax.stats import Interval, Verdict, band_verdict, exact

SEEDS_AT_LEAST = int(tolerances("verdicts")["seeds_at_least"])


class Band(NamedTuple):
    """What a prediction allows, ends included.

    Attributes:
        low: −∞ for "at most".
        high: ∞ for "at least".
        prediction: the number that theory names, where it names one.
    """

    low: float
    high: float
    prediction: float | None = None

    @property
    def tolerance(self) -> float | None:
        """The half-width about a prediction."""
        return None if self.prediction is None else self.high - self.prediction

    def text(self, spec: str) -> str:
        """The band in words, with numbers in a format."""
        if self.prediction is not None:
            return f"{signed(self.prediction, spec)} ± {self.tolerance:g}"
        if math.isinf(self.low):
            return f"at most {signed(self.high, spec)}"
        if math.isinf(self.high):
            return f"at least {signed(self.low, spec)}"
        return f"from {signed(self.low, spec)} to {signed(self.high, spec)}"


def around(prediction: float, tolerance: float) -> Band:
    """``prediction`` ± ``tolerance``."""
    prediction = float(prediction)
    return Band(prediction - tolerance, prediction + tolerance, prediction)


def at_most(limit: float) -> Band:
    """Everything up to ``limit``."""
    return Band(-math.inf, float(limit))


def at_least(limit: float) -> Band:
    """Everything from ``limit`` on."""
    return Band(float(limit), math.inf)


class Finding(NamedTuple):
    """One checked sentence: predicted before the run, measured, judged.

    Attributes:
        claim: the sentence that was checked.
        predicted: what theory says, as text with its tolerance.
        measured: what the run gave, as text with its interval or its residual.
        verdict: by the rule fixed beforehand.
        interval: what was measured, in numbers.
        band: what was predicted, in numbers.
        seeds: independent repetitions; 0 where nothing is random.
        budget: the decay budget Σδ_t of the runs compared, as text.
        convention: of every decay that is named.
        notes: other conditions that a reader must know (data, censoring).
    """

    claim: str
    predicted: str
    measured: str
    verdict: Verdict
    interval: Interval
    band: Band
    seeds: int = 0
    budget: str = ""
    convention: str = ""
    notes: str = ""

    @property
    def conditions(self) -> str:
        """Seeds, budget, convention and notes, in one line."""
        parts = (
            f"{self.seeds} seeds" if self.seeds else "",
            f"budget {self.budget}" if self.budget else "",
            self.convention,
            self.notes,
        )
        return "; ".join(part for part in parts if part)


def judged(
    claim: str,
    band: Band,
    interval: Interval,
    *,
    spec: str = ".3g",
    predicted: str | None = None,
    measured: str | None = None,
    seeds: int = 0,
    budget: str = "",
    convention: str = "",
    notes: str = "",
) -> Finding:
    """Judge one sentence.

    Args:
        claim: the sentence.
        band: what theory allows.
        interval: what the run gave, in the same unit.
        spec: the format of numbers, where they are not given as text.
        predicted: the prediction in words; the band if not given.
        measured: likewise for the measurement.
        seeds: independent repetitions behind the interval; 0 where nothing is random.
            Fewer than ``seeds_at_least`` decide nothing.
        budget: as in :class:`Finding`, and what follows.
        convention: of the decays.
        notes: the rest.

    Returns:
        The finding with its verdict.
    """
    few = 0 < seeds < SEEDS_AT_LEAST
    verdict = (
        Verdict.INCONCLUSIVE if few else band_verdict(interval, band.low, band.high)
    )
    return Finding(
        claim,
        band.text(spec) if predicted is None else predicted,
        shown(interval, spec) if measured is None else measured,
        verdict,
        Interval(*map(float, interval)),
        Band(*band),
        seeds,
        budget,
        convention,
        notes,
    )


def equality(
    claim: str,
    error: float,
    tolerance: float,
    *,
    predicted: str,
    measured: str | None = None,
    convention: str = "",
    notes: str = "",
) -> Finding:
    """Judge that two things are equal, where nothing is random.

    Args:
        claim: the sentence.
        error: the largest by which they differ.
        tolerance: the largest allowed, in the same unit.
        predicted: what they are, in words; the tolerance is added.
        measured: in words; by how much they differ if not given.
        convention: of the decays.
        notes: the rest.

    Returns:
        The finding with its verdict.
    """
    return judged(
        claim,
        at_most(tolerance),
        exact(error),
        predicted=f"{predicted}, ± {tolerance:g}",
        measured=f"off by at most {error:.1e}" if measured is None else measured,
        convention=convention,
        notes=notes,
    )


def inequality(
    claim: str,
    distance: float,
    least: float,
    *,
    predicted: str,
    measured: str | None = None,
    convention: str = "",
    notes: str = "",
) -> Finding:
    """Judge that two things differ, where nothing is random.

    Args:
        claim: the sentence.
        distance: the smallest by which they differ.
        least: the smallest that is predicted, in the same unit.
        predicted: what is that far apart, in words; the number is added.
        measured: in words; the distance if not given.
        convention: of the decays.
        notes: the rest.

    Returns:
        The finding with its verdict.
    """
    return judged(
        claim,
        at_least(least),
        exact(distance),
        predicted=f"{predicted} at least {least:g}",
        measured=measured,
        convention=convention,
        notes=notes,
    )


def worst(findings: Sequence[Finding]) -> Finding:
    """The finding that decides about all of a kind: one sentence for many cells.

    Args:
        findings: of the same sentence, about one prediction each.

    Returns:
        One of the worst verdict, FAIL before INCONCLUSIVE before PASS; of those, the
        one with the end of its interval farthest from its prediction.
    """
    severity = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]

    def order(finding: Finding) -> tuple[int, float]:
        centre = finding.band.prediction or 0.0
        return severity.index(finding.verdict), max(
            abs(end - centre) for end in finding.interval
        )

    return max(findings, key=order)


def signed(number: float, spec: str) -> str:
    """A number with a true minus sign."""
    return format(number, spec).replace("-", "−")


def shown(interval: Interval, spec: str = ".3g") -> str:
    """An estimate with its interval; alone where it is exact or has none."""
    estimate, low, high = (signed(x, spec) for x in interval)
    alone = not math.isfinite(interval.low) or interval.low == interval.high
    return estimate if alone else f"{estimate} [{low}, {high}]"


def turning(finding: Finding) -> str:
    """By how much the estimate must differ, its interval with it, for each verdict.

    Shifted by :math:`s`, an interval :math:`[l, h]` lies inside the band
    :math:`[L, H]` for :math:`L - l ≤ s ≤ H - h`, and beside it for :math:`s < L - h`
    and for :math:`s > H - l`.
    """
    interval, band = finding.interval, finding.band
    if 0 < finding.seeds < SEEDS_AT_LEAST:
        return f"at least {SEEDS_AT_LEAST} seeds are needed for a verdict"
    if not all(map(math.isfinite, interval)):
        return "there is no interval to judge"
    inside = (band.low - interval.low, band.high - interval.high)
    beside = (band.low - interval.high, band.high - interval.low)
    shifts = {
        Verdict.PASS: [s for s in inside if inside[0] <= inside[1]],
        Verdict.FAIL: list(beside),
        Verdict.INCONCLUSIVE: []
        if interval.low == interval.high
        else list(beside if finding.verdict is Verdict.FAIL else inside),
    }
    del shifts[finding.verdict]
    found = [_nearest(verdict, by) for verdict, by in shifts.items()]
    return "; ".join(text for text in found if text)


def _nearest(verdict: Verdict, shifts: list[float]) -> str:
    finite = [s for s in shifts if math.isfinite(s)]
    if not finite:
        narrower = "only if the interval were narrower than the band"
        return f"{verdict} {narrower}" if verdict is Verdict.PASS else ""
    shift = min(finite, key=abs)
    way = "higher" if shift > 0 or (shift == 0 and shift == shifts[-1]) else "lower"
    return f"{verdict} if it were {f'{abs(shift):.2g}' if shift else 'any'} {way}"


class Outcome(NamedTuple):
    """What an experiment's ``run`` returns.

    Attributes:
        findings: one for each checked sentence.
        data: the data set's label, where there is one.
    """

    findings: list[Finding]
    data: str = "computed, no data set"
