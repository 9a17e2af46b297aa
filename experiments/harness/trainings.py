"""Trainings of a method over learning rates and decays, and what their cells say."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Float

from experiments.harness.methods import Hypers, Method, Schedule
from experiments.harness.networks import Network
from experiments.harness.workspace import Workspace
from wdjax import data, sweep
from wdjax.sweep.cells import Plan
from wdjax.sweep.record import provenance


class Setting(NamedTuple):
    """What all cells of a grid have in common.

    Attributes:
        network: what is trained.
        schedule: the name of the multiplier η_t.
        steps: of a training, a multiple of ``records``.
        batch_size: examples in a step.
        augment: crop and flip the training images.
        momentum: of the methods that ask for one.
        records: points of a curve.
    """

    network: Network
    schedule: str
    steps: int
    batch_size: int
    augment: bool = False
    momentum: float = 0.9
    records: int = 20


def make_training(method: Method, setting: Setting, classes: int) -> sweep.Training:
    """A training whose cells differ in ``learning_rate``, ``decay`` and seed.

    Args:
        method: builds the optimizer.
        setting: the rest.
        classes: of the data.

    Returns:
        :func:`wdjax.sweep.make_train`'s, with the curve ``pull``, δ_t/α_t.
    """
    eta = sweep.SCHEDULES[setting.schedule](setting.steps)
    model = setting.network.make(classes=classes)
    crop_and_flip = sweep.in_turn(sweep.random_crop, sweep.random_flip)
    beta = setting.momentum

    def make_optimizer(h: Hypers) -> optax.GradientTransformation:
        return method.make(h, lambda t: h["learning_rate"] * eta(t), beta)

    return sweep.make_train(
        model.init,
        model.apply,
        make_optimizer,
        steps=setting.steps,
        batch_size=setting.batch_size,
        records=setting.records,
        collect=model.collect,
        augment=crop_and_flip if setting.augment else None,
        microbatch=setting.network.microbatch_of(setting.batch_size),
        observe=lambda h, params, state: {"pull": method.pull(h, beta, state)},
    )


def trained(
    name: str,
    method: Method,
    setting: Setting,
    plan: Plan,
    *,
    dataset: data.Dataset,
    workspace: Workspace,
    configuration: Mapping[str, Any],
) -> xr.Dataset:
    """Train every cell of a plan.

    Args:
        name: of the grid, for the bar, the folder and the logs.
        method: the optimizer.
        setting: what the cells have in common.
        plan: the values of ``learning_rate`` and ``decay``, and the seeds.
        dataset: what is learnt.
        workspace: where it runs.
        configuration: all settings of the experiment.

    Returns:
        :func:`wdjax.sweep.run`'s data set, with ``decay_budget`` and its provenance.
    """
    records = setting.records
    panel = workspace.run(
        name,
        make_training(method, setting, len(dataset.classes)),
        plan,
        sweep.arrays(dataset),
        configuration=configuration,
        record_steps=setting.steps // records * (np.arange(records) + 1),
    )
    eta = sweep.SCHEDULES[setting.schedule](setting.steps)
    panel["decay_budget"] = budget(panel, eta, setting.steps)
    panel.attrs |= provenance(dict(configuration)) | {"data": dataset.label}
    return panel


def budget(panel: xr.Dataset, eta: Schedule, steps: int) -> xr.DataArray:
    r"""The decay budget Σδ_t = Σ_r pull_r Σ_{t∈r} α_t.

    Exact but for Adam+L2, whose pull was measured at the end of each record r.
    """
    etas = np.array([float(eta(jnp.asarray(t))) for t in range(steps)])
    per_record = etas.reshape(panel.sizes["record"], -1).sum(axis=1)
    alphas = panel.learning_rate * xr.DataArray(per_record, dims="record")
    return (panel["pull"] * alphas).sum("record")


def budgets(panel: xr.Dataset) -> str:
    """The least and the largest decay budget of the cells that decay."""
    mean = panel.decay_budget.isel(decay=slice(1, None)).mean("seed")
    return f"{float(mean.min()):.2g} to {float(mean.max()):.2g}"


def best_cell(panel: xr.Dataset) -> xr.Dataset:
    """The cell with the least seed-mean validation error; one with a NaN is last."""
    mean = panel.validation_error.mean("seed", skipna=False).fillna(np.inf)
    where = mean.argmin(("decay", "learning_rate"))
    return panel.isel({k: int(v) for k, v in where.items()})


def percent(cell: xr.Dataset) -> Float[np.ndarray, " seeds"]:
    """Test error of each seed, in percent."""
    return 100 * cell.test_error.values
