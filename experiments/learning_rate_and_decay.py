r"""Where is the best decay, and does it move with the learning rate?

Question.    Loshchilov & Hutter (2019, Figures 1 and 2) map the error over learning
             rate and decay: with L2 the best decay moves when the learning rate moves,
             with decoupled decay it stays. By how much, as numbers?
Prediction.  On a scale-invariant network d log λ*/d log α is −1 for SGD+L2, 0 for
             SGDW, −2 for Adam+L2, −1 for AdamW in Optax's convention, and so 0 in the
             paper's (``wdjax.theory.scale_invariant``); and AdamW's best test error is
             below that of Adam+L2.
Run.         python -m experiments run learning_rate_and_decay
Cost.        About 6 minutes on two CPU cores; ``--full`` half an hour, or a minute on
             an H100.
Outcome.     Slopes −0.65 [−0.92, −0.38], 0.20 [0.01, 0.39], −1.30 [−2.30, −0.29],
             −0.96 [−1.47, −0.46] and 0.04 [−0.47, 0.54]: in the predicted order, none
             decided at ± 0.25. AdamW below Adam+L2 by 2.65 points [1.53, 3.78].
             (12 seeds, photos10, 800 steps, 2026-11-22; ``experiments/outcomes``.)
             On CIFAR-10 (JPEG re-encode, 10k) −0.54 [−0.68, −0.39], a FAIL; 0.27 [0.09,
             0.45], undecided, −0.83 [−1.24, −0.41] and 0.17 [−0.24, 0.59]; AdamW below
             Adam+L2 by 0.57 [−0.10, 1.25]. (5 seeds, 600 steps, 2026-11-28.)
             With ``--full --seeds 40``, 93 s on one H100: −0.73 [−0.78, −0.69] and 0.31
             [0.21, 0.41], undecided at the edge of ± 0.25; −1.80 [−2.91, −0.69],
             undecided; −1.02 [−1.21, −0.83] and −0.02 [−0.21, 0.17], both PASS; Adam+L2
             0.72 points worse than without decay [0.10, 1.34], a FAIL; AdamW below it
             by 3.44 [2.90, 3.98]. (photos10, 800 steps, 2026-11-28.)
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.harness.data_settings import DataSettings
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
from experiments.harness.methods import METHODS
from experiments.harness.networks import NETWORKS
from experiments.harness.panels import Map, draw
from experiments.harness.tolerances import tolerances
from experiments.harness.trainings import (
    Setting,
    best_cell,
    budgets,
    percent,
    trained,
)
from experiments.harness.workspace import Workspace
from wdjax import data, plots, stats, sweep
from wdjax.stats import Interval
from wdjax.theory import scale_invariant
from wdjax.theory.scale_invariant import predicted_slope as predicted

SECONDS = 400
FULL_SECONDS = 1_450
CLAIM = "With L2 the best decay moves with the learning rate; decoupled, it stays."


@dataclasses.dataclass(frozen=True)
class Config(DataSettings):
    """Everything that defines the study; pilots used seeds below 3000."""

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
    records: int = 20  # points of a curve


SMOKE = dataclasses.replace(Config(), columns=3, rows=2, seeds=2, steps=20, records=4)
FULL = dataclasses.replace(Config(), rows=11, seeds=12, first_seed=4000, steps=800)


def run(config: Config, workspace: Workspace) -> Outcome:
    """Measure and save, judge, draw."""
    dataset = config.load_data()
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
    setting = Setting(
        NETWORKS[config.model],
        config.schedule,
        config.steps,
        config.batch_size,
        config.augment,
        config.momentum,
        config.records,
    )
    grid = sweep.grid(
        seed=range(config.first_seed, config.first_seed + config.seeds),
        decay=[0.0, *method.decays.values(config.rows)],
        learning_rate=method.learning_rates.values(config.columns),
    )
    settings = {"method": name, **dataclasses.asdict(config)}
    panel = trained(
        name,
        method,
        setting,
        grid,
        dataset=dataset,
        workspace=workspace,
        configuration=settings,
    )
    panel.attrs["method"] = name
    return panel


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
        seeds=panel.sizes["seed"],
        notes="every pair counted",
    )
