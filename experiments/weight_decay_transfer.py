r"""I doubled my batch size: what λ now? A tournament of rules.

Question.    A λ was tuned for one small run. When the learning rate, batch size,
             epochs, data or width change, which rule for λ loses least against tuning
             it anew?
Prediction.  Keeping the timescale in epochs (Wang & Aitchison 2024) has a smaller mean
             regret than keeping Optax's λ, paired by seed. The other rules are scored
             beside them, without a prediction.
Run.         python -m experiments run weight_decay_transfer
Cost.        About 6 minutes on two CPU cores.
Outcome.     FAIL: keeping the timescale has 0.046 nats more regret [0.029, 0.062] than
             keeping Optax's λ, which has the least of seven rules, 0.016 nats [0.002,
             0.030]. With the batch doubled: leave λ. (6 seeds, photos10, an MLP with a
             free output layer, 8 configurations, 2026-11-27.)

Each rule is calibrated once, with the best λ by validation loss of the small
configuration. Elsewhere its regret is its test loss less that of the λ which is best
there by validation loss on the grid; between grid points the loss is linear in log λ,
and a λ beyond the grid is given the loss at its end. One schedule is used throughout,
and so the conventions fall into three by their exponent of the peak: :mod:`wdjax.theory
.scaling`. Regrets are in nats of test loss.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.harness import rates, tournament
from experiments.harness.configurations import CAPTION, Configuration, sweep_rates
from experiments.harness.data_settings import DataSettings
from experiments.harness.findings import (
    Finding,
    Outcome,
    at_most,
    judged,
    shown,
    signed,
)
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import data, plots
from wdjax.stats import Interval
from wdjax.theory import scaling
from wdjax.theory.scaling import Rule

SECONDS = 360
CLAIM = "The timescale of decay transfers to other runs better than Optax's λ does."

RULES: Mapping[str, Rule] = {
    "keep λ (Optax, corrected)": scaling.KEEP_OPTAX,
    "keep λ (paper, constant δ)": scaling.KEEP_PAPER,
    "keep λ (squared)": scaling.KEEP_SQUARED,
    "normalised λ": scaling.NORMALISED,
    "timescale": scaling.TIMESCALE,
    "Power Lines": scaling.POWER_LINES,
    "constant budget": scaling.CONSTANT_BUDGET,
}
MORE_DATA = 3.75  # photos10 has 4,000 training images
OURS, THEIRS = "timescale", "keep λ (Optax, corrected)"


@dataclasses.dataclass(frozen=True)
class Config(DataSettings):
    """Everything that defines the study; pilots used seeds below 1000."""

    schedule: str = "cosine"
    learning_rate: float = 0.003
    batch_size: int = 64
    examples: int = 1024
    epochs: int = 16
    width: int = 64
    factor: int = 4
    changes: tuple[str, ...] = (
        "learning rate ÷",
        "learning rate ×",
        "batch ÷",
        "batch ×",
        "epochs ×",
        "data ×",
        "width ×",
        "batch and epochs ×",
    )
    smallest_rate: float = 2.0**-10
    rates: int = 9
    seeds: int = 6
    first_seed: int = 7000


SMOKE = dataclasses.replace(
    Config(),
    changes=("learning rate ×", "batch ×"),
    examples=256,
    epochs=1,
    rates=5,
    seeds=2,
)

Regrets = dict[str, Float[np.ndarray, "held_out seeds"]]


class Predictions(NamedTuple):
    """What is judged, and what each rule says before anything is run.

    Attributes:
        difference_below: of mean regrets, in nats.
        factors: what each rule multiplies δ by, for each held-out configuration.
    """

    difference_below: float
    factors: Mapping[str, Float[np.ndarray, " held_out"]]


class Measured(NamedTuple):
    """Sweeps over the same decay rates and seeds: the calibration, then held-out."""

    calibration: xr.Dataset
    held_out: Mapping[str, xr.Dataset]
    learning_rates: Float[np.ndarray, " held_out"]


def small(config: Config) -> Configuration:
    """Where λ is tuned."""
    return Configuration(
        config.learning_rate,
        config.batch_size,
        config.examples,
        config.epochs,
        config.width,
    )


def held_out(config: Config) -> dict[str, Configuration]:
    """Where λ is asked for: one thing changed by the factor, and two together."""
    base, k = small(config), config.factor
    batch, epochs = base.batch_size * k, base.epochs * k
    more = MORE_DATA * base.examples // 256 * 256
    changed = {
        "learning rate ÷": base._replace(learning_rate=base.learning_rate / k),
        "learning rate ×": base._replace(learning_rate=base.learning_rate * k),
        "batch ÷": base._replace(batch_size=base.batch_size // k),
        "batch ×": base._replace(batch_size=batch),
        "epochs ×": base._replace(epochs=epochs),
        "data ×": base._replace(examples=int(more)),
        "width ×": base._replace(width=base.width * k),
        "batch and epochs ×": base._replace(batch_size=batch, epochs=epochs),
    }
    by = {name: f"{name} {k}" for name in changed}
    by["data ×"] = f"data × {more / base.examples:g}"
    return {by[name]: changed[name] for name in config.changes}


def predict(config: Config) -> Predictions:
    """The rules' factors; the bound on the difference of regrets."""
    base = small(config).scale(10)
    others = [one.scale(10) for one in held_out(config).values()]
    factors = {
        name: np.array([scaling.decay_rate_factor(rule, base, o) for o in others])
        for name, rule in RULES.items()
    }
    below = tolerances("weight_decay_transfer")["difference_below"]
    return Predictions(below, factors)


