r"""What a :func:`wdjax.probe` has read, over the steps: one line for each group."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from wdjax.plots import style

Curves = Mapping[str, Float[np.ndarray, " records"]]
"""Fields of :class:`wdjax.inspect.Reading` by name, or those of one group of them."""

COLOURS = (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE)
_DASHED: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.5}
_ABOVE: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "borderaxespad": 0.2,
    "columnspacing": 1.4,
    "handlelength": 2.0,
}


class Group(NamedTuple):
    """How a group of weights is called and drawn.

    Attributes:
        label: for the legend.
        colour: of all its lines.
        width: of the lines that often lie on those of other groups, in points.
    """

    label: str
    colour: str
    width: float = 1.8


def groups(names: Sequence[str]) -> dict[str, Group]:
    """A colour for each of up to five groups, under its own name.

    Args:
        names: those of the readings: ``hidden.kernel`` of ``hidden.kernel.norm``.
    """
    shown = list(zip(names, COLOURS, strict=False))
    return {
        name: Group(name.replace(".", "/"), colour, width=1.8 + 2.4 * below)
        for (name, colour), below in zip(
            shown, reversed(range(len(shown))), strict=True
        )
    }


def norm(
    ax: Axes, steps: Int[np.ndarray, " records"], curves: Curves, group: Group
) -> Line2D:
    r"""The norm :math:`\|\theta_t\|`.

    Args:
        ax: where to draw.
        steps: of the readings.
        curves: with ``norm``.
        group: name and colour.

    Returns:
        The line.
    """
    ax.set_ylabel(r"norm $\|\theta_t\|$")
    return _line(ax, steps, curves["norm"], group)


def parts(
    ax: Axes, steps: Int[np.ndarray, " records"], curves: Curves, group: Group
) -> tuple[Line2D, Line2D]:
    r"""The gradient's part of an update and, dashed, the decay's: their lengths.

    Args:
        ax: where to draw; its y axis becomes logarithmic.
        steps: of the readings.
        curves: with ``step_norm`` and ``decay_norm``; zeros are left out.
        group: name and colour.

    Returns:
        The gradient's line and the decay's.
    """
    ax.set(yscale="log", ylabel="part of the update")
    step, decay = (_positive(curves[name]) for name in ("step_norm", "decay_norm"))
    return _line(ax, steps, step, group), _line(ax, steps, decay, group, **_DASHED)


def rotation(
    ax: Axes, steps: Int[np.ndarray, " records"], curves: Curves, group: Group
) -> list[Line2D]:
    """The angle per step and, dashed, what equilibrium predicts of it.

    Args:
        ax: where to draw; its y axis becomes logarithmic.
        steps: of the readings.
        curves: with ``rotation``, and ``predicted_rotation`` if it was asked for.
        group: name and colour.

    Returns:
        The measured line, and the predicted one.
    """
    ax.set(yscale="log", ylabel="rotation per step (rad)")
    lines = [_line(ax, steps, _positive(curves["rotation"]), group)]
    if "predicted_rotation" in curves:
        predicted = _positive(curves["predicted_rotation"])
        lines.append(_line(ax, steps, predicted, group, **_DASHED))
    return lines


def budget(
    ax: Axes, steps: Int[np.ndarray, " records"], curves: Curves, group: Group
) -> Line2D:
    r"""The decay budget so far, :math:`\sum_{s \le t} \delta_s`.

    Args:
        ax: where to draw.
        steps: of the readings.
        curves: with ``budget``.
        group: name and colour.

    Returns:
        The line.
    """
    ax.set_ylabel(r"decay budget $\Sigma_s\,\delta_s$")
    return _line(ax, steps, curves["budget"], group, linewidth=group.width)


def overview(
    axes: Iterable[Axes],
    steps: Int[np.ndarray, " records"],
    readings: Curves,
    shown: Mapping[str, Group],
) -> None:
    """Norm, parts, rotation and budget of some groups, with the legends they need.

    Args:
        axes: four, in that order, as in two rows of two.
        steps: of the readings.
        readings: as :func:`wdjax.inspect.readings` names them: ``group.field``.
        shown: the groups to draw; see :func:`groups`.
    """
    axes, draw = list(axes), (norm, parts, rotation, budget)
    for ax, panel in zip(axes, draw, strict=True):
        for name, group in shown.items():
            panel(ax, steps, _of_group(readings, name), group)
        ax.set_xlabel("step")
        ax.margins(x=0.02)
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
        ax.set_axisbelow(True)
    for ax in axes[1:3]:
        _plain_numbers(ax)
    axes[0].legend(ncols=2, **_ABOVE)
    _name_dashes(axes[1], "gradient", "decay")
    if any(name.endswith(".predicted_rotation") for name in readings):
        _name_dashes(axes[2], "measured", "in equilibrium")


def _of_group(readings: Curves, name: str) -> dict[str, np.ndarray]:
    """The fields of one group."""
    head = f"{name}."
    return {
        key.removeprefix(head): np.asarray(values)
        for key, values in readings.items()
        if key.startswith(head) and "." not in key.removeprefix(head)
    }


def _line(
    ax: Axes,
    steps: Int[np.ndarray, " records"],
    values: Float[np.ndarray, " records"],
    group: Group,
    **line: Any,
) -> Line2D:
    look: dict[str, Any] = {"linewidth": 1.8} | line
    label = group.label if "linestyle" not in line else "_nolegend_"
    return ax.plot(steps, values, color=group.colour, label=label, **look)[0]


def _positive(values: Float[np.ndarray, " records"]) -> Float[np.ndarray, " records"]:
    """What a logarithmic axis can show."""
    return np.where(values > 0, values, np.nan)


def _plain_numbers(ax: Axes) -> None:
    """Label a logarithmic axis in plain numbers, closer where it spans little."""
    low, high = ax.get_ylim()
    subs = (1, 2, 5) if high > 8 * low else (1, 1.5, 2, 3, 5, 7)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _name_dashes(ax: Axes, first: str, second: str) -> None:
    """Say in grey what solid and dashed are, whatever their colour."""
    look: dict[str, Any] = {"color": style.GREY, "linewidth": 1.6}
    solid = Line2D([], [], label=first, **look)
    dashed = Line2D([], [], label=second, **look | _DASHED)
    ax.legend(handles=[solid, dashed], ncols=2, **_ABOVE)
