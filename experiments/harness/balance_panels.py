"""The panels of ``layer_balance``: residuals, the course of B, ratios of norms."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.harness import drawing
from wdjax.plots import style

PRECISIONS = {32: style.VERMILLION, 64: style.BLUE}
PAIRS = (style.BLUE, style.ORANGE, style.GREEN)


def residuals(
    ax: Axes,
    worst: Mapping[int, Float[np.ndarray, " steps"]],
    tolerances: Mapping[int, float],
) -> None:
    """Residuals of every step, with the tolerance of each precision.

    Args:
        ax: where to draw.
        worst: of the pairs of layers, by bits of a float.
        tolerances: likewise.
    """
    for bits, values in worst.items():
        colour = PRECISIONS[bits]
        curve = drawing.Errors(f"float{bits}", values, colour)
        drawing.errors(ax, np.arange(len(values)), [curve], width=0.8)
        ax.axhline(tolerances[bits], color=colour, linewidth=1.0, linestyle="--")
    ax.set(xlabel="step", ylabel="residual of the recursion / ‖W‖²", ylim=(1e-17, 1e-3))
    ax.legend(loc="center right")


def course(
    ax: Axes,
    steps: Float[np.ndarray, " records"],
    flow: Float[np.ndarray, " records"],
    balance: Float[np.ndarray, "seeds records pairs"],
) -> None:
    """|B| relative to its start, beside gradient flow.

    Args:
        ax: where to draw.
        steps: at which B was recorded.
        flow: B_t/B_0 by theory.
        balance: B.
    """
    balance = np.abs(balance)
    balance /= balance[:, :1]
    look = {"color": style.INK, "linewidth": 1.6, "linestyle": "--", "zorder": 3}
    ax.semilogy(steps, flow, **look, label="gradient flow, e^(−2λαt)")
    for i, (pair, colour) in enumerate(zip(balance.T, PAIRS, strict=False)):
        ax.semilogy(steps, pair, color=colour, linewidth=1.0, alpha=0.8)
        ax.semilogy([], [], color=colour, label=f"ReLU {i + 1}, each seed")
    ax.set(xlabel="step", ylabel="|Bₜ / B₀|", ylim=(1e-8, 3))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.legend()


def ratios(
    ax: Axes,
    steps: Float[np.ndarray, " records"],
    found: Mapping[str, Float[np.ndarray, "seeds records"]],
    tolerance: float,
) -> None:
    """Ratios of norms by method, one curve for each seed.

    Args:
        ax: where to draw.
        steps: at which norms were recorded.
        found: the worst of the pairs, at least 1.
        tolerance: the largest ratio of what is balanced.
    """
    for label, seeds in found.items():
        colour = style.METHODS[label].colour
        ax.plot(steps, seeds.T, color=colour, linewidth=1.0, alpha=0.8)
        ax.plot([], [], color=colour, label=f"{label}, each seed")
    ax.axhline(tolerance, color=style.GREY, linestyle="--")
    ax.set(xlabel="step", ylabel="larger norm / smaller norm, the worse pair")
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.legend()