def measure(config: Config, dataset: data.Dataset, workspace: Workspace) -> Measured:
    """The dense sweeps."""
    grid = config.smallest_rate * 2.0 ** np.arange(config.rates)

    def swept(configuration: Configuration) -> xr.Dataset:
        return sweep_rates(
            configuration,
            grid,
            range(config.first_seed, config.first_seed + config.seeds),
            schedule=config.schedule,
            dataset=dataset,
            workspace=workspace,
            settings=dataclasses.asdict(config),
        )

    others = held_out(config)
    return Measured(
        swept(small(config)),
        {name: swept(one) for name, one in others.items()},
        np.array([one.learning_rate for one in others.values()]),
    )


def regrets(
    predictions: Predictions, measured: Measured, keep: Float[np.ndarray, " kept"]
) -> Regrets:
    """Each rule's regret in nats, for each configuration and seed.

    Args:
        predictions: for the factors.
        measured: the sweeps.
        keep: the seeds, by number, that calibrate, select and are scored.
    """
    calibrated = tournament.best_rate(measured.calibration.isel(seed=keep))
    factors = np.array(list(predictions.factors.values()))
    by_panel = [
        tournament.regrets(panel.isel(seed=keep), calibrated * factors[:, number])
        for number, panel in enumerate(measured.held_out.values())
    ]
    return dict(zip(predictions.factors, np.stack(by_panel, axis=1), strict=True))


class Scores(NamedTuple):
    """Regrets of all seeds, and of the others without each seed in turn."""

    everyone: Regrets
    without: list[Regrets]

    def mean(self, name: str) -> Interval:
        """A rule's regret, a mean over configurations and seeds."""
        return tournament.interval(
            self.everyone[name].mean(axis=0),
            [rest[name].mean(axis=0) for rest in self.without],
        )

    def difference(self, ours: str, theirs: str) -> Interval:
        """One rule's mean regret less another's, paired by seed."""

        def gap(one: Regrets) -> Float[np.ndarray, " seeds"]:
            return (one[ours] - one[theirs]).mean(axis=0)

        return tournament.interval(gap(self.everyone), [gap(r) for r in self.without])


def score(predictions: Predictions, measured: Measured) -> Scores:
    """Calibrate, select and score, with all seeds and without each."""
    seeds = np.arange(measured.calibration.sizes["seed"])
    return Scores(
        regrets(predictions, measured, seeds),
        [regrets(predictions, measured, np.delete(seeds, s)) for s in seeds]
        if len(seeds) > 1
        else [],
    )


def judge(predictions: Predictions, measured: Measured) -> list[Finding]:
    """The registered comparison; the other rules stand in its notes and the table."""
    scores = score(predictions, measured)
    interval = scores.difference(OURS, THEIRS)
    table = ", ".join(f"{n} {shown(scores.mean(n), '.3f')}" for n in scores.everyone)
    return [
        judged(
            "The timescale rule has less regret than keeping Optax's λ",
            at_most(predictions.difference_below),
            interval,
            predicted=f"mean difference < {predictions.difference_below:g} nats",
            measured=f"{shown(interval, '+.3f')} nats",
            seeds=measured.calibration.sizes["seed"],
            budget=rates.budgets([measured.calibration, *measured.held_out.values()]),
            convention="δ_t = λα_t; rules in δ at the peak",
            notes=f"mean regret over {len(measured.held_out)} configurations: {table}; "
            f"calibrated at δ = {tournament.best_rate(measured.calibration):.2g}; "
            f"{beyond(predictions, measured)}",
        )
    ]


