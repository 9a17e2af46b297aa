"""Flat cells as arrays over a plan's named dimensions."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Int

from wdjax.sweep.cells import Plan


def labelled(
    plan: Plan,
    flat: Mapping[str, np.ndarray],
    record_steps: Int[np.ndarray, " records"] | None,
) -> xr.Dataset:
    """Give flat results their dimensions and coordinates.

    Args:
        plan: whose cells they are.
        flat: ``(cells,)`` or ``(cells, records)`` values for each name, in the order of
            :func:`~wdjax.sweep.cells.cells`.
        record_steps: the steps at which curves were recorded.

    Returns:
        A data set with the plan's dimensions and coordinates, and ``record`` for
        curves.
    """
    variables = {}
    for name, values in flat.items():
        dims = (*plan.dims, "record")[: len(plan.dims) + values.ndim - 1]
        variables[name] = (dims, values.reshape(plan.shape + values.shape[1:]))
    coords = dict(plan.coords)
    if record_steps is not None:
        coords["record"] = ("record", record_steps)
    return xr.Dataset(variables, coords)
