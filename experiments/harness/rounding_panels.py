"""The panels of ``bf16_no_op``: what one step moves, and what many steps leave."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.harness import drawing
from wdjax.plots import style
from wdjax.theory import rounding

Shares: TypeAlias = tuple[Sequence[float], Sequence[float]]
FORMS = ((style.BLUE, "o"), (style.ORANGE, "s"), (style.GREEN, "D"))


def shares(
    ax: Axes,
    bits: int,
    between: Float[np.ndarray, " rates"],
    moved: Float[np.ndarray, "seeds rates"],
    *,
    as_sum: Shares,
    as_factor: Shares,
) -> None:
    """Shares of the weights that one step moves; lines are theory.

    Args:
        ax: where to draw.
        bits: of a mantissa.
        between: rates at which a sum moves some weights.
        moved: the shares that it moves.
        as_sum: rates at which it moves none or all, and the shares.
        as_factor: all rates of the factor, and the shares.
    """
    rates = np.geomspace(between[0] / 3, between[-1] * 3, 400)
    curve = rounding.fraction_moved(jnp.asarray(rates), bits)
    step = rounding.factor_moves(jnp.asarray(rates), bits)
    ax.plot(rates, np.asarray(curve), color=style.BLUE, linewidth=1.6)
    ax.plot(rates, np.asarray(step), color=style.VERMILLION, linewidth=1.6)
    blue, red = drawing.dots(style.BLUE), drawing.dots(style.VERMILLION, "s")
    ax.errorbar(
        between,
        moved.mean(0),
        yerr=3 * moved.std(0, ddof=1) / np.sqrt(len(moved)),
        label="θ + bf16(−δθ)",
        **blue,
    )
    ax.errorbar(*as_sum, **blue, zorder=4)
    ax.errorbar(*as_factor, label="θ · bf16(1 − δ)", **red)
    ax.set(xscale="log", xlim=(rates[0], rates[-1]), ylim=(-0.05, 1.05))
    thresholds = (rounding.largest_lost(bits), rounding.smallest_sure(bits))
    ax.set_xticks(thresholds, ["2⁻⁹", "2⁻⁸"])
    ax.minorticks_off()
    ax.set(xlabel="decay rate δ", ylabel="share of the weights that a step moves")
    ax.legend(loc="center right")


def course(
    ax: Axes,
    steps: Float[np.ndarray, " records"],
    decay_rate: float,
    plain: Float[np.ndarray, " records"],
    forms: Mapping[str, Float[np.ndarray, " records"]],
) -> None:
    """What is left of the weights, the line of theory among it.

    Args:
        ax: where to draw.
        steps: of the records.
        decay_rate: δ.
        plain: of bfloat16 alone, the mean over weights.
        forms: likewise, of the three forms that are made for it.
    """
    ax.plot(
        steps,
        (1 - decay_rate) ** steps,
        color=style.INK,
        linewidth=1.4,
        label="(1 − δ)ᵗ",
    )
    ax.plot(steps, plain, color=style.GREY, label="bf16 alone")
    every = max(1, len(steps) // 12)
    for i, (name, mark) in enumerate(zip(forms, FORMS, strict=True)):
        chosen = slice(every - 1 - i * every // 3, None, every)
        left = forms[name][chosen]
        ax.plot(steps[chosen], left, label=name, **drawing.dots(*mark))
    ax.set(xlabel="step", ylabel="what is left of the weights, mean")
    ax.legend(loc="lower left")
