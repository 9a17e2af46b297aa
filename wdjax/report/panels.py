"""The numbers of every cell of a grid, and the ridge of its best decays."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from wdjax import stats
from wdjax.report import meanings
from wdjax.report.folder import Result
from wdjax.report.meanings import Sense
from wdjax.stats import BasinSlope, Interval

MOST = 24  # maps of one result
LEAST = 5  # learning rates, and decays, that a slope needs

MEASURES = (
    "validation_error",
    "test_error",
    "validation_loss",
    "test_loss",
    "train_error",
    "train_loss",
)
"""What a cell may be judged by, the first choice first; errors are fractions."""


class Panel(NamedTuple):
    """A grid of learning rates and decays.

    Attributes:
        title: the method, or the file; and the other settings' values.
        file: where it was read.
        sense: what λ means.
        dataset: with dimensions (seed, decay, learning_rate) first, both axes
            increasing, NaN in place of what a diverged run reports.
        measures: the variables that a cell is judged by, the first one on the map.
        diverged_at: the step of each run, −1 for none.
        slope: of the ridge; None where the grid is too small.
        predicted: the slope on a scale-invariant network; None where no theory says.
    """

    title: str
    file: str
    sense: Sense
    dataset: xr.Dataset
    measures: list[str]
    diverged_at: Int[np.ndarray, "seeds decays learning_rates"]
    slope: BasinSlope | None
    predicted: float | None

    @property
    def learning_rates(self) -> Float[np.ndarray, " learning_rates"]:
        """The values of α, increasing."""
        return self.dataset.learning_rate.values

    @property
    def decays(self) -> Float[np.ndarray, " decays"]:
        """The values of λ, increasing."""
        return self.dataset.decay.values

    @property
    def means(self) -> Float[np.ndarray, "decays learning_rates"]:
        """What the map shows: the mean over seeds, NaN where a run diverged."""
        return np.asarray(self.dataset[self.measures[0]].values.mean(axis=0))

    def interval(self, name: str, row: int, column: int) -> Interval:
        """The mean of a variable over seeds, with its 95 % interval."""
        values = np.asarray(self.dataset[name].values, np.float64)
        return stats.mean_interval(values[:, row, column])


def panels(result: Result, otherwise: str | None = None) -> list[Panel]:
    """The grids of a result: one, or one for each value of its other settings.

    Args:
        result: with a learning rate, a decay and something to judge by.
        otherwise: the meaning of λ if the result does not say.

    Returns:
        At least one panel.

    Raises:
        ValueError: it is no such grid, or has too many others; in a sentence.
    """
    dataset = result.dataset
    axis = _decay_axis(dataset)
    sense = meanings.sense(dataset, axis, otherwise)
    grid = _in_order(dataset.rename({axis: "decay"}))
    others = [d for d in _measures(grid)[0].dims if d not in _AXES]
    settings = [dict(zip(others, v, strict=True)) for v in _places(grid, others)]
    if len(settings) > MOST:
        raise ValueError(
            f"{len(settings)} grids, one for each of {', '.join(map(str, others))}: "
            f"more than {MOST} maps are not read; select some and save them by "
            "themselves"
        )
    title = str(dataset.attrs.get("method") or result.file.removesuffix(".nc"))
    return [_panel(grid, at, title, result.file, sense) for at in settings]


_AXES = ("seed", "decay", "learning_rate")


def _decay_axis(dataset: xr.Dataset) -> str:
    found = [name for name in meanings.AXES if name in dataset.dims]
    if "learning_rate" not in dataset.dims or not found:
        dims = ", ".join(f"{k} {v}" for k, v in dataset.sizes.items()) or "none"
        raise ValueError(f"not a grid of learning rates and decays; dimensions: {dims}")
    return found[0]


def _in_order(dataset: xr.Dataset) -> xr.Dataset:
    """Seeds first, then increasing axes, with checked values."""
    for name, least in (("learning_rate", 0.0), ("decay", -1e-300)):
        if name not in dataset.coords:
            raise ValueError(f"its {name} has no values")
        values = np.asarray(dataset[name].values)
        number = np.issubdtype(values.dtype, np.number)
        if not number or not np.isfinite(values).all() or (values <= least).any():
            raise ValueError(
                f"its {name} must be finite numbers above 0 (a decay: ≥ 0)"
            )
        if len(np.unique(values)) != len(values) or not len(values):
            raise ValueError(f"its {name} must differ from one another")
    if "seed" not in dataset.dims:
        runs = [name for name, v in dataset.data_vars.items() if "decay" in v.dims]
        expanded = dataset[runs].expand_dims("seed")
        dataset = dataset.drop_vars([*runs, "seed"], errors="ignore").merge(expanded)
    return dataset.sortby(["decay", "learning_rate"]).transpose(*_AXES, ...)


def _measures(dataset: xr.Dataset) -> list[xr.DataArray]:
    """What cells are judged by: the known names, or else whatever is one number."""
    whole = {
        str(name): v
        for name, v in dataset.data_vars.items()
        if set(_AXES) <= set(v.dims)
        and "record" not in v.dims
        and np.issubdtype(v.dtype, np.floating)
    }
    known = [whole[name] for name in MEASURES if name in whole]
    known = known or [v for name, v in whole.items() if name != "decay_budget"]
    if not known:
        raise ValueError("it has no error or loss for each learning rate and decay")
    return known


def _places(dataset: xr.Dataset, others: list) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(dataset.sizes[name]) for name in others)))


def _panel(grid: xr.Dataset, at: Mapping, title: str, file: str, sense: Sense) -> Panel:
    values = [f"{k} {grid[k].values[i]}" for k, i in at.items()]
    grid = grid.isel(dict(at))
    names = [str(v.name) for v in _measures(grid)]
    diverged_at = _diverged_at(grid, names[0])
    for name in names:
        spoilt = xr.DataArray(diverged_at >= 0, dims=_AXES)
        grid[name] = grid[name].astype(np.float64).where(~spoilt)
    predicted = meanings.predicted_slope(sense)
    slope = _slope(grid, names[0])
    title = " · ".join([title, *values])
    return Panel(title, file, sense, grid, names, diverged_at, slope, predicted)


def _diverged_at(
    grid: xr.Dataset, measure: str
) -> Int[np.ndarray, "seeds decays learning_rates"]:
    if "diverged_at" in grid and set(grid.diverged_at.dims) == set(_AXES):
        return np.asarray(grid.diverged_at.values, np.int64)
    return np.full(grid[measure].shape, -1, np.int64)


def _slope(grid: xr.Dataset, measure: str) -> BasinSlope | None:
    positive = grid.isel(decay=np.flatnonzero(grid.decay.values > 0))
    if min(positive.sizes["decay"], positive.sizes["learning_rate"]) < LEAST:
        return None
    return stats.basin_slope(
        positive.learning_rate.values,
        positive.decay.values,
        np.asarray(positive[measure].values, np.float64),
    )
