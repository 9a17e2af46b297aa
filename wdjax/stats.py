r"""From numbers measured to a verdict: intervals, the fixed bands, basin slopes.

All in NumPy, in float64. A diverged run is data: what it spoils becomes an interval of
NaN, which is INCONCLUSIVE, and never an exception.
"""

import enum
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

MIN_COLUMNS = 5  # uncensored learning rates that a slope needs


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval, all in one unit."""

    estimate: float
    low: float
    high: float


UNKNOWN = Interval(np.nan, np.nan, np.nan)


class Verdict(enum.StrEnum):
    """What a measurement says of a prediction, by a band fixed beforehand."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


def verdict(
    interval: Interval | None, prediction: float | int, tolerance: float | int = 0
) -> Verdict:
    r"""Judge an interval against the band ``prediction`` ± ``tolerance``.

    Two one-sided tests at 5 % (TOST) are this with a 90 % interval; an exact claim is
    this with :func:`exact`.

    Args:
        interval: what was measured, or ``None`` where it is missing.
        prediction: the centre of the band, in the unit of ``interval``.
        tolerance: the half-width of the closed band, :math:`\ge 0`.

    Returns:
        PASS when the interval lies inside the band, FAIL when the two are disjoint,
        INCONCLUSIVE otherwise, and when anything is missing or not finite.
    """
    return band_verdict(interval, prediction - tolerance, prediction + tolerance)


def band_verdict(
    interval: Interval | None, low: float | int, high: float | int
) -> Verdict:
    r"""Judge an interval against the closed band from ``low`` to ``high``.

    Args:
        interval: what was measured, or ``None`` where it is missing.
        low: lower end of the band; :math:`-\infty` for "at most ``high``".
        high: upper end of the band; :math:`+\infty` for "at least ``low``".

    Returns:
        As :func:`verdict`.
    """
    if interval is None or not np.isfinite(interval).all():
        return Verdict.INCONCLUSIVE
    if low <= interval.low and interval.high <= high:
        return Verdict.PASS
    if interval.high < low or high < interval.low:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def exact(value: float | int) -> Interval:
    """A number without sampling error, as the interval that holds only itself."""
    return Interval(float(value), float(value), float(value))


def mean_interval(x: Float[np.ndarray, " n"], level: float = 0.95) -> Interval:
    r"""Student's interval for a mean.

    .. math:: \bar x \pm t_{n-1,\,(1+p)/2}\; s/\sqrt n

    Args:
        x: independent measurements, say one per seed.
        level: the coverage :math:`p`, in (0, 1).

    Returns:
        The mean and its interval; NaN ends for fewer than two measurements, NaN
        throughout when one of them is not finite.
    """
    if len(x) == 0 or not np.isfinite(x).all():
        return UNKNOWN
    mean = float(np.mean(x))
    if len(x) == 1:
        return Interval(mean, np.nan, np.nan)
    standard_error = np.std(x, ddof=1) / np.sqrt(len(x))
    half = float(stats.t.ppf((1 + level) / 2, len(x) - 1) * standard_error)
    return Interval(mean, mean - half, mean + half)


def paired_interval(
    a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"], level: float = 0.95
) -> Interval:
    r"""Student's interval for the mean of :math:`a_i - b_i`.

    Paired, because what two methods share (seed, initialisation, order of the data)
    cancels in the difference.

    Args:
        a: one measurement per seed.
        b: the other method's, on the same seeds in the same order.
        level: the coverage, in (0, 1).

    Returns:
        As :func:`mean_interval`.
    """
    return mean_interval(a - b, level)


def bootstrap_interval(
    x: Float[np.ndarray, " n"],
    level: float = 0.95,
    *,
    num_resamples: int = 9_999,
    seed: int = 0,
) -> Interval:
    """The bias-corrected, accelerated bootstrap (BCa) interval for a mean.

    For skewed measurements, and many of them: with 5 seeds every bootstrap covers too
    little, and :func:`mean_interval` is the one to use.

    Args:
        x: independent measurements, say one per seed.
        level: the coverage, in (0, 1).
        num_resamples: bootstrap samples drawn.
        seed: of the resampling.

    Returns:
        As :func:`mean_interval`; measurements that are all equal give zero width.

    References:
        Efron, *Better Bootstrap Confidence Intervals*, 1987, eq. (2.3).
    """
    if len(x) < 2 or not np.isfinite(x).all() or np.ptp(x) == 0:
        return mean_interval(x, level)  # where BCa itself is not defined
    low, high = stats.bootstrap(
        (x,),
        np.mean,
        n_resamples=num_resamples,
        confidence_level=level,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(np.mean(x)), float(low), float(high))


