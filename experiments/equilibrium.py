r"""Where decay and gradient noise balance: the size of weights and how fast they turn.

Question.    On a scale-invariant layer gradients lengthen the weights and decay
             shortens them. Where do the two balance, for each optimizer? Do the layers
             of a real network, whose gradients are not noise alone, turn as fast?
Prediction.  Among random gradients the root mean square of weights and the angle per
             step are those of ``wdjax.theory.stationary`` for AdamW, SGD+L2 with
             momentum and Lion, and of ``wdjax.theory.equilibrium`` for Adam+L2, ± 2 %;
             and where gradients have sizes :math:`\sigma_i`, that of a weight goes as
             :math:`\sigma_i^0` (AdamW), :math:`\sigma_i^{1/2}` (Adam+L2),
             :math:`\sigma_i^1` (SGD+L2). In a network at least 80 % of the layers turn
             within ± 15 % of :math:`\sqrt{2\delta(1-\beta)/(1+\beta)}`.
Run.         python -m experiments run equilibrium
Cost.        About 2 minutes on two CPU cores (90 s of CPU time); ``--full``, with the
             CNN, 36 s on an H100.
Outcome.     All thirteen PASS. Sizes and angles of the walks within 0.7 % and 0.2 % of
             their predictions; exponents 0.004 [−0.012, 0.020], 0.503 [0.499, 0.508]
             and 1.000 [0.997, 1.004]; all five layers of the MLP turn within 1.03 to
             1.12 (AdamW) and 1.00 to 1.09 (SGD+L2) of the prediction. (5 seeds,
             photos10, budgets 60, 80 and 7, 2026-11-27. In a pilot Lion's layers turned
             at 0.8 of its prediction, the first at 1.04.) The CNN's four layers: 0.94
             to 1.09 and 0.98 to 1.01, all PASS. (3 seeds, budget 12, 2026-11-28.)
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from experiments.harness import equilibrium_methods as methods
from experiments.harness import equilibrium_panels as panels
from experiments.harness import layers
from experiments.harness.data_settings import DataSettings
from experiments.harness.equilibrium_methods import B2_LION, BETA
from experiments.harness.equilibrium_panels import Sizes
from experiments.harness.findings import Finding, Outcome, around, at_least, judged
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import data, models, stats, sweep
from wdjax.models.model import paths
from wdjax.plots import style
from wdjax.theory import equilibrium, stationary

SECONDS = 120
FULL_SECONDS = 600
CLAIM = (
    "In equilibrium the optimizer and its decay set the size of scale-invariant "
    "weights and the angle by which they turn in a step."
)


@dataclasses.dataclass(frozen=True)
class Config(DataSettings):
    """Everything that defines the experiment; pilots used seeds below 1000."""

    seeds: int = 5
    first_seed: int = 5000
    size: int = 4096  # d, entries of the layer that walks
    gradient_norm: float = 3.0  # G
    decay_rate: float = 0.01  # δ of the walks
    walk_steps: int = 6_000  # a budget of 60; measured over the last half
    levels: int = 16  # different σ_i
    decades: float = 1.5  # from the smallest to the largest
    exponent_steps: int = 8_000
    model: str = "mlp"
    hidden: tuple[int, ...] = (64, 64, 64, 64)
    batch_size: int = 16
    network_decay_rate: float = 3e-3
    steps: int = 2_400  # a budget of 7; measured over the last half


SMOKE = dataclasses.replace(
    Config(),
    seeds=3,
    size=256,
    walk_steps=600,
    exponent_steps=600,
    hidden=(16,),
    steps=60,
)
FULL = dataclasses.replace(Config(), model="cnn", seeds=3, first_seed=6000, steps=4_000)

TOLERANCES = tolerances("equilibrium")
RECORDS = 20


class Walk(NamedTuple):
    """Size and rotation of one layer among random gradients."""

    rms: float
    rotation: float


class Predictions(NamedTuple):
    """What theory says.

    Attributes:
        walks: by optimizer.
        exponents: of the size of a weight in that of its gradient.
        rotations: of every layer of the network, in radians per step.
    """

    walks: Mapping[str, Walk]
    exponents: Mapping[str, float]
    rotations: Mapping[str, float]


class Walks(NamedTuple):
    """One measurement per seed."""

    rms: Float[np.ndarray, " seeds"]
    rotation: Float[np.ndarray, " seeds"]


class Measured(NamedTuple):
    """What the panels draw and the findings judge.

    Attributes:
        walks: by optimizer.
        sizes: by optimizer.
        rotations: of the network's layers, by optimizer.
        names: of these layers.
        label: of the data.
    """

    walks: Mapping[str, Walks]
    sizes: Mapping[str, Sizes]
    rotations: Mapping[str, Float[np.ndarray, "seeds layers"]]
    names: tuple[str, ...]
    label: str


def walk_rates(config: Config, name: str) -> methods.Rates:
    """Rates of the random walks: δ is the same for all."""
    if name == "Adam+L2":
        layer = (config.gradient_norm, config.size)
        return methods.adam_l2_rates(config.decay_rate, *layer)
    return methods.rates(name, config.decay_rate)


def predict(config: Config) -> Predictions:
    """Sizes, angles and exponents from theory."""
    d, G, delta = config.size, config.gradient_norm, config.decay_rate
    sgd, adam = walk_rates(config, "SGD+L2"), walk_rates(config, "Adam+L2")
    adam_norm = equilibrium.norm_adam_l2(*adam, d**0.5 * G)
    rates = methods.rates("SGD+L2", config.network_decay_rate)
    walks = {
        "AdamW": (
            stationary.rms_adamw(methods.ALPHAS["AdamW"], delta, BETA),
            stationary.rotation_adamw(delta, BETA),
        ),
        "SGD+L2": (
            stationary.norm_sgd_l2(*sgd, BETA, G) / d**0.5,
            stationary.rotation_sgd_l2(*sgd, BETA),
        ),
        "Adam+L2": (
            adam_norm / d**0.5,
            equilibrium.rotation_adam_l2(adam.learning_rate, adam_norm, BETA, d),
        ),
        "Lion": (
            stationary.rms_lion(methods.ALPHAS["Lion"], delta, BETA, B2_LION),
            stationary.rotation_lion(delta, BETA, B2_LION),
        ),
    }
    return Predictions(
        {name: Walk(*map(float, pair)) for name, pair in walks.items()},
        {"AdamW": 0.0, "Adam+L2": 0.5, "SGD+L2": 1.0},
        {
            "AdamW": float(stationary.rotation_adamw(config.network_decay_rate, BETA)),
            "SGD+L2": float(stationary.rotation_sgd_l2(*rates, BETA)),
        },
    )


def keys(config: Config) -> Array:
    """One per seed."""
    seeds = config.first_seed + jnp.arange(config.seeds)
    return jax.vmap(jax.random.key)(seeds)


def measure_walk(config: Config, predictions: Predictions, name: str) -> Walks:
    """A layer among random gradients, from twice the predicted size."""
    sigma = jnp.full(config.size, config.gradient_norm / config.size**0.5)
    optimizer = methods.MAKE[name](walk_rates(config, name))

    def walk(key: Array) -> layers.Layers:
        start_key, key = jax.random.split(key)
        w = 2 * predictions.walks[name].rms * jax.random.normal(start_key, sigma.shape)
        return layers.follow(
            optimizer,
            layers.noise(key, sigma),
            w,
            steps=config.walk_steps,
            records=RECORDS,
        )[1]

    found = jax.jit(jax.vmap(walk))(keys(config))
    rms, rotation = (layers.settled(x)[:, 0] for x in (found.norm, found.rotation))
    return Walks(rms / config.size**0.5, rotation)


def measure_sizes(config: Config, name: str) -> Sizes:
    """A layer whose gradients have different sizes, in equal numbers.

    The settings are those of the walk for a gradient of the mean size; the start is
    one size for all.
    """
    half = config.decades / 2
    level = jnp.logspace(-half, half, config.levels)
    sigma = jnp.repeat(level, config.size // config.levels)
    sigma = sigma * config.gradient_norm / jnp.linalg.norm(sigma)
    optimizer = methods.MAKE[name](walk_rates(config, name))

    def walk(key: Array) -> Array:
        start_key, key = jax.random.split(key)
        w = 0.02 * jax.random.normal(start_key, sigma.shape)
        return layers.group_rms(
            optimizer,
            layers.noise(key, sigma),
            w,
            groups=config.levels,
            steps=config.exponent_steps,
        )

    rms = jax.jit(jax.vmap(walk))(keys(config))
    return Sizes(np.asarray(level, np.float64), np.asarray(rms, np.float64))


def make_model(config: Config, classes: int) -> models.Model:
    """The network, every layer normalised: ``mlp`` or ``cnn``."""
    if config.model not in {"mlp", "cnn"}:
        raise ValueError(
            f"model = {config.model!r} has trained gains or biases, to which the "
            "prediction does not apply; give mlp or cnn."
        )
    make = models.cnn if config.model == "cnn" else partial(models.mlp, config.hidden)
    return make(classes=classes, scale_invariant=True, epsilon=1e-12, dtype=jnp.float32)


def measure_network(
    config: Config, name: str, dataset: data.Dataset
) -> tuple[Float[np.ndarray, "seeds layers"], tuple[str, ...]]:
    """The angles per step of a network's layers, and their names."""
    arrays = sweep.arrays(dataset)
    model = make_model(config, len(dataset.classes))
    optimizer = methods.MAKE[name](methods.rates(name, config.network_decay_rate))

    def train(key: Array, arrays: sweep.Arrays) -> layers.Layers:
        init_key, key = jax.random.split(key)
        return layers.follow(
            optimizer,
            layers.minibatches(key, model, arrays, config.batch_size),
            model.init(init_key),
            steps=config.steps,
            records=RECORDS,
        )[1]

    found = jax.jit(jax.vmap(train, in_axes=(0, None)))(keys(config), arrays)
    names = paths(jax.eval_shape(model.init, jax.random.key(0)))
    return layers.settled(found.rotation), tuple(names)


