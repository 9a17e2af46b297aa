"""Methods' measured points beside each other, on an axis that begins at no noise."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.transforms import ScaledTranslation

from wdjax.plots import style
from wdjax.stats import Interval


def points(
    ax: Axes,
    x: Float[np.ndarray, " points"],
    intervals: Sequence[Interval],
    *,
    method: str,
    aside: float = 0.0,
) -> ErrorbarContainer:
    """One method's points, each with its interval.

    Args:
        ax: where to draw, in a figure already.
        x: abscissae.
        intervals: one per point.
        method: a key of :data:`wdjax.plots.style.METHODS`; also the label.
        aside: printer's points by which they are moved to the right, so that methods
            at one place can be told apart.

    Returns:
        The points.
    """
    mark = style.METHODS[method]
    estimate, low, high = np.array(intervals).T
    moved = ScaledTranslation(aside / 72, 0, ax.get_figure().dpi_scale_trans)  # pyright: ignore[reportOptionalMemberAccess]
    return ax.errorbar(
        x,
        estimate,
        yerr=[estimate - low, high - estimate],
        linestyle="none",
        marker=mark.marker,
        color=mark.colour,
        markersize=6.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        elinewidth=1.4,
        label=method,
        transform=ax.transData + moved,
        zorder=3,
    )


def noise_axis(ax: Axes, noises: Sequence[float]) -> None:
    """Make the abscissa gradient noise: linear from 0 to the least level, then log.

    Args:
        ax: whose abscissa.
        noises: levels to be ticked, rising; the first is 0.
    """
    least, most = noises[1], noises[-1]
    ax.set_xscale("symlog", linthresh=least, linscale=0.5)
    ax.set_xticks(noises, [f"{level:g}" for level in noises])
    ax.set_xticks([], minor=True)
    ax.set(xlim=(-0.12 * least, 1.5 * most), xlabel="standard deviation σ of gradients")
