"""The figure of a learning-rate × decay study: heat maps, slopes, best cells."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from wdjax import plots, stats


class Map(NamedTuple):
    """One heat map of the figure.

    Attributes:
        title: method and convention.
        decay_label: what λ means here, for an axis.
        convention: the same, for a table.
        panel: the cells; ``paper`` draws them at λ_paper = αλ.
        slope: the ridge.
        predicted: its predicted slope.
        paper: whether the decay is drawn in the paper's units.
    """

    title: str
    decay_label: str
    convention: str
    panel: xr.Dataset
    slope: stats.BasinSlope
    predicted: float
    paper: bool = False


def draw(
    maps: Sequence[Map],
    best: Mapping[str, stats.Interval],
    caption: str,
    tolerance: float,
) -> Figure:
    """Heat maps on one colour scale, the slopes beside their predictions, the best.

    Args:
        maps: five, in the order of reading.
        best: the test error of each method's best cell, in percent.
        caption: data, seeds, budget of steps: what every reader must know.
        tolerance: half-width of the slope's band.

    Returns:
        The figure; saving it is the caller's.
    """
    figure = Figure(figsize=(13, 13), layout="constrained")
    axes = figure.subplots(3, 3)
    norm = _norm([m.panel for m in maps])
    places = [axes[0, 0], axes[0, 1], axes[1, 0], axes[1, 1], axes[1, 2]]
    for ax, one in zip(places, maps, strict=True):
        _heat_map(ax, one, norm)
    bar = figure.colorbar(
        ScalarMappable(norm), ax=axes[1, :], extend="max", shrink=0.9, pad=0.01
    )
    bar.set_label("validation error (%), mean over seeds")
    _slopes(axes[0, 2], maps, tolerance)
    runs = [m.panel for m in maps if not m.paper]
    _cells(axes[2, 0], runs, plots.curves.error_against_loss, "train_loss")
    _best(axes[2, 1], best)
    _cells(axes[2, 2], runs, plots.curves.error_against_budget, "decay_budget")
    _legend(figure, places)
    figure.suptitle(caption, fontsize=11)
    return figure


def _legend(figure: Figure, heat_maps: Sequence[Axes]) -> None:
    """One legend for all maps: their lines differ in place only."""
    handles = {}
    for ax in heat_maps:
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=5)


def _percent(panel: xr.Dataset, name: str) -> xr.DataArray:
    """Seed mean, (decay, learning rate); NaN where any seed diverged."""
    mean = 100 * panel[name].mean("seed", skipna=False)
    return mean.transpose("decay", "learning_rate")


def _norm(panels: Sequence[xr.Dataset]) -> Normalize:
    """From the best cell to the upper quartile: the basin takes the colours."""
    errors = np.concatenate([_percent(p, "validation_error").values for p in panels])
    finite = errors[np.isfinite(errors)]
    if finite.size == 0:
        return Normalize(0.0, 100.0)
    return Normalize(finite.min(), np.quantile(finite, 0.75))


def _heat_map(ax: Axes, one: Map, norm: Normalize) -> None:
    errors = _percent(one.panel, "validation_error")
    alphas, decays = errors.learning_rate.values, errors.decay.values[1:]
    diverged = ~np.isfinite(errors.values[1:])
    if one.paper:
        grid = decays[:, None] * alphas[None, :]
        plots.heat_map.sheared_heat_map(ax, alphas, grid, errors.values[1:], norm=norm)
    else:
        plots.heat_map.error_heat_map(
            ax,
            alphas,
            decays,
            errors.values[1:],
            diverged=diverged,
            zero_errors=errors.values[0],
            norm=norm,
            best=_best_place(errors),
        )
    estimate = one.slope.slope.estimate
    _, fitted, predicted = plots.heat_map.ridge(
        ax,
        alphas,
        one.slope.best_decays,
        slope=estimate,
        predicted_slope=one.predicted,
    )
    fitted.set_label("fitted slope")
    predicted.set_label("predicted slope")
    measured = f"{estimate:.2f}" if np.isfinite(estimate) else "undecided"
    title = f"{one.title}: slope {measured}, predicted {one.predicted:g}"
    ax.set(title=title.replace("-", "−"), ylabel=one.decay_label)


def _best_place(errors: xr.DataArray) -> tuple[float, float] | None:
    if not np.isfinite(errors).any():
        return None
    where = errors.argmin(("decay", "learning_rate"), skipna=True)
    cell = errors.isel({str(k): int(v) for k, v in where.items()})
    return float(cell.learning_rate), float(cell.decay)


def _slopes(ax: Axes, maps: Sequence[Map], tolerance: float) -> None:
    """Measured slopes with their intervals, over the bands predicted."""
    for row, one in enumerate(maps):
        low, high = one.predicted - tolerance, one.predicted + tolerance
        ax.fill_betweenx(
            [row - 0.4, row + 0.4], low, high, color=plots.style.PALE, linewidth=0
        )
    plots.curves.intervals(
        ax,
        [m.title for m in maps],
        [m.slope.slope for m in maps],
        colours=[_colour(m.panel) for m in maps],
        xlabel=r"slope $d\log\lambda^\star / d\log\alpha$",
    )
    ax.set_title("Slopes, over the bands predicted")


def _cells(
    ax: Axes, panels: Sequence[xr.Dataset], curve: Callable[..., object], against: str
) -> None:
    """Every cell with decay: test error against another of its numbers."""
    for panel in panels:
        mark = plots.style.METHODS[panel.attrs["method"]]
        x = panel[against].mean("seed", skipna=False)
        curve(
            ax,
            x.transpose("decay", "learning_rate").values[1:].ravel(),
            _percent(panel, "test_error").values[1:].ravel(),
            label=panel.attrs["method"],
            colour=mark.colour,
            marker=mark.marker,
        )
    ax.legend(fontsize=9)
    ax.set_title("Every cell with decay")


def _best(ax: Axes, best: Mapping[str, stats.Interval]) -> None:
    plots.curves.intervals(
        ax,
        list(best),
        list(best.values()),
        colours=[plots.style.METHODS[n].colour for n in best],
    )
    ax.set_title("Test error of the best cell by validation")


def _colour(panel: xr.Dataset) -> str:
    return plots.style.METHODS[panel.attrs["method"]].colour