def measure(
    config: Config, predictions: Predictions, dataset: data.Dataset
) -> Measured:
    """Run everything."""
    rotations, names = {}, ()
    for name in predictions.rotations:
        rotations[name], names = measure_network(config, name, dataset)
    return Measured(
        {name: measure_walk(config, predictions, name) for name in predictions.walks},
        {name: measure_sizes(config, name) for name in predictions.exponents},
        rotations,
        names,
        dataset.label,
    )


def shares(rotations: np.ndarray, predicted: float) -> Float[np.ndarray, " seeds"]:
    """The share of a network's layers that turn as predicted."""
    near = np.abs(rotations / predicted - 1) <= TOLERANCES["network_rotation"]
    return near.mean(axis=1)


def judge(
    config: Config, predictions: Predictions, measured: Measured
) -> list[Finding]:
    """Sizes, angles and exponents of the walks, and the network's layers."""
    return [
        *(
            _walk(config, name, quantity, getattr(measured.walks[name], field), value)
            for name, walk in predictions.walks.items()
            for field, quantity, value in (
                ("rms", "RMS", walk.rms),
                ("rotation", "angle per step", walk.rotation),
            )
        ),
        *(
            _exponent(config, name, measured.sizes[name], exponent)
            for name, exponent in predictions.exponents.items()
        ),
        *(
            _network(config, name, measured, predicted)
            for name, predicted in predictions.rotations.items()
        ),
    ]


