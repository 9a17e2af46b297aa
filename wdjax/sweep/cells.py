"""A grid: the labelled product of whatever varies."""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Grid(NamedTuple):
    """Axes by name, in the order of the result's dimensions; see :func:`grid`."""

    axes: Mapping[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def size(self) -> int:
        """The number of cells."""
        return math.prod(self.shape)


class Cells(NamedTuple):
    """The product, flattened: entry ``i`` of each array belongs to cell ``i``."""

    hypers: dict[str, Float[np.ndarray, " cells"]]
    seed: Int[np.ndarray, " cells"]


def grid(seed: Iterable[int], **axes: Iterable[float]) -> Grid:
    """The product of seeds with one axis for each hyper-parameter.

    Example:
        ``grid(seed=range(5), decay=[0, 1e-3, 1e-2], learning_rate=[0.01, 0.1])`` has
        30 cells.

    Args:
        seed: one integer for each repetition; a cell's key is ``jax.random.key(seed)``.
        **axes: the values of each hyper-parameter, by name.

    Returns:
        The grid; its first axis is ``seed``.

    Raises:
        ValueError: an axis is empty, is not a list of finite numbers, or holds a value
            twice.
    """
    arrays = {"seed": np.asarray(list(seed), dtype=np.int64)} | {
        name: np.asarray(list(values), dtype=np.float64)
        for name, values in axes.items()
    }
    for name, values in arrays.items():
        _check_axis(name, values)
    return Grid(MappingProxyType(arrays))


def cells(grid: Grid) -> Cells:
    """Flatten the product, the last axis fastest.

    Args:
        grid: its axes.

    Returns:
        One entry for each cell.
    """
    product = np.meshgrid(*grid.axes.values(), indexing="ij")
    flat = {name: a.ravel() for name, a in zip(grid.axes, product, strict=True)}
    return Cells(seed=flat.pop("seed"), hypers=flat)


def _check_axis(name: str, values: np.ndarray) -> None:
    if values.size == 0:
        raise ValueError(f"The grid's axis {name!r} is empty; give it a value.")
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"The grid's axis {name!r} holds {values[~np.isfinite(values)][0]}; all "
            "values must be finite."
        )
    unique, counts = np.unique(values, return_counts=True)
    if np.any(counts > 1):
        raise ValueError(
            f"The grid's axis {name!r} holds {unique[counts > 1][0]:g} twice; remove "
            "one."
        )
