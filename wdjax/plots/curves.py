"""Test error against train loss or decay budget, and intervals side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from wdjax.plots import style
from wdjax.stats import Interval


def error_against_loss(
    ax: Axes,
    train_loss: Float[np.ndarray, " cells"],
    test_error: Float[np.ndarray, " cells"],
    *,
    label: str,
    colour: str,
    marker: str = "o",
) -> PathCollection:
    """One dot per cell: does it generalise better, or only train better?

    Args:
        ax: where to draw.
        train_loss: final training loss of each cell, positive; drawn on a log axis.
        test_error: its test error, in percent.
        label: the method, for the legend.
        colour: of the dots.
        marker: their shape.

    Returns:
        The dots.
    """
    look: dict[str, Any] = {"label": label, "color": colour, "marker": marker}
    dots = _dots(ax, train_loss, test_error, **look)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # within a decade or two
    ax.set_xlabel("train loss")
    return dots


def error_against_budget(
    ax: Axes,
    budget: Float[np.ndarray, " cells"],
    test_error: Float[np.ndarray, " cells"],
    *,
    label: str,
    colour: str,
    marker: str = "o",
) -> PathCollection:
    r"""One dot per cell: how much decay did it take?

    Args:
        ax: where to draw.
        budget: :math:`\sum_t \delta_t` of each cell, positive; drawn on a log axis.
        test_error: its test error, in percent.
        label: the method, for the legend.
        colour: of the dots.
        marker: their shape.

    Returns:
        The dots.
    """
    look: dict[str, Any] = {"label": label, "color": colour, "marker": marker}
    dots = _dots(ax, budget, test_error, **look)
    ax.set_xlabel(r"decay budget $\Sigma_t\,\delta_t$")
    return dots


def _dots(
    ax: Axes,
    x: Float[np.ndarray, " cells"],
    test_error: Float[np.ndarray, " cells"],
    **look: Any,
) -> PathCollection:
    ax.set(xscale="log", ylabel="test error (%)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    dots: dict[str, Any] = {
        "linewidths": 0.5,
        "edgecolors": "white",
        "alpha": 0.85,
        "s": 34,
    }
    return ax.scatter(x, test_error, **dots, **look)


def intervals(
    ax: Axes,
    labels: Sequence[str],
    intervals: Sequence[Interval],
    *,
    colours: Sequence[str],
    xlabel: str = "test error (%)",
) -> list[ErrorbarContainer]:
    """A point and its interval per row, the first row on top.

    Args:
        ax: where to draw.
        labels: one name per row.
        intervals: one interval per row, in the unit of ``xlabel``; where the ends are
            NaN the point stands alone, where the estimate is, words stand for it.
        colours: one colour per row.
        xlabel: the quantity and its unit.

    Returns:
        The rows.
    """
    look = {"fmt": "o", "markersize": 7, "capsize": 4, "elinewidth": 2, "capthick": 1.5}
    drawn = []
    for row, (interval, colour) in enumerate(zip(intervals, colours, strict=True)):
        estimate, low, high = interval
        arms = [[estimate - low], [high - estimate]]
        drawn.append(ax.errorbar([estimate], [row], xerr=arms, color=colour, **look))
        if not np.isfinite(estimate):
            at = {"x": 0.02, "y": row, "transform": ax.get_yaxis_transform()}
            ax.text(s="no finite result", va="center", color=style.GREY, **at)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=style.PALE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel(xlabel)
    return drawn
