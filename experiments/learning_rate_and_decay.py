r"""Where is the best decay, and does it move with the learning rate?

Question.    Loshchilov & Hutter (2019, Figures 1 and 2) map the error over learning
             rate and decay: with L2 the best decay moves when the learning rate moves,
             with decoupled decay it stays. By how much, as numbers?
Prediction.  On a scale-invariant network d log λ*/d log α is −1 for SGD+L2, 0 for
             SGDW, −2 for Adam+L2, −1 for AdamW in Optax's convention, and so 0 in the
             paper's (``wdjax.theory.scale_invariant``); and AdamW's best test error is
             below that of Adam+L2.
Run.         python -m experiments run learning_rate_and_decay
Cost.        About 6 minutes on two CPU cores; ``--full`` half an hour.
Outcome.     Slopes −0.65 [−0.92, −0.38], 0.20 [0.01, 0.39], −1.30 [−2.30, −0.29],
             −0.96 [−1.47, −0.46] and 0.04 [−0.47, 0.54]: in the predicted order, none
             decided at ± 0.25. AdamW below Adam+L2 by 2.65 points [1.53, 3.78].
             (12 seeds, photos10, 800 steps, 2026-11-22; ``experiments/outcomes``.)
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, Float, PyTree
from matplotlib.figure import Figure

import wdjax
from experiments.harness.findings import (
    Finding,
    Outcome,
    around,
    at_least,
    at_most,
    judged,
    shown,
    signed,
)
from experiments.harness.networks import NETWORKS
from experiments.harness.panels import Map, draw
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import data, plots, stats, sweep
from wdjax.stats import Interval
from wdjax.sweep.record import provenance
from wdjax.theory import scale_invariant
from wdjax.theory.scale_invariant import predicted_slope as predicted

SECONDS = 400
FULL_SECONDS = 1_450
CLAIM = "With L2 the best decay moves with the learning rate; decoupled, it stays."


class Range(NamedTuple):
    """The ends of a logarithmic axis."""

    low: float
    high: float

    def values(self, num: int) -> Float[np.ndarray, " num"]:
        """``num`` values, neighbours in one ratio."""
        return np.geomspace(self.low, self.high, num)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines the study; pilots used seeds below 3000."""

    data: str = "photos10"
    data_dir: Path | None = None
    allow_unverified: bool = False
    model: str = "mlp"
    schedule: str = "cosine"
    columns: int = 7
    rows: int = 7
    seeds: int = 5
    first_seed: int = 3000
    steps: int = 600
    batch_size: int = 64
    augment: bool = False
    momentum: float = 0.9


SMOKE = dataclasses.replace(Config(), columns=5, rows=5, seeds=2, steps=20)
FULL = dataclasses.replace(Config(), rows=11, seeds=12, first_seed=4000, steps=800)

RECORDS = 20  # points of a curve

Hypers = Mapping[str, Float[Array, ""]]
Schedule = Callable[[Array], Float[Array, ""]]


class Method(NamedTuple):
    """One panel: an optimizer, its axes, and how its best decay should move.

    Attributes:
        make: the optimizer, from hyper-parameters, schedule αη_t and momentum.
        pull: the fraction of θ removed per unit of learning rate, δ_t/α_t, from
            hyper-parameters, momentum and optimizer state.
        learning_rates: the values of α.
        decays: the values of λ, in the panel's own convention.
        symmetry: predicts the slope.
    """

    make: Callable[[Hypers, Schedule, float], optax.GradientTransformation]
    pull: Callable[[Hypers, float, PyTree], Float[Array, ""]]
    learning_rates: Range
    decays: Range
    symmetry: scale_invariant.Symmetry


METHODS = {
    "SGD+L2": Method(
        make=lambda h, lr, beta: wdjax.sgd_l2(lr, h["decay"], momentum=beta),
        pull=lambda h, beta, state: h["decay"] / (1 - beta),
        learning_rates=Range(0.5, 12),
        decays=Range(2.5e-5, 6e-3),
        symmetry=scale_invariant.SGD_L2,
    ),
    "SGDW": Method(
        make=lambda h, lr, beta: wdjax.sgdw(
            lr,
            h["decay"],
            convention=wdjax.PAPER,
            momentum=beta,
            peak_learning_rate=h["learning_rate"],
        ),
        pull=lambda h, beta, state: h["decay"] / h["learning_rate"],
        learning_rates=Range(0.5, 12),
        decays=Range(1.2e-3, 1.2e-1),
        symmetry=scale_invariant.SGDW_PAPER,
    ),
    "Adam+L2": Method(
        make=lambda h, lr, beta: wdjax.adam_l2(lr, h["decay"]),
        pull=lambda h, beta, state: h["decay"] * adam_gain(state),
        learning_rates=Range(4e-3, 4e-2),
        decays=Range(2e-4, 1e-1),
        symmetry=scale_invariant.ADAM_L2,
    ),
    "AdamW": Method(
        make=lambda h, lr, beta: wdjax.adamw(lr, h["decay"]),
        pull=lambda h, beta, state: h["decay"],
        learning_rates=Range(3e-3, 6e-2),
        decays=Range(0.08, 16),
        symmetry=scale_invariant.ADAMW_OPTAX,
    ),
}


