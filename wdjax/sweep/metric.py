"""By what points are compared: one number for each, the less the better."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from wdjax.sweep.cells import Plan
from wdjax.sweep.training import Train


def outcome_shapes(
    train: Train, plan: Plan, data: PyTree
) -> dict[str, tuple[int, ...]]:
    """What a training returns for one cell: the shape of each number and curve.

    Args:
        train: see :func:`~wdjax.sweep.run`; it is not run.
        plan: for the names of hyper-parameters.
        data: for its shapes.
    """
    scalar = jax.ShapeDtypeStruct((), jnp.result_type(float))
    hypers = {name: scalar for name in plan.varies if name != "seed"}
    shapes = jax.eval_shape(train, data, hypers, jax.random.key(0))
    return {name: leaf.shape for name, leaf in shapes.items()}


def metric_shape(
    metric: str, train: Train, plan: Plan, data: PyTree
) -> tuple[int, ...]:
    """The shape of a metric for one cell: that of a number or of a curve.

    Args:
        metric: its name in the training's outcome.
        train: see :func:`outcome_shapes`.
        plan: likewise.
        data: likewise.

    Raises:
        ValueError: the outcome holds no such number or curve.
    """
    shapes = outcome_shapes(train, plan, data)
    known = {name: shape for name, shape in shapes.items() if len(shape) < 2}
    if metric not in known:
        raise ValueError(
            f"The training has no number {metric!r}; take one of {list(known)}."
        )
    return known[metric]


def by_seed(values: np.ndarray, seeds: int) -> Float[np.ndarray, "seeds points"]:
    """The metric of flat cells; of curves, the last record.

    Args:
        values: ``(cells,)`` numbers or ``(cells, records)`` curves.
        seeds: how many there are.
    """
    last = values if values.ndim == 1 else values[:, -1]
    return np.asarray(last, np.float64).reshape(seeds, -1)


def means(values: np.ndarray, seeds: int) -> Float[np.ndarray, " points"]:
    """The metric of each point, a mean over seeds; see :func:`by_seed`."""
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        return by_seed(values, seeds).mean(0)
