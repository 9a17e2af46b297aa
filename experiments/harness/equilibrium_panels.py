"""The three panels of ``equilibrium``."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from wdjax.plots import style
from wdjax.stats import Interval

MARKS = style.METHODS | {"Lion": style.Mark(style.ORANGE, "v")}


class Sizes(NamedTuple):
    """Root mean squares of weights, by the size of their gradients."""

    sigma: Float[np.ndarray, " levels"]
    rms: Float[np.ndarray, "seeds levels"]


def exponents(found: Sizes) -> Float[np.ndarray, " seeds"]:
    """Least squares of log RMS on log σ, seed by seed."""
    x = np.log(found.sigma) - np.log(found.sigma).mean()
    return np.log(found.rms) @ x / (x @ x)


def sizes(ax: Axes, found: Mapping[str, Sizes], predicted: Mapping[str, float]) -> None:
    """Sizes of weights against sizes of gradients, both relative; lines are theory."""
    for name, exponent in predicted.items():
        colour, marker = MARKS[name]
        sigma, rms = found[name]
        relative = rms / np.exp(np.log(rms).mean(axis=1, keepdims=True))
        ax.plot(sigma, sigma**exponent, color=colour, linewidth=1.2)
        measured = f"{exponents(found[name]).mean():.2f}".replace("-", "−")
        ax.plot(
            sigma,
            relative.mean(axis=0),
            marker,
            color=colour,
            markersize=5,
            label=f"{name}: {measured}",
        )
    ax.set(xscale="log", yscale="log", xlabel="size of the gradient σ, relative")
    ax.set_ylabel("RMS of the weights, relative")
    ticks = (0.2, 0.5, 1, 2, 5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    ax.set_title("(a) exponents 0, ½ and 1")
    ax.legend(loc="upper left")


def walks(ax: Axes, ratios: Mapping[str, Sequence[Interval]], tolerance: float) -> None:
    """Size and angle over their predictions, with intervals; the band is allowed."""
    _band(ax, tolerance)
    for place, (name, both) in enumerate(ratios.items()):
        for shift, marker, (mean, low, high) in zip(
            (-0.12, 0.12), "o^", both, strict=True
        ):
            ax.errorbar(
                place + shift,
                mean,
                [[mean - low], [high - mean]],
                fmt=marker,
                color=MARKS[name].colour,
                capsize=3,
            )
    for label, marker in (("RMS", "o"), ("angle per step", "^")):
        ax.plot([], [], marker, color=style.GREY, label=label)
    ax.set_xticks(range(len(ratios)), list(ratios))
    ax.set(ylim=(1 - 2 * tolerance, 1 + 2 * tolerance), ylabel="measured / predicted")
    ax.set_title("(b) one layer among random gradients")
    ax.legend(loc="upper right", ncols=2)


def network(
    ax: Axes,
    ratios: Mapping[str, Float[np.ndarray, "seeds layers"]],
    names: Sequence[str],
    tolerance: float,
) -> None:
    """The angle of every layer in every seed over its prediction."""
    _band(ax, tolerance)
    shifts = 0.24 * (np.arange(len(ratios)) - (len(ratios) - 1) / 2)
    for shift, (name, ratio) in zip(shifts, ratios.items(), strict=True):
        places = np.broadcast_to(np.arange(ratio.shape[1]) + shift, ratio.shape)
        ax.plot(
            places.ravel(),
            ratio.ravel(),
            MARKS[name].marker,
            color=MARKS[name].colour,
            alpha=0.7,
            markersize=5,
            linestyle="none",
            label=name,
        )
    short = [name.removesuffix("/kernel").replace("_", " ") for name in names]
    ax.set_xticks(range(len(short)), short, rotation=30, ha="right")
    ax.set(ylim=(0.6, 1.4), ylabel="angle per step, measured / predicted")
    ax.set_title("(c) the layers of a network")
    ax.legend(loc="upper right", ncols=2)


def _band(ax: Axes, tolerance: float) -> None:
    ax.axhspan(1 - tolerance, 1 + tolerance, color=style.PALE, alpha=0.5, linewidth=0)
    ax.axhline(1, color=style.GREY, linewidth=1.0)