def adam_gain(state: PyTree, b2: float = 0.999, eps: float = 1e-8) -> Float[Array, ""]:
    r"""By how much Adam multiplies a small gradient: mean of 1/(√v̂ + ε)."""
    adam = optax.tree.get(state, "ScaleByAdamState")
    correction = 1 - b2**adam.count
    gains = [1 / (jnp.sqrt(v / correction) + eps) for v in jax.tree.leaves(adam.nu)]
    return sum(map(jnp.sum, gains), start=jnp.zeros(())) / sum(g.size for g in gains)


def run(config: Config, workspace: Workspace) -> Outcome:
    """Measure and save, judge, draw."""
    dataset = data.load(
        config.data, config.data_dir, allow_unverified=config.allow_unverified
    )
    panels = {}
    for name in METHODS:
        panels[name] = measure(name, config, dataset, workspace)
        workspace.save(panels[name], file_name(name))
    with plots.style.context():
        workspace.save_figure(figure(panels), "learning_rate_and_decay")
    return Outcome(judge(panels), dataset.label)


def file_name(method: str) -> str:
    """Where a panel's data are saved."""
    return f"learning_rate_and_decay.{method.lower().replace('+', '_')}.nc"


def measure(
    name: str, config: Config, dataset: data.Dataset, workspace: Workspace
) -> xr.Dataset:
    """One panel: every learning rate with every decay (and none), for every seed."""
    method = METHODS[name]
    eta = sweep.SCHEDULES[config.schedule](config.steps)
    network = NETWORKS[config.model]
    model = network.make(classes=len(dataset.classes))
    crop_and_flip = sweep.in_turn(sweep.random_crop, sweep.random_flip)
    beta = config.momentum

    def make_optimizer(h: Hypers) -> optax.GradientTransformation:
        return method.make(h, lambda t: h["learning_rate"] * eta(t), beta)

    train = sweep.make_train(
        model.init,
        model.apply,
        make_optimizer,
        steps=config.steps,
        batch_size=config.batch_size,
        records=RECORDS,
        collect=model.collect,
        augment=crop_and_flip if config.augment else None,
        microbatch=network.microbatch_of(config.batch_size),
        observe=lambda h, params, state: {"pull": method.pull(h, beta, state)},
    )
    grid = sweep.grid(
        seed=range(config.first_seed, config.first_seed + config.seeds),
        decay=[0.0, *method.decays.values(config.rows)],
        learning_rate=method.learning_rates.values(config.columns),
    )
    settings = {"method": name, **dataclasses.asdict(config)}
    panel = workspace.run(
        name,
        train,
        grid,
        sweep.arrays(dataset),
        configuration=settings,
        record_steps=config.steps // RECORDS * (np.arange(RECORDS) + 1),
    )
    panel["decay_budget"] = budget(panel, eta, config.steps)
    panel.attrs |= provenance(settings) | {"method": name, "data": dataset.label}
    return panel


def budget(panel: xr.Dataset, eta: Schedule, steps: int) -> xr.DataArray:
    r"""The decay budget Σδ_t = Σ_r pull_r Σ_{t∈r} α_t.

    Exact but for Adam+L2, whose pull was measured at the end of each record r.
    """
    etas = np.array([float(eta(jnp.asarray(t))) for t in range(steps)])
    per_record = etas.reshape(panel.sizes["record"], -1).sum(axis=1)
    alphas = panel.learning_rate * xr.DataArray(per_record, dims="record")
    return (panel["pull"] * alphas).sum("record")


def judge(panels: Mapping[str, xr.Dataset]) -> list[Finding]:
    """Every sentence that the study was made to check."""
    limits = tolerances("learning_rate_and_decay")
    return [
        *(slope_finding(one, limits["slope"]) for one in maps(panels)),
        *(decay_helps(name, panel) for name, panel in panels.items()),
        adamw_does_better(panels),
        *(
            pulls_harder(name, panels[name], limits["norm_falls_at_least"])
            for name in ("SGDW", "AdamW")
        ),
    ]


class Label(NamedTuple):
    """What λ means in a panel: for an axis, and for a table."""

    axis: str
    table: str


COUPLED = Label(r"$\lambda_2$", "½λ₂‖θ‖² in the loss")
IN_PAPER = Label(r"$\lambda$ (paper: $\delta_t=\lambda\eta_t$)", "δ_t = λη_t")
IN_OPTAX = Label(r"$\lambda$ (Optax: $\delta_t=\lambda\alpha_t$)", "δ_t = λα_t")
LABELS = {"SGD+L2": COUPLED, "SGDW": IN_PAPER, "Adam+L2": COUPLED, "AdamW": IN_OPTAX}


