"""Rules for λ, scored against tuning it: regrets, their intervals, their pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.harness import rates
from wdjax import stats
from wdjax.plots import style
from wdjax.stats import Interval

COLOURS = (
    style.VERMILLION,
    style.ORANGE,
    style.INK,
    style.GREEN,
    style.BLUE,
    style.PURPLE,
    style.GREY,
)


def best_rate(panel: xr.Dataset) -> float:
    """The vertex of a panel's basin, or its best grid point where there is none."""
    vertex = float(rates.bests([panel]).values[0])
    if np.isfinite(vertex):
        return vertex
    return float(panel.rate.values[best_place(panel)])


def best_place(panel: xr.Dataset) -> int:
    """The place of the least seed-mean validation loss; one with a NaN is last."""
    mean = panel.validation_loss.mean("seed", skipna=False).fillna(np.inf)
    return int(mean.argmin("rate"))


def regrets(
    panel: xr.Dataset, asked: Sequence[float] | np.ndarray
) -> Float[np.ndarray, "rates seeds"]:
    """Test loss at a rate less that of the rate selected by validation, in nats.

    Args:
        panel: the dense sweep, seeds by rates.
        asked: rates; between grid points the loss is linear in its logarithm, and
            beyond them it is that of the end.

    Returns:
        One for each rate and seed; negative where the selected rate was not
        the best in test.
    """
    test = panel.test_loss.values
    log_rates = np.log(panel.rate.values)
    at = np.array([np.interp(np.log(asked), log_rates, row) for row in test])
    return at.T - test[:, best_place(panel)]


def interval(
    numbers: Float[np.ndarray, " seeds"],
    without: Sequence[Float[np.ndarray, " rest"]],
    level: float = 0.95,
) -> Interval:
    """The mean of a number per seed that all seeds together calibrated.

    The wider of two: Student's over the seeds' numbers, which takes calibration and
    selection for given, and the jackknife, which repeats them without each seed.

    Args:
        numbers: one for each seed.
        without: those of the others, calibrated and selected without each seed in turn.
        level: the coverage.

    Returns:
        As :func:`wdjax.stats.mean_interval`.
    """
    found = stats.mean_interval(numbers, level)
    if not np.isfinite(found).all():
        return found
    jackknife = stats.jackknife(np.array([rest.mean() for rest in without]), level)
    # np.maximum: NaN, where a best rate without some seed does not exist, must win.
    half = float(np.maximum(found.high - found.estimate, jackknife))
    return Interval(found.estimate, found.estimate - half, found.estimate + half)


def basin(ax: Axes, panel: xr.Dataset, asked: Mapping[str, float], title: str) -> None:
    """Test loss over δ, and the rate that each rule asks for.

    Args:
        ax: where to draw.
        panel: the dense sweep.
        asked: decay rates by rule.
        title: what was changed.
    """
    losses = panel.test_loss.values.mean(axis=0)
    ax.plot(panel.rate, losses, color=style.INK, marker="o", markersize=3.5)
    place = best_place(panel)
    ax.plot(
        panel.rate[place], losses[place], marker="*", color=style.INK, markersize=13
    )
    reach = np.ptp(losses) or 1.0
    for row, (name, rate) in enumerate(asked.items()):
        at = float(np.clip(rate, panel.rate[0], panel.rate[-1]))
        top = losses.max() + 0.08 * reach * (row + 1)
        ax.plot(at, top, marker="v", color=COLOURS[row], markersize=7, label=name)
    ax.set(xscale="log", title=title, xlabel="decay rate δ of the peak step")
    ax.set_ylabel("test loss (nats)")


def heat(
    ax: Axes,
    table: Float[np.ndarray, "rules held_out"],
    rules: Sequence[str],
    changes: Sequence[str],
) -> None:
    """Mean regrets as a table of shaded numbers.

    Args:
        ax: where to draw.
        table: in nats.
        rules: the rows.
        changes: the columns.
    """
    finite = table[np.isfinite(table)]
    top = max(0.01, float(np.max(finite, initial=0.0)))
    ax.imshow(table, cmap="Oranges", vmin=0.0, vmax=1.3 * top, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        text = f"{value:.2f}".replace("-", "−")
        ax.text(column, row, text, ha="center", va="center", fontsize=9)
    ax.set_yticks(range(len(rules)), rules)
    ax.set_xticks(range(len(changes)), [c.replace(", ", ",\n") for c in changes])
    ax.tick_params(axis="x", labelsize=8, rotation=25, length=0)
    ax.tick_params(axis="y", length=0)
    ax.set_title("Regret (nats of test loss), mean over seeds")
