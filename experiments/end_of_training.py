r"""Why gradients grow near the end of training, and when they do not.

Question.    With a falling learning rate the gradients of normalised layers grow, by
             the norm of the weights. By which law, for SGD and for AdamW? Does a decay
             that is corrected for the schedule stop it?
Prediction.  ``wdjax.theory.annealing``. SGD with L2 and momentum: :math:`\|g\|/\|w\| =
             \sqrt{2\lambda_2(1-\beta)/\alpha_t}`, exponent −½ in :math:`\alpha_t`.
             AdamW: :math:`\sqrt L\cdot2\lambda/(d\alpha_t)` for d weights, exponent −1,
             with :math:`L` the mean square gradient at unit norm. With corrected decay
             :math:`\delta_t = \lambda\alpha_t^2/\alpha_{\max}` the exponents are 0.
             Among random gradients ± 5 %, in a network ± 20 %; exponents ± 0.1.
Run.         python -m experiments run end_of_training
Cost.        About 3 minutes on two CPU cores (4 minutes of CPU time).
Outcome.     SGD passes all eight: walk 0.996 and 1.000 of the prediction, exponents
             −0.500 and 0.000; the network's farthest layer 1.08 [1.07, 1.09] and 1.11
             [1.09, 1.13], −0.47 and 0.04. AdamW's walk passes all four: 1.001 and
             1.016, −0.989 and 0.015. **AdamW's network does not**: farthest layer 1.40
             [1.35, 1.46] and, corrected, 1.79 [1.69, 1.90] FAIL; exponents −1.17
             [−1.25, −1.08] INCONCLUSIVE and −0.25 [−0.31, −0.20] FAIL. Its law needs
             each weight's gradient to be noise, where SGD's needs only g ⊥ w. (4 seeds,
             photos10, batch 8, 2026-11-27; pilots at batches 2, 8 and 32, on seed 3:
             SGD's farthest layer 1.05, 1.1 and 1.25, AdamW's 0.8, 1.3 and 1.8.)
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.harness import layers
from experiments.harness.annealed import METHODS, Annealing
from experiments.harness.data_settings import DataSettings
from experiments.harness.findings import Finding, Outcome, around, judged
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import data, models, stats, sweep
from wdjax.models.model import paths
from wdjax.plots import style

SECONDS = 240
CLAIM = (
    "As the learning rate falls, the ratio of gradient to weight norm rises as "
    "α^−½ under SGD and as 1/α under AdamW; a corrected decay keeps it."
)


WALK = Annealing(decay_rate=4e-3, steady=1_500, falling=30_000)
NETWORK = Annealing(decay_rate=3e-3, steady=3_000, falling=7_500)


@dataclasses.dataclass(frozen=True)
class Config(DataSettings):
    r"""Everything that defines the experiment; pilots used seeds below 1000.

    The schedule is the one under which layers stay as near to equilibrium as they were:
    norms lag behind by :math:`1/(p\,\delta T)` of their p-th power throughout.
    """

    seeds: int = 4
    first_seed: int = 5000
    records: int = 42
    size: int = 1024  # d of the layer that walks
    gradient_norm: float = 3.0  # √L of it
    b2: float = 0.99  # of the walk: 100 steps, in which the rates hardly change
    walk: Annealing = WALK
    hidden: tuple[int, ...] = (64, 64)
    batch_size: int = 8
    network: Annealing = NETWORK


SMOKE = dataclasses.replace(
    Config(),
    seeds=3,
    records=6,
    size=64,
    walk=Annealing(decay_rate=4e-3, steady=30, falling=90),
    hidden=(16,),
    network=Annealing(decay_rate=4e-3, steady=30, falling=90),
)

TOLERANCES = tolerances("end_of_training")
Series = Float[np.ndarray, "seeds records layers"]
COLOURS = dict(
    zip(METHODS, (style.BLUE, style.GREEN, style.PURPLE, style.ORANGE), strict=True)
)


class Ratios(NamedTuple):
    r"""Gradient over weight norm, without √L where that stays in it, and the theory.

    Attributes:
        learning_rates: :math:`\alpha_t/\alpha_{\max}` in the middle of each record.
        falling: records in which the learning rate falls.
        measured: :math:`\|g\|/\|w\|`, by :math:`\sqrt L` for AdamW.
        predicted: the same from theory.
        raw: :math:`\|g\|/\|w\|` as it is.
        names: of the layers.
    """

    learning_rates: Float[np.ndarray, " records"]
    falling: np.ndarray
    measured: Series
    predicted: Float[np.ndarray, "records layers"]
    raw: Series
    names: tuple[str, ...]


class Predictions(NamedTuple):
    """By optimizer: the exponents, and ratios of a layer of d weights.

    Attributes:
        exponents: of the ratio in α.
        ratio: from the plan, η_t and d.
    """

    exponents: Mapping[str, float]
    ratio: Mapping[str, Callable[[Annealing, float, int], float]]


class Measured(NamedTuple):
    """What the panels draw and the findings judge, by optimizer."""

    walks: Mapping[str, Ratios]
    networks: Mapping[str, Ratios]
    label: str


def predict(config: Config) -> Predictions:
    """Exponents, and the ratio of a layer."""
    del config
    return Predictions(
        {name: method.exponent for name, method in METHODS.items()},
        {name: method.ratio for name, method in METHODS.items()},
    )


def keys(config: Config) -> Array:
    """One per seed."""
    return jax.vmap(jax.random.key)(config.first_seed + jnp.arange(config.seeds))


def measure_walk(config: Config, predictions: Predictions, name: str) -> Ratios:
    """A layer among random gradients, from its equilibrium at the peak."""
    d, G, plan = config.size, config.gradient_norm, config.walk
    method, sigma = METHODS[name], jnp.full(d, G / d**0.5)
    norm = method.norm(plan, G, d)

    def walk(key: Array) -> layers.Layers:
        start_key, key = jax.random.split(key)
        w = jax.random.normal(start_key, sigma.shape)
        return layers.follow(
            method.optimizer(plan, config.b2),
            layers.noise(key, sigma),
            norm * w / jnp.linalg.norm(w),
            steps=plan.steps,
            records=config.records,
        )[1]

    found = jax.jit(jax.vmap(walk))(keys(config))
    return ratios(config, plan, predictions, name, found=found, sizes={"layer": d})


def measure_network(
    config: Config, predictions: Predictions, name: str, dataset: data.Dataset
) -> Ratios:
    """The layers of a normalised network."""
    arrays, plan = sweep.arrays(dataset), config.network
    model = models.mlp(
        config.hidden,
        len(dataset.classes),
        scale_invariant=True,
        epsilon=1e-12,
        dtype=jnp.float32,
    )

    def train(key: Array, arrays: sweep.Arrays) -> layers.Layers:
        init_key, key = jax.random.split(key)
        return layers.follow(
            METHODS[name].optimizer(plan, 0.999),
            layers.minibatches(key, model, arrays, config.batch_size),
            model.init(init_key),
            steps=plan.steps,
            records=config.records,
        )[1]

    found = jax.jit(jax.vmap(train, in_axes=(0, None)))(keys(config), arrays)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    sizes = dict(zip(paths(shapes), map(np.size, jax.tree.leaves(shapes)), strict=True))
    return ratios(config, plan, predictions, name, found=found, sizes=sizes)


def ratios(
    config: Config,
    plan: Annealing,
    predictions: Predictions,
    name: str,
    *,
    found: layers.Layers,
    sizes: Mapping[str, int],
) -> Ratios:
    """Measured and predicted, record by record."""
    every = plan.steps / config.records
    middles = (np.arange(config.records) + 0.5) * every
    eta = np.asarray(plan.multiplier(jnp.asarray(middles)), np.float64)
    raw = np.asarray(found.gradient / found.norm, np.float64)
    unit = np.asarray(found.unit_gradient, np.float64)
    predicted = [
        [predictions.ratio[name](plan, e, d) for d in sizes.values()] for e in eta
    ]
    return Ratios(
        eta,
        middles > plan.steady,
        raw / unit if METHODS[name].adam else raw,
        np.array(predicted),
        raw,
        tuple(sizes),
    )


def measure(
    config: Config, predictions: Predictions, dataset: data.Dataset
) -> Measured:
    """Run everything."""
    return Measured(
        {name: measure_walk(config, predictions, name) for name in METHODS},
        {name: measure_network(config, predictions, name, dataset) for name in METHODS},
        dataset.label,
    )


def quotients(found: Ratios) -> Float[np.ndarray, "seeds layers"]:
    """Measured over predicted, the geometric mean while the learning rate falls."""
    logs = np.log(found.measured) - np.log(found.predicted)
    return np.exp(logs[:, found.falling].mean(axis=1))


def exponents(found: Ratios) -> Float[np.ndarray, "seeds layers"]:
    """Least squares of the log ratio on log α, while it falls."""
    x = np.log(found.learning_rates[found.falling])
    x = x - x.mean()
    return np.einsum("r,srl->sl", x, np.log(found.measured[:, found.falling])) / (x @ x)


def farthest(
    values: Float[np.ndarray, "seeds layers"], prediction: float
) -> tuple[stats.Interval, int]:
    """The layer whose mean over seeds is farthest from its prediction."""
    layer = int(np.argmax(np.abs(values.mean(axis=0) - prediction)))
    return stats.mean_interval(values[:, layer]), layer


def judge(
    config: Config, predictions: Predictions, measured: Measured
) -> list[Finding]:
    """Ratio and exponent of each optimizer, in the walk and in the network."""
    places = (
        ("random walk", measured.walks, config.walk, TOLERANCES["random_walk"]),
        ("network", measured.networks, config.network, TOLERANCES["network"]),
    )
    return [
        finding
        for name, exponent in predictions.exponents.items()
        for place, found, plan, tolerance in places
        for finding in _judge(
            config,
            f"{name}, {place}",
            found[name],
            plan,
            exponent=exponent,
            tolerance=tolerance,
        )
    ]


def _judge(
    config: Config,
    title: str,
    found: Ratios,
    plan: Annealing,
    *,
    exponent: float,
    tolerance: float,
) -> list[Finding]:
    adam = "AdamW" in title
    what = "‖g‖/(√L‖w‖)" if adam else "‖g‖/‖w‖"
    rows = (
        (f"{what} over its prediction.", quotients(found), 1.0, tolerance),
        (f"exponent of {what} in α.", exponents(found), exponent, None),
    )
    return [
        _finding(
            config,
            f"{title}: {claim}",
            values,
            prediction,
            TOLERANCES["exponent"] if allowed is None else allowed,
            found.names,
            plan,
            "Optax's λ" if adam else "λ₂ of ½‖θ‖²",
        )
        for claim, values, prediction, allowed in rows
    ]


def _finding(  # noqa: PLR0917 — a row of the table
    config: Config,
    claim: str,
    values: Float[np.ndarray, "seeds layers"],
    prediction: float,
    tolerance: float,
    names: tuple[str, ...],
    plan: Annealing,
    convention: str,
) -> Finding:
    interval, layer = farthest(values, prediction)
    means = ", ".join(f"{m:.2f}".replace("-", "−") for m in values.mean(axis=0))
    return judged(
        claim,
        around(prediction, tolerance),
        interval,
        spec=".3f",
        seeds=config.seeds,
        budget=f"{plan.budget(2 if 'corrected' in claim else 1):.2g}",
        convention=convention,
        notes=f"{names[layer]}, the farthest; layer by layer {means}"
        if len(names) > 1
        else f"α falls by {plan.factor:g}",
    )


def draw(measured: Measured) -> Figure:
    """Ratios as the learning rate falls: a walk beside a network's layers."""
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, measured.walks, "(a) one layer among random gradients")
    _panel(right, measured.networks, "(b) the layers of a network")
    left.set_ylabel("‖g‖/‖w‖ (AdamW: by √L), over theory at the peak")
    right.legend(loc="upper left", fontsize=9)
    return figure


