r"""Decay is a timescale: which one is best as data, epochs and batch size grow?

Question.    With decoupled decay the weights are an average of past updates, and the
             decay sets how far back it reaches. Three laws say how the best decay rate
             moves: δ* ∝ N^{−p_data} E^{−p_epochs} b^q in examples N, epochs E and batch
             size b. What are the exponents?
Prediction.  The average is an identity for any optimizer, to 1e-5 in float32. The
             exponents (p_data, p_epochs, q) are (½, ½, ½) by Loshchilov & Hutter,
             (1, 0, 1) by Wang & Aitchison, (0.473, –, 1) by Power Lines. The
             measurement succeeds if each half-width is at most 0.2, whoever wins.
Run.         python -m experiments run timescale
Cost.        About 10 minutes on two CPU cores (14 beside other work).
Outcome.     The identity holds to 1.1e-6: PASS. Exponents 0.43 [−0.23, 1.09] in N
             (FAIL, too wide), 0.44 [0.25, 0.63] in E, −0.11 [−0.30, 0.08] in b (PASS):
             each excludes every law that names one. Runs at (cα, λ/c) do not coincide:
             their basins lie at one λ, not at one δ. (8 seeds, photos10, 2026-11-27.)

The best decay is that of the validation loss, whose basin is far clearer than that of
the error. Whether runs at (cα, λ/c) coincide has no tolerance of its own: the largest
difference is in the notes, and drawn.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure

import wdjax
from experiments.harness import rates
from experiments.harness.averaging_identity import identity_error
from experiments.harness.configurations import CAPTION, Configuration, sweep_rates
from experiments.harness.data_settings import DataSettings
from experiments.harness.findings import Finding, Outcome, at_most, judged, shown
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import data, plots, stats
from wdjax.stats import Interval
from wdjax.theory import scaling

SECONDS = 600
CLAIM = (
    "Decoupled decay averages past updates over a timescale; how the best one moves "
    "with data, epochs and batch size is measured to ± 0.2."
)


@dataclasses.dataclass(frozen=True)
class Config(DataSettings):
    """Everything that defines the study; pilots used seeds below 1000."""

    schedule: str = "cosine"
    learning_rate: float = 0.003
    batch_size: int = 64
    examples: int = 2048
    epochs: int = 16
    other_batch_sizes: tuple[int, ...] = (16, 32, 128, 256)
    other_examples: tuple[int, ...] = (256, 512, 1024, 3840)
    other_epochs: tuple[int, ...] = (4, 8, 32, 64)
    other_learning_rates: tuple[float, ...] = (0.0015, 0.006)
    smallest_rate: float = 2.0**-10
    rates: int = 9
    seeds: int = 8
    first_seed: int = 5000
    identity_steps: int = 1_000
    identity_optimizers: tuple[str, ...] = ("AdamW", "NAdamW", "Lion", "SGDW")


SMOKE = dataclasses.replace(
    Config(),
    epochs=1,
    other_batch_sizes=(),
    other_examples=(),
    other_epochs=(),
    other_learning_rates=(0.006,),
    batch_size=128,
    examples=512,
    rates=5,
    seeds=2,
    identity_steps=50,
    identity_optimizers=("AdamW",),
)

FACTORS = ("examples", "epochs", "batch_size")
OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "AdamW": wdjax.adamw,
    "NAdamW": wdjax.nadamw,
    "Lion": wdjax.lionw,
    "SGDW": lambda lr, decay: wdjax.sgdw(lr, decay, momentum=0.9),
}


class Hypothesis(NamedTuple):
    """Exponents of δ* in N, E and b; ``None`` where the source says nothing."""

    examples: float | None
    epochs: float | None
    batch_size: float | None


class Predictions(NamedTuple):
    """The three laws, and what is asked of the measurement."""

    hypotheses: Mapping[str, Hypothesis]
    identity: float
    half_width: float


class Measured(NamedTuple):
    """What is judged and drawn.

    Attributes:
        identity: ‖θ_T − the average‖/‖θ_T‖ for each optimizer.
        sweeps: losses and errors over decay rates, for each configuration.
        scaled: the same for (cα, λ/c), by c; c = 1 among them.
    """

    identity: Mapping[str, float]
    sweeps: Mapping[Configuration, xr.Dataset]
    scaled: Mapping[float, xr.Dataset]


def predict(config: Config) -> Predictions:
    """Exponents from the rules of :mod:`wdjax.theory.scaling`."""
    del config
    rules = {
        "Loshchilov & Hutter": scaling.NORMALISED,
        "Wang & Aitchison": scaling.TIMESCALE,
    }
    hypotheses = {
        name: Hypothesis(rule.examples, rule.epochs, rule.batch_size)
        for name, rule in rules.items()
    }
    lines = scaling.POWER_LINES
    hypotheses["Power Lines"] = Hypothesis(lines.examples, None, lines.batch_size)
    limits = tolerances("timescale")
    return Predictions(hypotheses, limits["identity"], limits["exponent_half_width"])


def reference(config: Config) -> Configuration:
    """The centre of the star."""
    c = config
    return Configuration(c.learning_rate, c.batch_size, c.examples, c.epochs)


def star(config: Config) -> list[Configuration]:
    """The reference, and one factor at a time moved away from it."""
    centre = reference(config)
    return [
        centre,
        *(centre._replace(examples=n) for n in config.other_examples),
        *(centre._replace(epochs=e) for e in config.other_epochs),
        *(centre._replace(batch_size=b) for b in config.other_batch_sizes),
    ]


def measure(config: Config, dataset: data.Dataset, workspace: Workspace) -> Measured:
    """The identity in float32, then the sweeps."""
    steps = config.identity_steps
    identity = {
        name: identity_error(OPTIMIZERS[name], steps)
        for name in config.identity_optimizers
    }

    def swept(configuration: Configuration) -> xr.Dataset:
        first = config.first_seed
        return sweep_rates(
            configuration,
            config.smallest_rate * 2.0 ** np.arange(config.rates),
            range(first, first + config.seeds),
            schedule=config.schedule,
            dataset=dataset,
            workspace=workspace,
            settings=dataclasses.asdict(config),
        )

    sweeps = {one: swept(one) for one in star(config)}
    centre = reference(config)
    scaled = {1.0: sweeps[centre]} | {
        alpha / config.learning_rate: swept(centre._replace(learning_rate=alpha))
        for alpha in config.other_learning_rates
    }
    return Measured(identity, sweeps, dict(sorted(scaled.items())))


def law(
    sweeps: Mapping[Configuration, xr.Dataset],
) -> tuple[stats.PowerLaw, stats.BestDecays]:
    """The exponents of δ* by least squares, and each configuration's δ*."""
    bests = rates.bests(list(sweeps.values()))
    factors = {
        name: np.array([float(getattr(one, name)) for one in sweeps])
        for name in FACTORS
    }
    return stats.power_law(factors, bests.values, bests.without_seed), bests


