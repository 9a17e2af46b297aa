"""Where cells, marks and lines lie: numbers to places in a drawing, and to colours."""

from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.colors import to_hex

LEFT, RIGHT, TOP, BOTTOM = 66.0, 450.0, 8.0, 352.0
STRIP = 22.0  # height of the row λ = 0
GAP = 9.0  # above it
WIDTH, HEIGHT = 460, 402
_COLOURS = "viridis_r"  # low error is bright, as in the figures; evenly perceived
_MOST_TICKS = 6


class Axis(NamedTuple):
    """A logarithmic axis, from values to places.

    Attributes:
        values: the grid's, increasing, positive.
        edges: between the cells and at both ends, in the values' unit.
        low: place of the first edge.
        high: place of the last.
    """

    values: Float[np.ndarray, " n"]
    edges: Float[np.ndarray, " n+1"]
    low: float
    high: float

    def at(self, value: float) -> float:
        """The place of a value."""
        first, last = np.log(self.edges[0]), np.log(self.edges[-1])
        share = (np.log(value) - first) / (last - first)
        return float(self.low + share * (self.high - self.low))

    def span(self, number: int) -> tuple[float, float]:
        """The two sides of a cell, the smaller place first."""
        low, high = sorted(self.at(self.edges[number + k]) for k in (0, 1))
        return low, high


def axis(values: Float[np.ndarray, " n"], low: float, high: float) -> Axis:
    """An axis whose edges lie half-way, in logarithms.

    Args:
        values: positive, increasing; one at least.
        low: the place of the low end.
        high: the place of the high end.
    """
    inner = np.sqrt(values[1:] * values[:-1])
    ratio = float(inner[0] / values[0]) if len(inner) else 2.0
    last = float(values[-1] / inner[-1]) if len(inner) else 2.0
    edges = np.concatenate([[values[0] / ratio], inner, [values[-1] * last]])
    return Axis(values, edges, low, high)


def ticks(values: Float[np.ndarray, " n"]) -> list[float]:
    """The values that are labelled: all, or evenly spaced ones."""
    step = -(-len(values) // _MOST_TICKS)
    return [float(v) for v in values[(len(values) - 1) % step // 2 :: step]]


class Scale(NamedTuple):
    """From a number to its colour; larger ones than ``high`` share the last."""

    low: float
    high: float

    def colour(self, value: float) -> str:
        """Of a finite number, as CSS has it."""
        width = self.high - self.low
        share = 0.5 if width <= 0 else (value - self.low) / width
        return to_hex(mpl.colormaps[_COLOURS](float(np.clip(share, 0, 1))))

    def steps(self, number: int = 9) -> list[tuple[str, str]]:
        """Places, in percent, and colours of a legend."""
        shares = np.linspace(0, 1, number)
        return [
            (f"{share:.1%}", to_hex(mpl.colormaps[_COLOURS](float(share))))
            for share in shares
        ]


def scale(values: Float[np.ndarray, " n"]) -> Scale:
    """From the best to the upper quartile: the basin takes the colours."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Scale(0.0, 1.0)
    return Scale(float(finite.min()), float(np.quantile(finite, 0.75)))


def line(
    x: Axis, y: Axis, slope: float, best_decays: Float[np.ndarray, " n"]
) -> str | None:
    """A line of a slope through the centroid of the best decays, as SVG points.

    Args:
        x: of the learning rates.
        y: of the decays.
        slope: d log λ*/d log α.
        best_decays: λ* at each learning rate, NaN where there is none.

    Returns:
        Two points; None where there are fewer best decays, or no slope.
    """
    kept = np.isfinite(best_decays)
    if kept.sum() < 2 or not np.isfinite(slope):
        return None
    alphas, logs = np.log(x.values[kept]), np.log(best_decays[kept])
    ends = alphas[[0, -1]]
    heights = logs.mean() + slope * (ends - alphas.mean())
    return points(
        [x.at(float(a)) for a in np.exp(ends)],
        [y.at(float(d)) for d in np.exp(heights)],
    )


def points(x: list[float], y: list[float]) -> str:
    """Places as SVG's ``points``, the same text for the same places."""
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