def beyond(predictions: Predictions, measured: Measured) -> str:
    """How often a rule asked for a rate that is not on the grid."""
    calibrated = tournament.best_rate(measured.calibration)
    grid = measured.calibration.rate.values
    asked = calibrated * np.array(list(predictions.factors.values()))
    outside = int(((asked < grid[0]) | (asked > grid[-1])).sum())
    return f"{outside} of {asked.size} rates beyond the grid"


def answers(predictions: Predictions, measured: Measured, scores: Scores) -> str:
    """The table to print: what to multiply Optax's λ by, with the nats it costs."""
    cells = scores.everyone
    peaks = measured.learning_rates / measured.calibration.learning_rate.item()
    names = list(measured.held_out)
    lines = [f"{'multiply λ by (regret in nats)':34}" + " | ".join(names) + " | mean"]
    for name, factors in predictions.factors.items():
        row = [
            f"{f / p:.3g} ({signed(float(r.mean()), '.3f')})"
            for f, p, r in zip(factors, peaks, cells[name], strict=True)
        ]
        row = [text.center(len(n)) for text, n in zip(row, names, strict=True)]
        lines.append(
            f"{name:34}" + " | ".join(row) + f" | {shown(scores.mean(name), '.3f')}"
        )
    return "\n  ".join(lines)


def doubled_batch() -> str:
    """The question in the title, in one line."""
    said = (f"{name} × {2**rule.batch_size:.3g}" for name, rule in RULES.items())
    return "With the batch doubled and all else kept, multiply λ: " + ", ".join(said)


def draw(
    predictions: Predictions, measured: Measured, scores: Scores, caption: str
) -> Figure:
    """Basins with the rates that the rules ask for; regrets; their means."""
    figure = Figure(figsize=(18, 10), layout="constrained")
    halves = figure.subfigures(2, 1, squeeze=False, height_ratios=(2, 1))
    above, below = halves.flat
    basins = above.subplots(2, 4, squeeze=False).flat
    calibrated = tournament.best_rate(measured.calibration)
    for number, (name, panel) in enumerate(measured.held_out.items()):
        asked = {r: calibrated * f[number] for r, f in predictions.factors.items()}
        tournament.basin(basins[number], panel, asked, name)
    for ax in basins[len(measured.held_out) :]:
        ax.remove()
    heat, means = below.subplots(1, 2)
    cells = scores.everyone
    table = np.stack([values.mean(axis=1) for values in cells.values()])
    tournament.heat(heat, table, list(cells), list(measured.held_out))
    plots.curves.intervals(
        means,
        list(cells),
        [scores.mean(name) for name in cells],
        colours=tournament.COLOURS[: len(cells)],
        xlabel="mean regret (nats of test loss)",
    )
    means.set_title("Mean regret of each rule")
    figure.suptitle(caption, fontsize=11)
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Predict, measure and save, judge, answer, draw."""
    dataset = config.load_data()
    predictions = predict(config)
    measured = measure(config, dataset, workspace)
    workspace.save(measured.calibration, "weight_decay_transfer.calibration.nc")
    for number, panel in enumerate(measured.held_out.values()):
        workspace.save(panel, f"weight_decay_transfer.{number:02d}.nc")
    scores = score(predictions, measured)
    workspace.say(answers(predictions, measured, scores))
    workspace.say(doubled_batch())
    caption = (
        f"{dataset.label} · {CAPTION} · AdamW · {config.seeds} seeds "
        f"· {config.schedule} schedule · λ tuned at {small(config).label}\n"
        "triangles: where each rule puts it, coloured as below · "
        "stars: best by validation loss"
    )
    with plots.style.context():
        figure = draw(predictions, measured, scores, caption)
        workspace.save_figure(figure, "weight_decay_transfer")
    return Outcome(judge(predictions, measured), dataset.label)
