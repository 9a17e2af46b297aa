"""Error over learning rate × decay, with λ = 0 beyond a broken axis."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from wdjax.plots import style

_GAP = 0.45  # of a row: between the smallest decay and the strip of λ = 0
_MAX_LABELS = 5  # per axis, so that they never touch
_HALO = [patheffects.withStroke(linewidth=3, foreground="white")]


class _Rows(NamedTuple):
    """Where the rows of one map lie on its logarithmic decay axis."""

    edges: Float[np.ndarray, " rows+1"]
    strip: tuple[float, float]  # lower and upper edge of λ = 0

    @property
    def strip_centre(self) -> float:
        return float(np.sqrt(self.strip[0] * self.strip[1]))


def _edges(centres: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n+1"]:
    inner = np.sqrt(centres[1:] * centres[:-1])
    first, last = centres[0] ** 2 / inner[0], centres[-1] ** 2 / inner[-1]
    return np.concatenate([[first], inner, [last]])


def _rows(decays: Float[np.ndarray, " decays"]) -> _Rows:
    edges = _edges(decays)
    ratio = edges[1] / edges[0]
    return _Rows(edges, (edges[0] / ratio ** (1 + _GAP), edges[0] / ratio**_GAP))


def _numbers(values: Float[np.ndarray, " n"]) -> list[str]:
    """Tick labels in one style: plain where all are handy, powers of ten otherwise."""
    if values.min() >= 1e-3 and values.max() < 1e3:
        return [f"{value:.2g}" for value in values]
    parts = [f"{value:.1e}".split("e") for value in values]
    alone = all(mantissa == "1.0" for mantissa, _ in parts)
    return [
        f"$10^{{{int(power)}}}$"
        if alone
        else rf"${mantissa.removesuffix('.0')}\!\cdot\!10^{{{int(power)}}}$"
        for mantissa, power in parts
    ]


def _labelled(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """The decades that the grid spans, or its own values where it spans few."""
    low, high = np.log10(values[0]) - 1e-9, np.log10(values[-1]) + 1e-9
    decades = 10.0 ** np.arange(np.ceil(low), np.floor(high) + 1)
    shown = decades if len(decades) >= 3 else values
    step = -(-len(shown) // _MAX_LABELS)
    return shown[(len(shown) - 1) % step // 2 :: step]


def _ticks(axis, values: Float[np.ndarray, " n"], zero: Sequence[float] = ()) -> None:
    shown = _labelled(values)
    axis.set_major_locator(FixedLocator([*zero, *shown]))
    axis.set_major_formatter(FixedFormatter(["0" for _ in zero] + _numbers(shown)))
    axis.set_minor_locator(NullLocator())


def _hatch(
    ax: Axes,
    x_edges: Sequence[float],
    y_edges: Sequence[float],
    diverged: Bool[np.ndarray, "rows columns"],
) -> None:
    named = any(patch.get_label() == "diverged" for patch in ax.patches)
    for i, j in np.argwhere(diverged):
        cell = Rectangle(
            (x_edges[j], y_edges[i]),
            width=x_edges[j + 1] - x_edges[j],
            height=y_edges[i + 1] - y_edges[i],
            facecolor="#DDDDDD",
            edgecolor="#9A9A9A",
            hatch="////",
            linewidth=0,
            label="_nolegend_" if named else "diverged",  # one entry for them all
            zorder=1,
        )
        ax.add_patch(cell)
        named = True


def _break_axis(ax: Axes, rows: _Rows) -> None:
    """Cut the left spine open between λ = 0 and the smallest decay."""
    low, high = rows.strip[1], rows.edges[0]
    across = ax.get_yaxis_transform()  # x in axes, y in data
    line = {"transform": across, "clip_on": False, "solid_capstyle": "butt"}
    ax.plot([0, 0], [low, high], color="white", linewidth=3, zorder=10, **line)
    slant = (high / low) ** 0.25
    for y in (low, high):
        ends = [y / slant, y * slant]
        ax.plot([-0.02, 0.02], ends, color=style.INK, linewidth=1, zorder=11, **line)


def _own_range(errors, zero_errors) -> Normalize:
    values = np.concatenate([errors.ravel(), zero_errors])
    finite = values[np.isfinite(values)]
    return Normalize(finite.min(), finite.max()) if len(finite) else Normalize(0, 1)


def error_heat_map(
    ax: Axes,
    learning_rates: Float[np.ndarray, " columns"],
    decays: Float[np.ndarray, " rows"],
    errors: Float[np.ndarray, "rows columns"],
    *,
    diverged: Bool[np.ndarray, "rows columns"],
    zero_errors: Float[np.ndarray, " columns"] | None = None,
    norm: Normalize | None = None,
    best: tuple[float | int, float | int] | None = None,
) -> QuadMesh:
    r"""Error of every cell of a grid; logarithmic axes, and λ = 0 in a row of its own.

    Cells that diverged or have no finite error are hatched, and named "diverged" in the
    legend, as the best cell is named "best"; ``ax.legend()`` is the caller's.

    Args:
        ax: where to draw.
        learning_rates: :math:`\alpha`, at least two, positive, increasing.
        decays: :math:`\lambda`, at least two, positive, increasing.
        errors: in one unit, say percent, averaged over seeds by the caller.
        diverged: cells not to be read as errors.
        zero_errors: errors at :math:`\lambda = 0`, drawn beyond the broken axis.
        norm: colour scale, to be shared between maps; their own range if not given.
        best: the ringed cell's (learning rate, decay); decay 0 is the strip.

    Returns:
        The cells, for a colour bar.
    """
    zero = np.empty(0) if zero_errors is None else zero_errors
    errors = np.where(diverged, np.nan, errors)
    norm = norm or _own_range(errors, zero)
    x, rows = _edges(learning_rates), _rows(decays)
    with_strip = zero_errors is not None

    ax.set(xscale="log", yscale="log")
    mesh = ax.pcolormesh(x, rows.edges, errors, norm=norm, zorder=0)
    _hatch(ax, x.tolist(), rows.edges.tolist(), ~np.isfinite(errors))
    if with_strip:
        ax.pcolormesh(x, rows.strip, zero[None], norm=norm, zorder=0)
        _hatch(ax, x.tolist(), rows.strip, ~np.isfinite(zero[None]))
        _break_axis(ax, rows)
    _ticks(ax.xaxis, learning_rates)
    _ticks(ax.yaxis, decays, [rows.strip_centre] if with_strip else [])
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(rows.strip[0] if with_strip else rows.edges[0], rows.edges[-1])
    ax.set_xlabel(r"learning rate $\alpha$")
    ax.set_ylabel(r"decay $\lambda$")
    if best is not None:
        ring = {"markerfacecolor": "none", "markeredgewidth": 2, "linestyle": "none"}
        y = best[1] if best[1] > 0 else rows.strip_centre
        look = {"marker": "o", "markersize": 12, "color": style.INK, "zorder": 6} | ring
        ax.plot([best[0]], [y], label="best", path_effects=_HALO, **look)
    return mesh


def sheared_heat_map(
    ax: Axes,
    learning_rates: Float[np.ndarray, " columns"],
    decays: Float[np.ndarray, "rows columns"],
    errors: Float[np.ndarray, "rows columns"],
    *,
    norm: Normalize | None = None,
) -> QuadMesh:
    r"""Error of every cell of a grid whose decays differ from column to column.

    As a grid in one convention looks in another: :math:`\lambda_I = \alpha\lambda_D`
    shifts every column by its own learning rate. Each cell keeps its column's width
    and is centred on its own decay.

    Args:
        ax: where to draw.
        learning_rates: :math:`\alpha`, at least two, positive, increasing.
        decays: :math:`\lambda` of every cell, at least two rows, positive, increasing
            along each column.
        errors: in one unit, averaged over seeds by the caller; hatched as "diverged"
            where not finite.
        norm: colour scale, to be shared between maps; their own range if not given.

    Returns:
        The last column's cells, for a colour bar.
    """
    norm = norm or _own_range(errors, np.empty(0))
    x, y = _edges(learning_rates), np.stack([_edges(column) for column in decays.T])
    ax.set(xscale="log", yscale="log")
    meshes = []
    for j, column in enumerate(errors.T):
        sides = x[j : j + 2]
        mesh = ax.pcolormesh(sides, y[j], column[:, None], norm=norm, zorder=0)
        _hatch(ax, sides.tolist(), y[j].tolist(), ~np.isfinite(column)[:, None])
        meshes.append(mesh)
    _ticks(ax.xaxis, learning_rates)
    _ticks(ax.yaxis, np.sort(decays, axis=None))
    ax.set(xlim=(x[0], x[-1]), ylim=(y.min(), y.max()))
    ax.set_xlabel(r"learning rate $\alpha$")
    ax.set_ylabel(r"decay $\lambda$")
    return meshes[-1]


def ridge(
    ax: Axes,
    learning_rates: Float[np.ndarray, " columns"],
    best_decays: Float[np.ndarray, " columns"],
    *,
    slope: float | int,
    predicted_slope: float | int,
) -> tuple[Line2D, Line2D, Line2D]:
    r"""The best decays, the line fitted to them and the line predicted.

    Both lines pass through the centroid of the points in logarithms, as a least-squares
    line does, and span the columns that have a point.

    Args:
        ax: logarithmic axes, as :func:`error_heat_map` leaves them.
        learning_rates: :math:`\alpha`.
        best_decays: :math:`\lambda^\star`; NaN where censored.
        slope: :math:`d\log\lambda^\star/d\log\alpha` as fitted; NaN draws no line.
        predicted_slope: the same as predicted.

    Returns:
        The points, the fitted line and the predicted line.
    """
    kept = np.isfinite(best_decays)
    x, y = np.log(learning_rates[kept]), np.log(best_decays[kept])
    xs = np.exp(x)

    def line(slope: float, label: str, dashes) -> Line2D:
        ys = np.exp(y.mean() + slope * (x - x.mean())) if kept.any() else xs
        look = {"color": style.INK, "linewidth": 1.8, "zorder": 4}
        return ax.plot(
            xs, ys, linestyle=dashes, label=label, path_effects=_HALO, **look
        )[0]

    fitted = line(slope, f"fitted slope {slope:.2f}".replace("-", "−"), "-")
    dashes = (0, (4, 2.5))
    name = f"predicted slope {predicted_slope:g}".replace("-", "−")
    predicted = line(predicted_slope, name, dashes)
    look = {"marker": "o", "markersize": 5.5, "color": style.INK, "linestyle": "none"}
    look |= {"markeredgecolor": "white", "markeredgewidth": 1, "zorder": 5}
    points = ax.plot(xs, np.exp(y), label=r"$\lambda^*$", **look)[0]
    return points, fitted, predicted
