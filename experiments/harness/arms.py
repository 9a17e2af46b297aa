"""The figure of a comparison of selected cells: all cells, errors, differences."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes

from wdjax import plots, stats

NO_DECAY = plots.style.INK

Errors = Mapping[str, Float[np.ndarray, " seeds"]]


def cells(ax: Axes, grids: Mapping[str, xr.Dataset], title: str) -> None:
    """Test error against train loss, a dot for each cell: seed means.

    Args:
        ax: where to draw.
        grids: by method, decay 0 first; that row is drawn once.
        title: the network.
    """
    for method, grid in grids.items():
        mark = plots.style.METHODS[method]
        _dots(ax, grid.isel(decay=slice(1, None)), method, mark.colour, mark.marker)
    _dots(ax, next(iter(grids.values())).isel(decay=[0]), "λ = 0", NO_DECAY, "X")
    ax.legend(fontsize=9)
    ax.set_title(f"{title}: every cell")


def _dots(ax: Axes, grid: xr.Dataset, label: str, colour: str, marker: str) -> None:
    mean = grid[["train_loss", "test_error"]].mean("seed", skipna=False)
    plots.curves.error_against_loss(
        ax,
        mean.train_loss.values.ravel(),
        100 * mean.test_error.values.ravel(),
        label=label,
        colour=colour,
        marker=marker,
    )


def errors(ax: Axes, arms: Errors) -> None:
    """The selected cells' test errors on fresh seeds: each seed, mean and interval.

    Args:
        ax: where to draw.
        arms: test error in percent, by arm.
    """
    rng = np.random.default_rng(0)  # of the jitter
    for row, (name, values) in enumerate(arms.items()):
        jitter = row + rng.uniform(-0.22, 0.22, len(values))
        ax.scatter(values, jitter, s=9, color=colour(name), alpha=0.35, linewidths=0)
    plots.curves.intervals(
        ax,
        list(arms),
        [stats.mean_interval(values) for values in arms.values()],
        colours=[colour(name) for name in arms],
    )
    ax.set_title("Selected cells on fresh seeds")


def differences(ax: Axes, arms: Errors, margin: float, paper: float) -> None:
    """Paired differences: each seed, the interval judged, and what was predicted.

    That is the 95 % interval for the first, and 90 % for equivalence.

    Args:
        ax: where to draw.
        arms: AdamW, Adam+L2 and no decay, in this order, in percent.
        margin: of equivalence, drawn as a band about 0.
        paper: the paper's relative improvement in percent, as a tick.
    """
    adamw, adam_l2, none = arms.values()
    equal = stats.equivalence(adam_l2, none, margin).interval
    rows = {
        "AdamW\n− Adam+L2": (adamw - adam_l2, colour("AdamW")),
        "Adam+L2\n− λ = 0": (adam_l2 - none, colour("Adam+L2")),
    }
    ax.fill_betweenx([0.5, 1.5], -margin, margin, color=plots.style.PALE, linewidth=0)
    ax.axvline(0.0, color=plots.style.GREY, linewidth=1.0, zorder=1)
    rng = np.random.default_rng(0)
    for row, (values, shade) in enumerate(rows.values()):
        jitter = row + rng.uniform(-0.22, 0.22, len(values))
        ax.scatter(values, jitter, s=9, color=shade, alpha=0.35, linewidths=0)
    plots.curves.intervals(
        ax,
        list(rows),
        [stats.paired_interval(adamw, adam_l2), equal],
        colours=[shade for _, shade in rows.values()],
        xlabel="paired difference of test error (points)",
    )
    at = -paper / 100 * float(np.mean(adam_l2))
    ax.plot([at, at], [-0.35, 0.35], color=plots.style.GREY, linestyle="--")
    ax.annotate(
        f"paper: −{paper:g} %\nof the error",
        (at, 0.36),
        ha="center",
        va="top",
        fontsize=9,
        color=plots.style.GREY,
    )
    ax.set_title("Predicted: below 0, and inside the band")


def colour(arm: str) -> str:
    """A method's own; ink for no decay."""
    return plots.style.METHODS[arm].colour if arm in plots.style.METHODS else NO_DECAY
