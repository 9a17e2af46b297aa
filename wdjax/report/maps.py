"""A panel in words and shapes, ready for the template."""

from typing import Any, NamedTuple

import numpy as np

from wdjax.report import curves, drawing, meanings, words
from wdjax.report.curves import Chart, Tick
from wdjax.report.drawing import Axis, Scale
from wdjax.report.panels import LEAST, Panel


class Cell(NamedTuple):
    """A setting of learning rate and decay.

    Attributes:
        row: of the decays, 0 for the smallest.
        column: of the learning rates.
        box: x, y, width and height.
        fill: a colour; empty where a run diverged.
        label: in a few words, for a screen reader.
        facts: name and value of all that is known.
        mark: "best" of all, "column" for the best of its learning rate, or "".
    """

    row: int
    column: int
    box: tuple[float, float, float, float]
    fill: str
    label: str
    facts: list[tuple[str, str]]
    mark: str

    @property
    def by_name(self) -> dict[str, str]:
        """The facts, to be looked up."""
        return dict(self.facts)


class Map(NamedTuple):
    """A heat map and what is written beside it.

    Attributes:
        id: of the element, unique on the page.
        title: method and settings.
        formula: what λ means.
        alt: the map in a sentence.
        measure: what the colours show.
        rows: cells, the largest decay first, as they lie.
        x: ticks of the learning rates.
        y: ticks of the decays.
        lines: points of the fitted and the predicted ridge, by name.
        vertices: places of λ*.
        legend: places and colours, and the labels of both ends.
        slope: measured and predicted, in a sentence.
        notes: what a reader must know beside it.
        charts: curves.
        best: row and column of the best cell; None if all diverged.
        file: where the numbers are.
    """

    id: str
    title: str
    formula: str
    alt: str
    measure: str
    rows: list[list[Cell]]
    x: list[Tick]
    y: list[Tick]
    lines: dict[str, str]
    vertices: list[tuple[float, float]]
    legend: tuple[list[tuple[str, str]], str, str]
    slope: str
    notes: list[str]
    charts: list[Chart]
    best: tuple[int, int] | None
    file: str

    @property
    def columns(self) -> list[str]:
        """The names of all facts, in the order of the cell that has most."""
        cells = [cell for row in self.rows for cell in row]
        return list(max(cells, key=lambda cell: len(cell.facts)).by_name)

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script reads: facts and curves by "row,column"."""
        cells = [cell for row in self.rows for cell in row]
        return {
            f"{c.row},{c.column}": {
                "facts": c.facts,
                "curves": {h.name: h.cells[c.row][c.column] for h in self.charts},
            }
            for c in cells
        }

    def best_curve(self, chart: Chart) -> str:
        """Of the best cell."""
        return "" if self.best is None else chart.cells[self.best[0]][self.best[1]]

    def undecayed_curve(self, chart: Chart) -> str:
        """Without decay, at the best cell's learning rate."""
        if self.best is None or not self.has_strip or self.best[0] == 0:
            return ""
        return chart.cells[0][self.best[1]]

    @property
    def has_strip(self) -> bool:
        """Whether there is a row without decay."""
        return self.y[0].text == "0"


def view(panel: Panel, identifier: str, scale: Scale) -> Map:
    """Lay a panel out.

    Args:
        panel: the numbers.
        identifier: for the element.
        scale: of the colours, shared between the maps of a study.

    Returns:
        All that the template writes.
    """
    x = drawing.axis(panel.learning_rates, drawing.LEFT, drawing.RIGHT)
    y = _decay_axis(panel)
    best = _best(panel.means)
    measure = panel.measures[0]
    return Map(
        id=identifier,
        title=panel.title,
        formula=panel.sense.formula,
        alt=_alt(panel, best),
        measure=words.title(measure),
        rows=_rows(panel, x, y, scale, best),
        x=[Tick(x.at(v), words.tick(v)) for v in drawing.ticks(x.values)],
        y=_decay_ticks(panel, y),
        lines=_lines(panel, x, y),
        vertices=_vertices(panel, x, y),
        legend=(
            scale.steps(),
            _end(measure, scale.low),
            f"≥ {_end(measure, scale.high)}",
        ),
        slope=_slope(panel),
        notes=_notes(panel),
        charts=curves.charts(panel),
        best=best,
        file=panel.file,
    )


def _end(measure: str, value: float) -> str:
    error = measure.endswith("_error")
    return f"{100 * value:.1f} %" if error else words.number(value)


def _positive(panel: Panel) -> np.ndarray:
    return panel.decays[panel.decays > 0]


def _decay_axis(panel: Panel) -> Axis | None:
    """Of the decays above 0, upwards; None if there is none."""
    strip = (panel.decays == 0).any()
    low = drawing.BOTTOM - (drawing.STRIP + drawing.GAP if strip else 0)
    positive = _positive(panel)
    return drawing.axis(positive, low, drawing.TOP) if len(positive) else None


def _strip() -> tuple[float, float]:
    return drawing.BOTTOM - drawing.STRIP, drawing.BOTTOM


def _decay_ticks(panel: Panel, y: Axis | None) -> list[Tick]:
    found = [Tick(sum(_strip()) / 2, "0")] if (panel.decays == 0).any() else []
    if y is None:
        return found
    return found + [Tick(y.at(v), words.tick(v)) for v in drawing.ticks(y.values)]


def _best(means: np.ndarray) -> tuple[int, int] | None:
    if not np.isfinite(means).any():
        return None
    row, column = np.unravel_index(np.nanargmin(means), means.shape)
    return int(row), int(column)