def _panel(ax: Axes, all_found: Mapping[str, Ratios], title: str) -> None:
    for name, found in all_found.items():
        colour = COLOURS[name]
        alphas, predicted = found.learning_rates[found.falling], found.predicted
        at_peak = predicted[0]  # the first record is steady
        line = (predicted / at_peak)[found.falling, 0]
        dashes = "--" if "corrected" in name else "-"
        ax.plot(alphas, line, dashes, color=colour, linewidth=1.2)
        means = np.exp(np.log(found.measured).mean(axis=0)) / at_peak
        ax.plot(
            alphas,
            means[found.falling],
            "o",
            color=colour,
            markersize=3.5,
            alpha=0.7,
        )
        ax.plot([], [], "o" + dashes, color=colour, markersize=4, label=name)
    ax.set(xscale="log", yscale="log", xlabel="learning rate, of its peak")
    ax.invert_xaxis()
    ticks = [1, 0.5, 0.2]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
    ax.set_yticks([], minor=True)
    ax.set_title(title)


def run(config: Config, workspace: Workspace) -> Outcome:
    """Walk, train, judge and draw.

    Args:
        config: the experiment.
        workspace: gets ``end_of_training.svg`` and ``.png``, and a line per stage.

    Returns:
        One finding per sentence.
    """
    dataset = config.load_data()
    predictions = predict(config)
    workspace.say("random walks and a network, four optimizers each")
    measured = measure(config, predictions, dataset)
    with style.context():
        workspace.save_figure(draw(measured), "end_of_training")
    return Outcome(judge(config, predictions, measured), dataset.label)