class Censoring(enum.StrEnum):
    """Why a learning rate has no best decay."""

    EDGE = "minimum at the edge of the grid"
    DIVERGED = "diverged cell among the five"
    CURVATURE = "curvature not positive"
    OUTSIDE = "vertex outside its five cells"


class BasinSlope(NamedTuple):
    r"""How the best decay moves with the learning rate.

    Attributes:
        slope: :math:`d\log\lambda^\star/d\log\alpha`; NaN throughout when inconclusive.
        best_decays: :math:`\lambda^\star` for each learning rate; NaN where censored.
        censored: for each learning rate the reason, or ``None``.
    """

    slope: Interval
    best_decays: Float[np.ndarray, " learning_rates"]
    censored: tuple[Censoring | None, ...]

    @property
    def num_censored(self) -> int:
        """Learning rates without a best decay."""
        return sum(reason is not None for reason in self.censored)


class _Vertex(NamedTuple):
    log_decay: float
    censored: Censoring | None


def _vertex(
    log_decays: Float[np.ndarray, " decays"],
    errors: Float[np.ndarray, "seeds decays"],
) -> _Vertex:
    mean = errors.mean(axis=0)  # NaN where one run diverged
    if np.isnan(mean).all():
        return _Vertex(np.nan, Censoring.DIVERGED)
    best = int(np.nanargmin(mean))
    if best in {0, len(mean) - 1} or len(mean) < 5:
        return _Vertex(np.nan, Censoring.EDGE)
    start = min(
        max(best - 2, 0), len(mean) - 5
    )  # one cell inside the edge: not centred
    x = log_decays[start : start + 5] - log_decays[best]
    five = mean[start : start + 5]
    if np.isnan(five).any():
        return _Vertex(np.nan, Censoring.DIVERGED)
    c2, c1, _ = np.polyfit(x, five, deg=2)
    if c2 <= 0:
        return _Vertex(np.nan, Censoring.CURVATURE)
    shift = -c1 / (2 * c2)
    if not x[0] <= shift <= x[-1]:
        return _Vertex(np.nan, Censoring.OUTSIDE)
    return _Vertex(float(log_decays[best] + shift), None)


class _Line(NamedTuple):
    slope: float
    standard_error: float
    num_points: int