def _rows(
    panel: Panel, x: Axis, y: Axis | None, scale: Scale, best: tuple[int, int] | None
) -> list[list[Cell]]:
    """Cells as they lie, from the top."""
    means, zeros = panel.means, int((panel.decays == 0).sum())
    columns = {
        (int(np.nanargmin(column)), j)
        for j, column in enumerate(means.T)
        if np.isfinite(column).any()
    }
    rows = []
    for i in reversed(range(len(panel.decays))):
        top, bottom = _strip() if i < zeros or y is None else y.span(i - zeros)
        row = []
        for j in range(len(panel.learning_rates)):
            left, right = x.span(j)
            box = (left, top, right - left, bottom - top)
            mark = "best" if (i, j) == best else "column" if (i, j) in columns else ""
            row.append(_cell(panel, i, j, box, scale=scale, mark=mark))
        rows.append(row)
    return rows


def _cell(
    panel: Panel,
    i: int,
    j: int,
    box: tuple[float, float, float, float],
    *,
    scale: Scale,
    mark: str,
) -> Cell:
    mean = float(panel.means[i, j])
    measure = panel.measures[0]
    alpha, decay = float(panel.learning_rates[j]), float(panel.decays[i])
    shown = words.measured(measure, panel.interval(measure, i, j), _seeds(panel))
    label = (
        f"learning rate {words.number(alpha)}, λ {words.number(decay)}: "
        f"{words.title(measure)} {shown}"
    )
    remark = {"best": "; best of all", "column": "; best of its learning rate"}
    return Cell(
        row=i,
        column=j,
        box=box,
        fill=scale.colour(mean) if np.isfinite(mean) else "",
        label=label + remark.get(mark, ""),
        facts=_facts(panel, i, j),
        mark=mark,
    )


def _seeds(panel: Panel) -> int:
    return panel.dataset.sizes["seed"]


def _facts(panel: Panel, i: int, j: int) -> list[tuple[str, str]]:
    """Everything about a cell: settings, λ in every convention, results."""
    alpha, decay = float(panel.learning_rates[j]), float(panel.decays[i])
    facts = [
        ("learning rate α", words.number(alpha)),
        (f"λ here ({panel.sense.caption})", words.number(decay)),
    ]
    same = meanings.in_every_convention(decay, alpha, panel.sense)
    for caption, one in same.items():
        mark = "" if one.exactness == "exact" else f" ({one.exactness})"
        facts.append((caption, words.number(float(one)) + mark))
    if "decay_budget" in panel.dataset:
        budget = panel.interval("decay_budget", i, j).estimate
        facts.append(("decay budget Σδ", words.number(budget)))
    seeds = _seeds(panel)
    for name in panel.measures:
        shown = words.measured(name, panel.interval(name, i, j), seeds)
        facts.append((words.title(name), shown))
    return [*facts, ("diverged", _diverged(panel.diverged_at[:, i, j]))]


def _diverged(steps: np.ndarray) -> str:
    gone = steps[steps >= 0]
    if not len(gone):
        return "no run"
    runs = f"{len(gone)} of {len(steps)} runs"
    return f"{runs}, first at step {int(gone.min())}"


def _vertices(panel: Panel, x: Axis, y: Axis | None) -> list[tuple[float, float]]:
    if panel.slope is None or y is None:
        return []
    pairs = zip(panel.learning_rates, panel.slope.best_decays, strict=True)
    return [(x.at(float(a)), y.at(float(d))) for a, d in pairs if np.isfinite(d)]


def _lines(panel: Panel, x: Axis, y: Axis | None) -> dict[str, str]:
    if panel.slope is None or y is None:
        return {}
    slopes = {"fitted": panel.slope.slope.estimate, "predicted": panel.predicted}
    lines = {
        name: drawing.line(x, y, slope, panel.slope.best_decays)
        for name, slope in slopes.items()
        if slope is not None
    }
    return {name: line for name, line in lines.items() if line is not None}


def _slope(panel: Panel) -> str:
    if panel.slope is None:
        return f"no slope: it needs {LEAST} learning rates and {LEAST} decays above 0"
    measured = f"slope of the ridge {words.slope(panel.slope.slope)}"
    if panel.predicted is None:
        return measured
    return f"{measured}, predicted {words.signed(panel.predicted, 'g')}"


def _notes(panel: Panel) -> list[str]:
    found = []
    if panel.slope is not None:
        without: dict[str, list[str]] = {}
        pairs = zip(panel.learning_rates, panel.slope.censored, strict=True)
        for alpha, reason in pairs:
            if reason is not None:
                without.setdefault(reason, []).append(words.tick(float(alpha)))
        found = [
            f"No best decay at α = {', '.join(alphas)}: {reason}."
            for reason, alphas in without.items()
        ]
    if panel.sense.row is None:
        found.append(
            "The file does not say what its λ means: give --meaning, or save the "
            "result with the attribute “meaning”."
        )
    return found


def _alt(panel: Panel, best: tuple[int, int] | None) -> str:
    size = f"{len(panel.decays)} decays by {len(panel.learning_rates)} learning rates"
    measure = words.title(panel.measures[0])
    text = f"Heat map of {panel.title}: {measure}, {size}, mean of {_seeds(panel)} runs"
    if best is None:
        return f"{text}. A run diverged in every cell."
    i, j = best
    shown = words.measured(
        panel.measures[0], panel.interval(panel.measures[0], i, j), _seeds(panel)
    )
    return (
        f"{text}. Least at learning rate {words.number(float(panel.learning_rates[j]))}"
        f" and λ {words.number(float(panel.decays[i]))}: {shown}. {_slope(panel)}."
    )
