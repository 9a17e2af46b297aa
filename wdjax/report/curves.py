"""How loss and norm went, in a cell that is pointed at and in the best one."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from wdjax.report import drawing
from wdjax.report.panels import Panel
from wdjax.report.words import number, tick

WIDTH, HEIGHT = 460, 176
LEFT, RIGHT, TOP, BOTTOM = 66.0, 450.0, 26.0, 140.0
NAMES = {"loss": "training loss", "norm": "norm of the weights"}


class Tick(NamedTuple):
    """A label and its place."""

    place: float
    text: str


class Chart(NamedTuple):
    """One quantity over the steps.

    Attributes:
        name: the variable.
        title: what it is.
        x: labels of the steps.
        y: labels of the quantity.
        unit: of the horizontal axis, "step" or "record".
        cells: a line for each cell, rows of decays; empty where nothing is finite.
    """

    name: str
    title: str
    x: list[Tick]
    y: list[Tick]
    unit: str
    cells: list[list[str]]


def charts(panel: Panel) -> list[Chart]:
    """One for each of :data:`NAMES` that was recorded."""
    dims = {"seed", "decay", "learning_rate", "record"}
    names = [
        name
        for name in NAMES
        if name in panel.dataset
        and set(panel.dataset[name].dims) == dims
        and panel.dataset.sizes["record"] >= 2
    ]
    return [_chart(panel, name) for name in names]


def _chart(panel: Panel, name: str) -> Chart:
    order = ("seed", "decay", "learning_rate", "record")
    runs = np.asarray(panel.dataset[name].transpose(*order).values, np.float64)
    means = runs.mean(axis=0)  # NaN from where a run diverged
    low, high = _range(means)
    steps, unit = _steps(panel)
    xs = LEFT + (RIGHT - LEFT) * (steps - steps[0]) / (steps[-1] - steps[0])
    cells = [[_line(xs, curve, low, high) for curve in row] for row in means]
    middle = float(np.sqrt(low * high))
    return Chart(
        name,
        NAMES[name],
        x=[Tick(float(xs[i]), number(float(steps[i]))) for i in (0, -1)],
        y=[Tick(_height(v, low, high), tick(v)) for v in (low, middle, high)],
        unit=unit,
        cells=cells,
    )


def _steps(panel: Panel) -> tuple[Float[np.ndarray, " records"], str]:
    """The steps of the records, or their numbers where the steps were not saved."""
    count = panel.dataset.sizes["record"]
    counted = np.arange(1.0, count + 1)
    if "record" not in panel.dataset.coords:
        return counted, "record"
    steps = np.asarray(panel.dataset.record.values, np.float64)
    return (steps, "step") if (np.diff(steps) > 0).all() else (counted, "record")


def _range(means: Float[np.ndarray, "..."]) -> tuple[float, float]:
    """What a logarithmic axis shows: all but the highest twentieth."""
    positive = means[np.isfinite(means) & (means > 0)]
    if not positive.size:
        return 0.1, 1.0
    low, high = float(positive.min()), float(np.quantile(positive, 0.95))
    return (low, high) if high > 1.01 * low else (low / 1.5, low * 1.5)


def _height(value: float, low: float, high: float) -> float:
    share = np.log(value / low) / np.log(high / low)
    return float(BOTTOM - (BOTTOM - TOP) * min(max(share, -0.02), 1.02))


def _line(
    xs: Float[np.ndarray, " records"],
    curve: Float[np.ndarray, " records"],
    low: float,
    high: float,
) -> str:
    shown = np.isfinite(curve) & (curve > 0)
    heights = [_height(float(v), low, high) for v in curve[shown]]
    return drawing.points(xs[shown].tolist(), heights)