def _walk(
    config: Config, name: str, quantity: str, found: np.ndarray, predicted: float
) -> Finding:
    return judged(
        f"{name}, random walk: {quantity} over its prediction.",
        around(1.0, TOLERANCES["random_walk"]),
        stats.mean_interval(found / predicted),
        spec=".4f",
        seeds=config.seeds,
        budget=f"{config.decay_rate * config.walk_steps:g}",
        convention=methods.CONVENTIONS[name],
        notes=f"{quantity} {predicted:.3g}, δ = {config.decay_rate:g}, "
        f"d = {config.size:,}",
    )


def _exponent(config: Config, name: str, sizes: Sizes, predicted: float) -> Finding:
    return judged(
        f"{name}, random walk: exponent of a weight's size in its gradient's.",
        around(predicted, TOLERANCES["exponent"]),
        stats.mean_interval(panels.exponents(sizes)),
        spec=".3f",
        seeds=config.seeds,
        budget=f"{config.decay_rate * config.exponent_steps:g}",
        convention=methods.CONVENTIONS[name],
        notes=f"σ over {config.decades:g} decades",
    )


def _network(
    config: Config, name: str, measured: Measured, predicted: float
) -> Finding:
    ratios = measured.rotations[name] / predicted
    return judged(
        f"{name}, network: share of layers that turn within ± "
        f"{TOLERANCES['network_rotation']:.0%} of the prediction.",
        at_least(TOLERANCES["network_share"]),
        stats.mean_interval(shares(measured.rotations[name], predicted)),
        spec=".2f",
        seeds=config.seeds,
        budget=f"{config.network_decay_rate * config.steps:.2g}",
        convention=methods.CONVENTIONS[name],
        notes=f"{predicted:.3g} radians per step predicted, {ratios.min():.2f} to "
        f"{ratios.max():.2f} of it in {ratios.shape[1]} layers; batch "
        f"{config.batch_size}, drawn with replacement",
    )


def draw(predictions: Predictions, measured: Measured) -> Figure:
    """Sizes against sizes of gradients, walks, and the network's layers."""
    figure = Figure(figsize=(12.5, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    panels.sizes(left, measured.sizes, predictions.exponents)
    ratios = {
        name: [
            stats.mean_interval(measured.walks[name].rms / walk.rms),
            stats.mean_interval(measured.walks[name].rotation / walk.rotation),
        ]
        for name, walk in predictions.walks.items()
    }
    panels.walks(middle, ratios, TOLERANCES["random_walk"])
    network = {
        name: measured.rotations[name] / predicted
        for name, predicted in predictions.rotations.items()
    }
    panels.network(right, network, measured.names, TOLERANCES["network_rotation"])
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Walk, train, judge and draw.

    Args:
        config: the experiment.
        workspace: gets ``equilibrium.svg`` and ``.png``, and a line per stage.

    Returns:
        One finding per sentence.
    """
    dataset = config.load_data()
    predictions = predict(config)
    workspace.say("random walks, exponents, and a network's layers")
    measured = measure(config, predictions, dataset)
    with style.context():
        workspace.save_figure(draw(predictions, measured), "equilibrium")
    return Outcome(judge(config, predictions, measured), dataset.label)
