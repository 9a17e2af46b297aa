"""What the engine runs: the labelled product of axes, or a labelled list of points."""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Float, Int

Varies: TypeAlias = Mapping[str, tuple[str, np.ndarray]]


@runtime_checkable
class Plan(Protocol):
    """Which cells, and the names under which their results are found again.

    All that the engine knows of a :class:`Grid` and of a :class:`Design`.
    """

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions of a result; the first is ``seed``."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""
        ...

    @property
    def size(self) -> int:
        """The number of cells."""
        ...

    @property
    def varies(self) -> Varies:
        """Seed and hyper-parameters: the dimension each goes along, its values."""
        ...

    @property
    def coords(self) -> Varies:
        """The coordinates of a result: what varies, and labels of dimensions."""
        ...


class Grid(NamedTuple):
    """Axes by name, in the order of the result's dimensions; see :func:`grid`."""

    axes: Mapping[str, np.ndarray]

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def size(self) -> int:
        """The number of cells."""
        return math.prod(self.shape)

    @property
    def varies(self) -> Varies:
        """Every hyper-parameter goes along a dimension of its own."""
        return {name: (name, values) for name, values in self.axes.items()}

    @property
    def coords(self) -> Varies:
        """The axes."""
        return self.varies


class Design(NamedTuple):
    """Points, each trained from every seed; see :func:`points` and ``design``."""

    seed: Int[np.ndarray, " seeds"]
    hypers: Mapping[str, np.ndarray]

    @property
    def dims(self) -> tuple[str, ...]:
        """Two, whatever the number of hyper-parameters."""
        return ("seed", "point")

    @property
    def shape(self) -> tuple[int, ...]:
        """How many seeds and how many points."""
        return (len(self.seed), len(next(iter(self.hypers.values()))))

    @property
    def size(self) -> int:
        """The number of cells."""
        return math.prod(self.shape)

    @property
    def varies(self) -> Varies:
        """All hyper-parameters go along the points together."""
        hypers = {name: ("point", values) for name, values in self.hypers.items()}
        return {"seed": ("seed", self.seed)} | hypers

    @property
    def coords(self) -> Varies:
        """The seeds, the numbers of the points, and their hyper-parameters."""
        return {"point": ("point", np.arange(self.shape[1]))} | dict(self.varies)


class Cells(NamedTuple):
    """All cells, flattened: entry ``i`` of each array belongs to cell ``i``."""

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
    arrays = _arrays(seed, axes)
    for name, values in arrays.items():
        _check_values(name, values)
        _check_distinct(name, values)
    return Grid(MappingProxyType(arrays))


def points(seed: Iterable[int], **hypers: Iterable[float]) -> Design:
    """A list of points, each a value for every hyper-parameter, times seeds.

    Example:
        ``points(seed=range(5), decay=[0, 1e-3], learning_rate=[0.1, 0.01])`` has the
        two points (0, 0.1) and (1e-3, 0.01), and 10 cells.

    Args:
        seed: as for :func:`grid`.
        **hypers: the values of each hyper-parameter, one for each point. Points may be
            alike.

    Returns:
        The design. A result has the dimensions ``seed`` and ``point``, and one
        coordinate along ``point`` for each hyper-parameter.

    Raises:
        ValueError: there is no hyper-parameter, one is named ``point``, the lists are
            empty, not of one length, or not of finite numbers, or a seed comes twice.
    """
    arrays = _arrays(seed, hypers)
    for name, values in arrays.items():
        _check_values(name, values)
    seeds = arrays.pop("seed")
    _check_distinct("seed", seeds)
    if "point" in arrays or not arrays:
        raise ValueError(
            f"The points' hyper-parameters are {sorted(arrays)}; give at least one, "
            "and none the name 'point', which numbers them."
        )
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"The points have different numbers of values, {lengths}; give one of each "
            "for every point."
        )
    return Design(seeds, MappingProxyType(arrays))


def cells(plan: Plan) -> Cells:
    """Flatten a plan, the last dimension fastest.

    Args:
        plan: a grid or a design.

    Returns:
        One entry for each cell.
    """
    index = dict(zip(plan.dims, np.indices(plan.shape), strict=True))
    flat = {
        name: values[index[dim].ravel()] for name, (dim, values) in plan.varies.items()
    }
    return Cells(seed=flat.pop("seed"), hypers=flat)


def _arrays(
    seed: Iterable[int], hypers: Mapping[str, Iterable[float]]
) -> dict[str, np.ndarray]:
    return {"seed": _array("seed", seed, np.int64)} | {
        name: _array(name, values, np.float64) for name, values in hypers.items()
    }


def _array(name: str, values: Iterable[Any], dtype: DTypeLike) -> np.ndarray:
    try:
        if isinstance(values, str):
            raise TypeError  # as a list it would be its letters
        listed = list(values)
    except TypeError:
        raise ValueError(
            f"The axis {name!r} is {values!r}; give a list of values, such as "
            f"[{values}]."
        ) from None
    try:
        array = np.asarray(listed, dtype)
    except (TypeError, ValueError):
        raise ValueError(
            f"The axis {name!r} holds {listed}; all values must be numbers. What is "
            "none, such as which optimizer, goes to sweep.run_static."
        ) from None
    if array.dtype.kind == "i" and not np.array_equal(array, listed):
        raise ValueError(f"The axis {name!r} holds {listed}; it takes integers only.")
    return array


def _check_values(name: str, values: np.ndarray) -> None:
    if values.size == 0:
        raise ValueError(f"The axis {name!r} is empty; give it a value.")
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"The axis {name!r} holds {values[~np.isfinite(values)][0]}; all values "
            "must be finite."
        )


def _check_distinct(name: str, values: np.ndarray) -> None:
    unique, counts = np.unique(values, return_counts=True)
    if np.any(counts > 1):
        raise ValueError(
            f"The axis {name!r} holds {unique[counts > 1][0]:g} twice; remove one."
        )