def _line(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> _Line:
    kept = np.isfinite(y)
    n = int(kept.sum())
    if n < 3:
        return _Line(np.nan, np.nan, n)
    x, y = x[kept] - x[kept].mean(), y[kept] - y[kept].mean()
    slope = float((x @ y) / (x @ x))
    residual = y - slope * x
    variance = float(residual @ residual / (x @ x)) / (n - 2)
    return _Line(slope, variance**0.5, n)


def _leave_one_out(
    errors: Float[np.ndarray, "seeds decays columns"],
) -> list[Float[np.ndarray, "seeds-1 decays columns"]]:
    if len(errors) == 1:
        return []
    return [np.delete(errors, seed, axis=0) for seed in range(len(errors))]


def _jackknife(estimates: list[float]) -> float:
    """The standard error of an estimate, from the estimates without each seed."""
    n = len(estimates)
    if n == 0:
        return np.nan
    return float(np.sqrt(n - 1) * np.std(estimates))  # √((n−1)/n Σ(sᵢ − s̄)²)


def _check_grid(learning_rates, decays, errors, diverged) -> None:
    for name, axis in {"learning_rates": learning_rates, "decays": decays}.items():
        if not (np.isfinite(axis).all() and (np.diff(axis) > 0).all()):
            raise ValueError(f"{name} must be finite and increase strictly: {axis}.")
    if decays.min() < 0 or learning_rates.min() <= 0:
        raise ValueError("Learning rates must be positive and decays not negative.")
    grid = (len(decays), len(learning_rates))
    if errors.ndim != 3 or errors.shape[1:] != grid or errors.shape != diverged.shape:
        raise ValueError(
            "errors (and diverged, if given) must have axes (seed, decay, learning "
            f"rate) = (seeds, {grid[0]}, {grid[1]}); got {errors.shape} and "
            f"{diverged.shape}."
        )


def basin_slope(
    learning_rates: Float[np.ndarray, " learning_rates"],
    decays: Float[np.ndarray, " decays"],
    errors: Float[np.ndarray, "seeds decays learning_rates"],
    diverged: Bool[np.ndarray, "seeds decays learning_rates"] | None = None,
    level: float = 0.95,
) -> BasinSlope:
    r"""The slope :math:`d\log\lambda^\star/d\log\alpha` of the basin of best decays.

    For each learning rate, :math:`\log\lambda^\star` is the vertex of the quadratic
    through the five cells round the minimum of the seed mean; then least squares of
    :math:`\log\lambda^\star` on :math:`\log\alpha`. The row :math:`\lambda = 0` has no
    logarithm and is left out. A learning rate is censored, with its reason, when its
    minimum lies at the edge of the grid, when a run among the five cells diverged, when
    the curvature is not positive, or when the vertex lies outside the five cells: a
    basin that is nearly flat says nothing of its bottom. A cell with a diverged run is
    never the minimum. With fewer than five learning rates left the slope is NaN.

    **The interval** is the wider of two, as each is blind to what the other sees. The
    *regression* interval, Student's with (columns − 2) degrees of freedom, takes the
    columns for independent, so it does not see what one seed does to all of them. The
    *jackknife* over seeds, Student's with (seeds − 1), re-estimates everything,
    minimum and censoring too, without each seed in turn; it does not see a basin that
    is not straight. Their coverage at a nominal 95 %, on synthetic basins 3 points
    deep, 5 seeds (2 points of error apart), 7 learning rates at half an octave,
    9 decays at one octave, 1,000 repetitions:

    ======================================  ==========  =========  =====
    noise per run                           regression  jackknife  wider
    ======================================  ==========  =========  =====
    1 point, slope 0                              .938       .966   .983
    1 point, slope −1                             .950       .975   .992
    1 point, slope −2 (13 decays)                 .959       .974   .997
    0.3 points, slope varies by .2 by seed        .752       .952   .959
    0.3 points, columns .3 octaves off a line     .947       .764   .958
    ======================================  ==========  =========  =====

    Only the wider never covers less than 95 %; it errs on the side of INCONCLUSIVE.

    Args:
        learning_rates: :math:`\alpha`, positive, increasing.
        decays: :math:`\lambda \ge 0`, in any one convention, increasing.
        errors: validation error of each run, in any unit.
        diverged: runs to treat as diverged beside those whose error is not finite.
        level: the coverage, in (0, 1).

    Returns:
        The slope, the best decays and what was censored; with a single seed the ends of
        the interval are NaN.

    Raises:
        ValueError: if an axis does not increase, or the shapes do not agree.
    """
    errors = np.asarray(errors, np.float64)
    diverged = np.zeros(errors.shape, bool) if diverged is None else diverged
    _check_grid(learning_rates, decays, errors, diverged)

    positive = decays > 0
    log_alpha = np.log(np.asarray(learning_rates, np.float64))
    log_decays = np.log(np.asarray(decays, np.float64)[positive])
    errors = np.where(diverged | ~np.isfinite(errors), np.nan, errors)[:, positive]

    def fit(errors) -> tuple[list[_Vertex], _Line]:
        vertices = [_vertex(log_decays, column) for column in np.moveaxis(errors, 2, 0)]
        return vertices, _line(log_alpha, np.array([v.log_decay for v in vertices]))

    vertices, line = fit(errors)
    slope = UNKNOWN
    if line.num_points >= MIN_COLUMNS:
        columns = stats.t.ppf((1 + level) / 2, line.num_points - 2)
        seeds = stats.t.ppf((1 + level) / 2, max(len(errors) - 1, 1))
        without = [fit(rest)[1].slope for rest in _leave_one_out(errors)]
        # np.maximum and not max: NaN, where the jackknife is not defined, must win.
        half = np.maximum(columns * line.standard_error, seeds * _jackknife(without))
        half = float(half)
        slope = Interval(line.slope, line.slope - half, line.slope + half)
    return BasinSlope(
        slope,
        np.exp([v.log_decay for v in vertices]),
        tuple(v.censored for v in vertices),
    )