def judge(predictions: Predictions, measured: Measured) -> list[Finding]:
    """The identity for each optimizer, then each exponent."""
    return [
        *(
            identity_finding(name, error, predictions.identity)
            for name, error in measured.identity.items()
        ),
        *exponent_findings(predictions, measured),
    ]


def identity_finding(name: str, error: float, tolerance: float) -> Finding:
    """θ_T is the average of its past directions."""
    return judged(
        f"{name}: the weights are the average of past directions that decay gives",
        at_most(tolerance),
        stats.exact(error),
        predicted=f"the same to {tolerance:g} of ‖θ‖",
        measured=f"off by {error:.1e}",
        convention="δ_t = λα_t",
        notes="float32, cosine schedule, minibatches",
    )


def exponent_findings(predictions: Predictions, measured: Measured) -> list[Finding]:
    """Is each exponent known to the half-width asked for, and whom does it exclude?"""
    fitted, bests = law(measured.sweeps)
    centre = next(iter(measured.sweeps.values()))
    common = (
        f"{fitted.num_points} of {len(measured.sweeps)} configurations uncensored; "
        f"{rates.described(bests)}; {coincidence(measured.scaled)}"
    )
    return [
        judged(
            f"The exponent of δ* in {WORDS[factor]} is measured",
            at_most(predictions.half_width),
            stats.exact(_half_width(exponent)),
            predicted=f"half-width ≤ {predictions.half_width:g}; "
            + stated(predictions.hypotheses, factor),
            measured=f"{shown(exponent, '.2f')}, "
            + excluded(exponent, predictions.hypotheses, factor),
            seeds=centre.sizes["seed"],
            budget=rates.budgets(measured.sweeps.values()),
            convention="δ = αλ at the peak, δ_t = λα_t",
            notes=common,
        )
        for factor, exponent in fitted.exponents.items()
    ]


