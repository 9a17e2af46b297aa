"""The panels of ``basin_symmetries``: differences of logits, and best decays."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from wdjax import stats
from wdjax.plots import style


class Gaps(NamedTuple):
    r"""Largest difference of logits, step by step, from the run that is not scaled.

    Attributes:
        symmetric: the learning rate and the decay scaled as predicted.
        control: the learning rate alone; one of :math:`c\lambda` where q is 0.
        weights: of θ'/c and θ after the last step, relative to the largest θ.
    """

    symmetric: Float[np.ndarray, " steps"]
    control: Float[np.ndarray, " steps"]
    weights: float


def gaps(ax: Axes, found: Mapping[str, Gaps], colours: Mapping[str, str]) -> None:
    """Differences of logits, step by step, on an axis that has a place for 0.

    Args:
        ax: where to draw.
        found: by family.
        colours: likewise.
    """
    for name, one in found.items():
        steps = np.arange(len(one.symmetric)) + 1
        ax.plot(steps, one.control, color=colours[name], linewidth=1.4, label=name)
        ax.plot(steps, one.symmetric, color=colours[name], linewidth=2.2)
    ax.set_yscale("symlog", linthresh=1e-6, linscale=0.5)
    ax.set_yticks([0, 1e-6, 1e-4, 1e-2, 1])
    ax.set(ylim=(-4e-7, 60), xlabel="step", ylabel="largest difference of logits")
    for said, height in (
        ("λ scaled as predicted: all five are 0", 0.09),
        ("λ scaled by another power", 0.93),
    ):
        place = (0.98, height)
        ax.annotate(said, place, xycoords="axes fraction", ha="right", fontsize=9.5)
    ax.legend(loc="center right", fontsize=9)


def best_decays(
    ax: Axes,
    alphas: Float[np.ndarray, " n"],
    found: stats.BasinSlope,
    predicted: float,
    *,
    label: str,
    mark: style.Mark,
) -> None:
    """Best decays by learning rate; the line has the slope of theory.

    Args:
        ax: where to draw.
        alphas: the learning rates.
        found: the best decays and their slope.
        predicted: the slope.
        label: which decay.
        mark: colour and marker.
    """
    colour, marker = mark
    level = np.exp(np.nanmean(np.log(found.best_decays) - predicted * np.log(alphas)))
    ax.plot(alphas, level * alphas**predicted, color=colour, linewidth=1.2)
    shown = f"{label}: slope {round(found.slope.estimate, 2) + 0.0:.2f}"
    ax.plot(alphas, found.best_decays, marker, color=colour, label=shown)
    ax.set(xscale="log", yscale="log", xlabel="learning rate α", ylabel="best decay")
    ax.set_xticks([0.02, 0.05, 0.1], ["0.02", "0.05", "0.1"])
    ax.set_xticks([], minor=True)
