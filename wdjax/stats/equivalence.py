r"""Are two methods equal for all that matters? Two one-sided tests (TOST).

A difference that is not significant may be any difference measured badly. Equivalence
turns the burden round: the hypothesis to be rejected is that the methods differ by
*more* than a margin.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from wdjax.stats.intervals import Interval, mean_interval
from wdjax.stats.verdicts import Verdict, verdict


class Equivalence(NamedTuple):
    r"""Two one-sided tests of a mean difference :math:`d` against a margin.

    Attributes:
        interval: the mean difference, with its :math:`1 - 2\times` size interval.
        p_low: p-value of :math:`H_0: d \le -\text{margin}`.
        p_high: p-value of :math:`H_0: d \ge \text{margin}`.
        verdict: PASS when the interval lies inside ± margin, which is when both
            p-values are at most the size; FAIL when it lies outside.
    """

    interval: Interval
    p_low: float
    p_high: float
    verdict: Verdict

    @property
    def p_value(self) -> float:
        """Of the hypothesis that they are not equivalent: the larger of the two."""
        return float(np.maximum(self.p_low, self.p_high))


def equivalence(
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " n"],
    margin: float,
    size: float = 0.05,
) -> Equivalence:
    r"""Two one-sided paired t tests of :math:`|E(a_i - b_i)| < \text{margin}`.

    .. math:: p_{\text{low}} = P\!\left(T_{n-1} \ge
                  \frac{\bar d + \text{margin}}{s_d/\sqrt n}\right), \qquad
              p_{\text{high}} = P\!\left(T_{n-1} \le
                  \frac{\bar d - \text{margin}}{s_d/\sqrt n}\right)

    with :math:`d_i = a_i - b_i` and :math:`s_d` its standard deviation. Both are at
    most ``size`` exactly where the :math:`1 - 2\times` size interval of
    :func:`~wdjax.stats.paired_interval` lies inside :math:`\pm` margin, which is how
    the verdict is found. Assumes differences that are independent and near normal; the
    size is exact at the margin for large :math:`n` and smaller for small :math:`n`,
    where neither test rejects.

    Args:
        a: one measurement per seed.
        b: the other method's, on the same seeds in the same order.
        margin: the largest difference that does not matter, > 0, in their unit.
        size: the probability of calling methods equivalent that differ by the margin,
            in (0, ½).

    Returns:
        The tests; NaN p-values and INCONCLUSIVE for fewer than two measurements, or
        when one is not finite.

    Raises:
        ValueError: the margin is not positive.

    References:
        Schuirmann, *A comparison of the two one-sided tests procedure and the power
        approach for assessing the equivalence of average bioavailability*, 1987.
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}; it must be positive.")
    d = a - b
    interval = mean_interval(d, 1 - 2 * size)
    judged = verdict(interval, 0.0, margin)
    if not np.isfinite(interval).all():
        return Equivalence(interval, np.nan, np.nan, judged)
    if np.ptp(d) == 0:  # no spread: t is infinite, or 0/0 at the margin
        low, high = float(d[0] < -margin), float(d[0] > margin)
        return Equivalence(interval, low, high, judged)
    standard_error = np.std(d, ddof=1) / np.sqrt(len(d))
    t = stats.t(len(d) - 1)
    p_low = float(t.sf((np.mean(d) + margin) / standard_error))
    p_high = float(t.cdf((np.mean(d) - margin) / standard_error))
    return Equivalence(interval, p_low, p_high, judged)