WORDS = {
    "examples": "the examples N (−p_data)",
    "epochs": "the epochs E (−p_epochs)",
    "batch_size": "the batch size b (q)",
}


def _half_width(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def stated(hypotheses: Mapping[str, Hypothesis], factor: str) -> str:
    """What each law says of one factor."""
    said = {name: getattr(h, factor) for name, h in hypotheses.items()}
    shown = (f"{n} {v:g}".replace("-", "−") for n, v in said.items() if v is not None)
    return ", ".join(shown)


def excluded(
    exponent: Interval, hypotheses: Mapping[str, Hypothesis], factor: str
) -> str:
    """Which laws the interval excludes, and which it contains."""
    if not np.isfinite(exponent).all():
        return "which excludes nobody"
    said = {name: getattr(h, factor) for name, h in hypotheses.items()}
    outside = [
        name
        for name, value in said.items()
        if value is not None and not exponent.low <= value <= exponent.high
    ]
    return (
        f"which excludes {' and '.join(outside)}"
        if outside
        else "which excludes nobody"
    )


def coincidence(scaled: Mapping[float, xr.Dataset]) -> str:
    """How far the curves for (cα, λ/c) are apart, where the run forgets its start."""
    if len(scaled) == 1:
        return "no other learning rate"
    base = scaled[1.0]
    forgets = base.decay_budget.mean("seed").values >= 3
    gaps = {
        c: rates.paired(one, base).where(xr.DataArray(forgets, dims="rate"))
        for c, one in scaled.items()
        if c != 1.0
    }
    worst = {c: float(abs(gap.mean("seed")).max()) for c, gap in gaps.items()}
    noise = {
        c: float((gap.std("seed", ddof=1) / gap.sizes["seed"] ** 0.5).max())
        for c, gap in gaps.items()
    }
    said = (f"c = {c:g}: {worst[c]:.2g} nats (s.e. {noise[c]:.1g})" for c in worst)
    return "(cα, λ/c) differ at budgets ≥ 3 by at most " + ", ".join(said)


def draw(predictions: Predictions, measured: Measured, caption: str) -> Figure:
    """Basins over best rates, factor by factor; the coincidence; the identity."""
    fitted, bests = law(measured.sweeps)
    figure = Figure(figsize=(17, 8), layout="constrained")
    axes = figure.subplots(2, 4)
    labels = {
        "examples": "examples N",
        "epochs": "epochs E",
        "batch_size": "batch size b",
    }
    for column, (factor, label) in enumerate(labels.items()):
        members = rates.members(measured.sweeps, factor)
        rates.basins(axes[0, column], members, label)
        laws = {n: getattr(h, factor) for n, h in predictions.hypotheses.items()}
        rates.best_rates(
            axes[1, column],
            members,
            bests,
            exponent=fitted.exponents[factor],
            laws=laws,
            label=label,
        )
    curves = {f"c = {c:g}": one for c, one in measured.scaled.items()}
    rates.curves(axes[0, 3], curves)
    axes[0, 3].set_title("The same δ at (cα, λ/c)")
    rates.identity(axes[1, 3], measured.identity, predictions.identity)
    figure.suptitle(caption, fontsize=11)
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Measure and save, judge, draw."""
    dataset = config.load_data()
    predictions = predict(config)
    measured = measure(config, dataset, workspace)
    for number, panel in enumerate(
        [*measured.sweeps.values(), *measured.scaled.values()]
    ):
        workspace.save(panel, f"timescale.{number:02d}.nc")
    caption = (
        f"{dataset.label} · {CAPTION} · AdamW · {config.seeds} seeds · "
        f"{config.schedule} schedule · about α = {config.learning_rate:g}, "
        f"b = {config.batch_size}, N = {config.examples}, E = {config.epochs}"
    )
    with plots.style.context():
        workspace.save_figure(draw(predictions, measured, caption), "timescale")
    return Outcome(judge(predictions, measured), dataset.label)
