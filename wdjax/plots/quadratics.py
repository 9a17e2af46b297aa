"""Paths of two parameters over the contours of a quadratic."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from matplotlib.quiver import Quiver
from matplotlib.text import Annotation

from wdjax.plots import style

_HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]


def contours(
    ax: Axes,
    H: Float[np.ndarray, "2 2"],
    theta_star: Float[np.ndarray, " 2"],
    *,
    xlim: tuple[float | int, float | int],
    ylim: tuple[float | int, float | int],
    levels: Sequence[float | int],
    colour: str = style.PALE,
) -> QuadContourSet:
    r"""Contours of :math:`\tfrac12(\theta-\theta^\star)^\top H(\theta-\theta^\star)`.

    Args:
        ax: where to draw; gets equal aspect, the limits and the axis labels.
        H: curvature, symmetric positive definite.
        theta_star: the minimiser.
        xlim: range of :math:`\theta_1`.
        ylim: range of :math:`\theta_2`.
        levels: heights of the contours, increasing.
        colour: of the lines.

    Returns:
        The contour set.
    """
    x, y = np.linspace(*xlim, 201), np.linspace(*ylim, 201)
    offset = np.stack(np.meshgrid(x, y), axis=-1) - theta_star
    height = np.einsum("...i,ij,...j->...", offset, H, offset) / 2
    ax.set(xlim=xlim, ylim=ylim, aspect="equal")
    ax.set_xlabel(r"$\theta_1$", labelpad=1)
    ax.set_ylabel(r"$\theta_2$", labelpad=1)
    return ax.contour(x, y, height, levels, colors=colour, linewidths=0.9, zorder=1)


def trajectory(
    ax: Axes,
    theta: Float[np.ndarray, "steps 2"],
    *,
    label: str,
    colour: str = style.INK,
    **line: Any,
) -> Line2D:
    """The iterates of one run, a dot per step.

    Args:
        ax: where to draw.
        theta: the iterates, the initial parameters first.
        label: for the legend.
        colour: of line and dots.
        **line: anything else for :meth:`matplotlib.axes.Axes.plot`.

    Returns:
        The line.
    """
    look = {"marker": "o", "markersize": 3.2, "linewidth": 1.2, "zorder": 3} | line
    return ax.plot(*theta.T, color=colour, label=label, **look)[0]


def pulls(
    ax: Axes,
    theta: Float[np.ndarray, "steps 2"],
    pull: Float[np.ndarray, "steps 2"],
    *,
    label: str,
    colour: str = style.VERMILLION,
) -> Quiver:
    r"""Arrows from parameters to where a pull alone would carry them, true to scale.

    Args:
        ax: where to draw.
        theta: where the arrows begin.
        pull: the arrows, say :math:`-\delta\theta`, in the units of ``theta``.
        label: for the legend.
        colour: of the arrows.

    Returns:
        The arrows.
    """
    return ax.quiver(
        *theta.T,
        *pull.T,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.0075,
        headwidth=4,
        headlength=4.5,
        headaxislength=4,
        color=colour,
        label=label,
        zorder=4,
    )


def limit_path(
    ax: Axes,
    path: Float[np.ndarray, "n 2"],
    *,
    label: str,
    colour: str = style.GREY,
    **line: Any,
) -> Line2D:
    """The limit point's path from the minimiser to the origin.

    Args:
        ax: where to draw.
        path: limit points, in order of the penalty.
        label: for the legend.
        colour: of the line.
        **line: anything else for :meth:`matplotlib.axes.Axes.plot`.

    Returns:
        The line.
    """
    look = {"linewidth": 1.4, "linestyle": (0, (4, 2)), "zorder": 2} | line
    return ax.plot(*path.T, color=colour, label=label, **look)[0]


def point(
    ax: Axes,
    theta: Float[np.ndarray, " 2"],
    text: str,
    *,
    offset: tuple[float | int, float | int] = (6, 6),
    colour: str = style.INK,
    marker: str = "*",
    size: float | int = 8,
) -> Annotation:
    """A named point: a marker, and its name beside it.

    Args:
        ax: where to draw.
        theta: the point.
        text: its name.
        offset: of the name from the point, in typographic points.
        colour: of marker and name.
        marker: matplotlib's shape.
        size: of the marker, in typographic points.

    Returns:
        The name.
    """
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.7, "zorder": 6}
    ax.plot(*theta, marker, color=colour, markersize=size, **edge)
    align = "left" if offset[0] > 0 else "right" if offset[0] < 0 else "center"
    return ax.annotate(
        text,
        (float(theta[0]), float(theta[1])),
        xytext=offset,
        textcoords="offset points",
        ha=align,
        va="center",
        color=colour,
        path_effects=_HALO,
        zorder=7,
    )
