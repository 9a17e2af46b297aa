"""What an experiment found: one row of the table of outcomes."""

from typing import NamedTuple

from wdjax.stats import Verdict


class Finding(NamedTuple):
    """One checked sentence: predicted before the run, measured, judged.

    Attributes:
        claim: the sentence that was checked.
        predicted: what theory says, as text with its tolerance.
        measured: what the run gave, as text with its interval or its residual.
        verdict: the judgement by the rule fixed beforehand.
        notes: conditions that a reader must know (seeds, data, censoring).
    """

    claim: str
    predicted: str
    measured: str
    verdict: Verdict
    notes: str = ""
