"""The panels of ``decay_as_exponential_learning_rate``: losses and gaps of pairs."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.harness import drawing
from wdjax.plots import style

MEAN_OF = 20  # batches, of a loss that is drawn


class Pair(NamedTuple):
    """A run with decay beside one without it.

    Attributes:
        gaps: the largest difference of a logit after each step.
        with_decay: training loss before each step.
        without: likewise.
    """

    gaps: Float[np.ndarray, "seeds steps"]
    with_decay: Float[np.ndarray, "seeds steps"]
    without: Float[np.ndarray, "seeds steps"]


def losses(ax: Axes, label: str, pair: Pair, untimed: Pair, colour: str) -> None:
    """Losses of the first seed: with decay, without it, and without it untimed.

    Args:
        ax: where to draw.
        label: the optimizer.
        pair: decay beside a growing learning rate.
        untimed: the same, but with β as it was.
        colour: of all three curves.
    """
    steps = np.arange(pair.gaps.shape[1])
    decayed, without, other = (
        _smooth(run[0]) for run in (pair.with_decay, pair.without, untimed.without)
    )
    every = max(1, len(steps) // 16)
    ax.plot(steps, decayed, color=colour, linewidth=1.6, label=f"{label}: decay")
    ax.plot(
        steps[::every],
        without[::every],
        label="growing α, β re-timed",
        **drawing.dots(colour),
    )
    ax.plot(
        steps,
        other,
        color=colour,
        linewidth=1.2,
        linestyle=":",
        label="growing α, β as it was",
    )
    ax.set(xlabel="step", ylabel=f"training loss, mean of {MEAN_OF} batches")


def _smooth(losses: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    padded = np.pad(losses, (MEAN_OF - 1, 0), mode="edge")
    return np.convolve(padded, np.ones(MEAN_OF) / MEAN_OF, "valid")


def gaps(
    ax: Axes,
    pairs: Iterable[tuple[str, Pair, str, str]],
    at_most: float,
    at_least: float,
) -> None:
    """The largest gap of all seeds after each step, between its two tolerances.

    Args:
        ax: where to draw.
        pairs: with the label before them; colour and style of the line behind.
        at_most: by which runs may differ that are the same.
        at_least: by which runs differ that are not.
    """
    curves = [
        drawing.Errors(label, np.max(pair.gaps, axis=0), colour, line)
        for label, pair, colour, line in pairs
    ]
    drawing.errors(ax, np.arange(len(curves[0].values)) + 1, curves)
    for limit, side, offset in (
        (at_most, "at most", -3),
        (at_least, "at least, as β was", 3),
    ):
        drawing.tolerance(ax, limit)
        ax.annotate(
            side,
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(0, offset),
            textcoords="offset points",
            ha="right",
            va="bottom" if offset > 0 else "top",
            fontsize=9,
            color=style.GREY,
        )
    ax.set(xlabel="step", ylabel="largest difference of a logit", ylim=(1e-17, 30))