def maps(panels: Mapping[str, xr.Dataset]) -> list[Map]:
    """The five heat maps: AdamW's one run is drawn in two conventions."""
    found = [
        Map(
            name,
            LABELS[name].axis,
            LABELS[name].table,
            panel,
            basin(panel),
            predicted(METHODS[name].symmetry),
        )
        for name, panel in panels.items()
    ]
    adamw = found[-1]
    return [
        *found,
        Map(
            "AdamW, paper’s λ",
            IN_PAPER.axis,
            IN_PAPER.table,
            adamw.panel,
            in_paper_units(adamw.slope, adamw.panel),
            predicted(scale_invariant.ADAMW_PAPER),
            paper=True,
        ),
    ]


def figure(panels: Mapping[str, xr.Dataset]) -> Figure:
    """Heat maps, slopes, best cells."""
    config = json.loads(panels["AdamW"].attrs["configuration"])
    caption = (
        f"{panels['AdamW'].attrs['data']} · {NETWORKS[config['model']].caption} · "
        f"{config['seeds']} seeds · {config['steps']:,} steps of batch "
        f"{config['batch_size']}, {config['schedule']} schedule · all parameters decay"
    )
    best = {n: stats.mean_interval(percent(best_cell(p))) for n, p in panels.items()}
    return draw(
        maps(panels), best, caption, tolerances("learning_rate_and_decay")["slope"]
    )


def basin(panel: xr.Dataset) -> stats.BasinSlope:
    """CLAIM 2's estimator on validation error; λ = 0 left out."""
    positive = panel.isel(decay=slice(1, None))
    axes = ("seed", "decay", "learning_rate")
    return stats.basin_slope(
        positive.learning_rate.values,
        positive.decay.values,
        positive.validation_error.transpose(*axes).values,
        (positive.diverged_at >= 0).transpose(*axes).values,
    )


def in_paper_units(slope: stats.BasinSlope, panel: xr.Dataset) -> stats.BasinSlope:
    """The same vertices as λ_paper = αλ: every slope is one larger."""
    estimate, low, high = slope.slope
    return slope._replace(
        slope=Interval(estimate + 1, low + 1, high + 1),
        best_decays=slope.best_decays * panel.learning_rate.values,
    )


def slope_finding(one: Map, tolerance: float) -> Finding:
    """Is the slope of the ridge the predicted one?"""
    columns = len(one.slope.censored)
    return judged(
        f"{one.title}: d log λ*/d log α",
        around(one.predicted, tolerance),
        one.slope.slope,
        spec=".2f",
        predicted=f"{signed(one.predicted, 'g')} ± {tolerance:g}",
        seeds=one.panel.sizes["seed"],
        budget=budgets(one.panel),
        convention=one.convention,
        notes=f"{columns - one.slope.num_censored} of {columns} learning rates "
        "uncensored",
    )


def decay_helps(name: str, panel: xr.Dataset) -> Finding:
    """Does the best decay beat the best run without decay, on test, paired by seed?"""
    best = best_cell(panel.isel(decay=slice(1, None)))
    none = best_cell(panel.isel(decay=[0]))
    gain = stats.paired_interval(percent(best), percent(none))
    return judged(
        f"{name}: decay lowers the test error",
        at_most(0.0),
        gain,
        predicted="difference < 0 points",
        measured=f"{shown(gain, '+.2f')} points",
        seeds=panel.sizes["seed"],
        budget=f"{float(best.decay_budget.mean()):.2g}",
        convention=LABELS[name].table,
        notes=f"best cell α = {float(best.learning_rate):.2g}, "
        f"λ = {float(best.decay):.2g}",
    )


def adamw_does_better(panels: Mapping[str, xr.Dataset]) -> Finding:
    """Each method's best cell by validation; then test, paired by seed."""
    adamw, adam_l2 = (percent(best_cell(panels[n])) for n in ("AdamW", "Adam+L2"))
    difference = stats.paired_interval(adamw, adam_l2)
    return judged(
        "AdamW does better than Adam with L2",
        at_most(0.0),
        difference,
        predicted="difference < 0 points",
        measured=f"{shown(difference, '+.2f')} points",
        seeds=len(adamw),
        notes=f"test error {adamw.mean():.1f} % and {adam_l2.mean():.1f} %, "
        "selected and tested with the same seeds",
    )


def pulls_harder(name: str, panel: xr.Dataset, share: float) -> Finding:
    """Does the final norm fall from each decay to the next larger one?"""
    norm = panel.norm.isel(record=-1).transpose("decay", ...).values
    pairs = np.isfinite(norm[1:]) & np.isfinite(norm[:-1])
    falls = float((np.diff(norm, axis=0) < 0)[pairs].mean())
    return judged(
        f"{name}: the larger λ, the harder the pull to the origin",
        at_least(share),
        stats.exact(falls),
        predicted=f"final norm falls with λ in ≥ {share:.0%} of neighbours",
        measured=f"{falls:.1%} of {pairs.sum()}",
        convention=LABELS[name].table,
        notes=f"{panel.sizes['seed']} seeds, every pair counted",
    )


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
