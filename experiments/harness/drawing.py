"""What the panels of several experiments draw."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from wdjax.plots import style


class Errors(NamedTuple):
    """One curve: the name in the legend, the errors, and how it is drawn."""

    label: str
    values: Float[np.ndarray, " n"]
    colour: str
    line: str = "-"


def errors(
    ax: Axes,
    x: Float[np.ndarray, " n"],
    curves: Iterable[Errors],
    *,
    width: float = 1.6,
    diverged: float = np.inf,
) -> None:
    """Errors on a log axis; 0, which has no place there, is a gap.

    Args:
        ax: where to draw.
        x: abscissae of all curves.
        curves: what is drawn.
        width: of the lines, in printer's points.
        diverged: an error from which on there is a gap too.
    """
    for label, y, colour, line in curves:
        shown = np.where((y > 0) & (y < diverged), y, np.nan)
        ax.semilogy(x, shown, line, color=colour, linewidth=width, label=label)


def tolerance(ax: Axes, limit: float) -> None:
    """A tolerance, dashed, behind the curves that it judges."""
    ax.axhline(limit, color=style.GREY, linewidth=1.0, linestyle="--", zorder=1)


def dots(colour: str, marker: str = "o") -> dict[str, Any]:
    """White dots that lie on a predicted line, as keywords of ``plot``."""
    return {
        "color": colour,
        "marker": marker,
        "markerfacecolor": "white",
        "markersize": 5,
        "linestyle": "none",
    }
