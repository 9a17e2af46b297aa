"""From numbers measured to a verdict.

=============  =====================================================================
`intervals`    of a mean, a difference, any estimate: Student's t, bootstrap, jackknife
`verdicts`     an interval against a band fixed beforehand
`equivalence`  two one-sided tests: equal for all that matters
`power_law`    exponents in several variables, with intervals
`basin`        the best decay, and how it moves with the learning rate
=============  =====================================================================

All in NumPy and SciPy, in float64. A diverged run is data: what it spoils becomes an
interval of NaN, which is INCONCLUSIVE, and never an exception.
"""

from wdjax.stats.basin import (
    MIN_COLUMNS,
    BasinSlope,
    BestDecays,
    Censoring,
    basin_slope,
    best_decays,
)
from wdjax.stats.equivalence import Equivalence, equivalence
from wdjax.stats.intervals import (
    UNKNOWN,
    Interval,
    bootstrap_interval,
    exact,
    jackknife,
    mean_interval,
    paired_bootstrap,
    paired_interval,
)
from wdjax.stats.power_law import PowerLaw, power_law
from wdjax.stats.verdicts import Verdict, band_verdict, verdict

__all__ = [
    "MIN_COLUMNS",
    "UNKNOWN",
    "BasinSlope",
    "BestDecays",
    "Censoring",
    "Equivalence",
    "Interval",
    "PowerLaw",
    "Verdict",
    "band_verdict",
    "basin_slope",
    "best_decays",
    "bootstrap_interval",
    "equivalence",
    "exact",
    "jackknife",
    "mean_interval",
    "paired_bootstrap",
    "paired_interval",
    "power_law",
    "verdict",
]
