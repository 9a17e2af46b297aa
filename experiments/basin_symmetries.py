r"""On a scale-invariant network five pairs (α, λ) are one pair, bit for bit.

Question.    Why should the best decay move with the learning rate at all? On a network
             all of whose weights are normalised a symmetry says so. Is it exact? And
             what remains of it where nothing is normalised?
Prediction.  With :math:`w_0 \to cw_0`, Adam's :math:`\epsilon \to \epsilon/c` and
             :math:`(\alpha, \lambda) \to (c^p\alpha, c^q\lambda)` the network computes
             the same at every step: :math:`(p, q) = (2, -2)` for SGD with L2, (2, 0)
             for SGDW, (1, −2) for Adam with L2, (1, −1) for AdamW in Optax's convention
             and (1, 0) in the paper's. At :math:`c = 4` not a bit differs on a CPU. On
             ridge regression, trained to convergence, d log λ*/d log α is 0 for the
             penalty :math:`\lambda_2` and +1 for the fraction :math:`\delta`.
Run.         python -m experiments run basin_symmetries
Cost.        About 50 s on two CPU cores, most of it compilation.
Outcome.     All seven PASS: in five families every bit of 300 steps is equal, where
             another decay moves logits by 4; slopes 0.000 [−0.000, 0.000] and 1.000
             [0.995, 1.006] over 8 problems, 9 learning rates, none censored. (photos10,
             float32; ridge regression in float64; CPU, 2026-11-27.)
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import wdjax
from experiments.harness import layers
from experiments.harness import symmetry_panels as panels
from experiments.harness.findings import Finding, Outcome, around, equality, judged
from experiments.harness.symmetry_panels import Gaps
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import data, models, stats, sweep
from wdjax.plots import style
from wdjax.sweep.batches import standardised
from wdjax.theory import scale_invariant
from wdjax.theory.scale_invariant import Symmetry

SECONDS = 60
CLAIM = (
    "On a scale-invariant network five families of learning rates and decays run "
    "through the same functions; on ridge regression the best L2 penalty stays put and "
    "the best fraction moves with the learning rate."
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines the experiment; pilots used seeds below 1000."""

    seed: int = 5000
    hidden: tuple[int, ...] = (32, 32)
    steps: int = 300
    batch_size: int = 32
    probes: int = 32  # test images whose logits are compared
    scale: float = 4.0  # c, a power of two
    momentum: float = 0.9
    problems: int = 8  # of ridge regression
    first_problem: int = 5000
    dimension: int = 20
    examples: int = 60
    noise: float = 1.5
    signal: float = 0.3  # deviation of a true coefficient
    ridge_steps: int = 10_000
    learning_rates: int = 9
    decays: int = 31


SMOKE = dataclasses.replace(
    Config(),
    hidden=(16,),
    steps=20,
    problems=3,
    ridge_steps=2_000,
    learning_rates=5,
    decays=9,
)

TOLERANCES = tolerances("basin_symmetries")


class Hypers(NamedTuple):
    """What a symmetry scales: the settings of one run, traced."""

    learning_rate: Float[Array, ""]
    decay: Float[Array, ""]
    eps: Float[Array, ""]


class Family(NamedTuple):
    """One of the five: an optimizer, settings at which decay matters, exponents."""

    make: Callable[[Hypers, Callable, float], optax.GradientTransformation]
    learning_rate: float
    decay: float
    symmetry: Symmetry
    colour: str


def _paper(h: Hypers) -> dict:
    return {"convention": wdjax.PAPER, "peak_learning_rate": h.learning_rate}


FAMILIES = {
    "SGD+L2": Family(
        lambda h, lr, beta: wdjax.sgd_l2(lr, h.decay, momentum=beta),
        *(0.5, 2e-3, scale_invariant.SGD_L2, style.BLUE),
    ),
    "SGDW, paper": Family(
        lambda h, lr, beta: wdjax.sgdw(lr, h.decay, momentum=beta, **_paper(h)),
        *(0.5, 1e-2, scale_invariant.SGDW_PAPER, style.GREEN),
    ),
    "Adam+L2": Family(
        lambda h, lr, beta: wdjax.adam_l2(lr, h.decay, eps=h.eps),
        *(1e-2, 1e-3, scale_invariant.ADAM_L2, style.VERMILLION),
    ),
    "AdamW, Optax": Family(
        lambda h, lr, beta: wdjax.adamw(lr, h.decay, eps=h.eps),
        *(1e-2, 1.0, scale_invariant.ADAMW_OPTAX, style.PURPLE),
    ),
    "AdamW, paper": Family(
        lambda h, lr, beta: wdjax.adamw(lr, h.decay, eps=h.eps, **_paper(h)),
        *(1e-2, 1e-2, scale_invariant.ADAMW_PAPER, style.ORANGE),
    ),
}
EPS = 1e-8


class Predictions(NamedTuple):
    """The exponents of the five families, and the slopes of ridge regression."""

    symmetries: Mapping[str, Symmetry]
    l2_slope: float
    fraction_slope: float


class Ridge(NamedTuple):
    """Best decays of ridge regression by learning rate."""

    learning_rates: Float[np.ndarray, " n"]
    l2: stats.BasinSlope
    fraction: stats.BasinSlope
    unconverged: float  # largest relative distance from the solution


class Measured(NamedTuple):
    """What the panels draw and the findings judge."""

    gaps: Mapping[str, Gaps]
    ridge: Ridge
    backend: str


def predict(config: Config) -> Predictions:
    r"""Exponents and slopes, from theory alone.

    Ridge converges to :math:`(H + \lambda_2)^{-1}H\theta^\star` whatever α is, so that
    the best penalty is one number; the fraction is :math:`\delta = \alpha\lambda_2`.
    """
    del config
    symmetries = {name: family.symmetry for name, family in FAMILIES.items()}
    return Predictions(symmetries, l2_slope=0.0, fraction_slope=1.0)


def measure_gaps(
    config: Config, predictions: Predictions, dataset: data.Dataset
) -> dict[str, Gaps]:
    """Every family three times: as it is, scaled, and with its decay scaled wrongly."""
    arrays = sweep.arrays(dataset)
    model = models.mlp(
        config.hidden, scale_invariant=True, epsilon=0.0, dtype=jnp.float32
    )
    init_key, batch_key = jax.random.split(jax.random.key(config.seed))
    eta = sweep.cosine(config.steps)
    start = model.init(init_key)

    def gaps(name: str, family: Family) -> Gaps:
        @jax.jit
        def run(h: Hypers, scale, arrays: sweep.Arrays):
            gradient = layers.minibatches(batch_key, model, arrays, config.batch_size)
            probes = standardised(arrays, arrays.test.images[: config.probes])
            optimizer = family.make(
                h, lambda t: h.learning_rate * eta(t), config.momentum
            )

            def step(carry, t):
                params, state = carry
                updates, state = optimizer.update(gradient(params, t), state, params)
                params = optax.apply_updates(params, updates)
                return (params, state), model.apply(params, probes)

            params = jax.tree.map(lambda w: scale * w, start)
            carry = (params, optimizer.init(params))
            (params, _), logits = jax.lax.scan(step, carry, jnp.arange(config.steps))
            return jax.tree.map(lambda w: w / scale, params), logits

        def at(p: int, q: int, c: float):
            numbers = (c**p * family.learning_rate, c**q * family.decay, EPS / c)
            return run(Hypers(*map(jnp.float32, numbers)), jnp.float32(c), arrays)

        (p, q), c = predictions.symmetries[name], config.scale
        params, logits = at(p, q, 1.0)
        scaled, same = at(p, q, c)
        _, other = at(p, q + 1 if q == 0 else 0, c)
        return Gaps(
            _largest(same, logits), _largest(other, logits), _off(scaled, params)
        )

    return {name: gaps(name, family) for name, family in FAMILIES.items()}


def _largest(a: Array, b: Array) -> Float[np.ndarray, " steps"]:
    return np.asarray(jnp.abs(a - b).max(axis=(1, 2)), np.float64)


def _off(a, b) -> float:
    differences = jax.tree.map(lambda x, y: jnp.abs(x - y).max(), a, b)
    largest = jax.tree.map(lambda x: jnp.abs(x).max(), b)
    return float(max(jax.tree.leaves(differences)) / max(jax.tree.leaves(largest)))


def measure_ridge(config: Config) -> Ridge:
    """Gradient descent to convergence, for every α with every λ₂ and every δ."""
    alphas = np.geomspace(0.02, 0.15, config.learning_rates)
    l2s = np.geomspace(0.02, 8, config.decays)
    fractions = np.geomspace(7e-4, 0.6, config.decays)

    def errors(seed, alpha, l2, delta):
        """Validation error, and how far from the solution."""
        x_key, star_key, noise_key = jax.random.split(jax.random.key(seed), 3)
        n, d = config.examples, config.dimension
        X = jax.random.normal(x_key, (n, d))
        star = config.signal * jax.random.normal(star_key, (d,))
        y = X @ star + config.noise * jax.random.normal(noise_key, (n,))

        H, b = X.T @ X / n, X.T @ y / n

        def step(theta, _):
            gradient = H @ theta - b + l2 * theta
            return (1 - delta) * theta - alpha * gradient, None

        theta = jax.lax.scan(step, jnp.zeros(d), None, length=config.ridge_steps)[0]
        solution = jnp.linalg.solve(H + (l2 + delta / alpha) * jnp.eye(d), b)
        away = jnp.linalg.norm(theta - solution) / jnp.linalg.norm(solution)
        # Of fresh inputs, in expectation: E(x·(θ − θ*))² is ‖θ − θ*‖².
        return jnp.sum((theta - star) ** 2) + config.noise**2, away

    seeds = config.first_problem + np.arange(config.problems)

    @jax.jit
    def grid(l2s, fractions):
        over = jax.vmap(errors, in_axes=(None, 0, None, None))
        over = jax.vmap(over, in_axes=(None, None, 0, 0))
        over = jax.vmap(over, in_axes=(0, None, None, None))
        return over(jnp.array(seeds), jnp.array(alphas), l2s, fractions)

    none = jnp.zeros(config.decays)
    by_l2, away = grid(jnp.array(l2s), none)
    by_fraction, also_away = grid(none, jnp.array(fractions))
    return Ridge(
        alphas,
        stats.basin_slope(alphas, l2s, np.asarray(by_l2)),
        stats.basin_slope(alphas, fractions, np.asarray(by_fraction)),
        float(max(jnp.nanmax(away), jnp.nanmax(also_away))),
    )


def measure(config: Config, predictions: Predictions) -> Measured:
    """Run everything: the network in float32, ridge regression in float64."""
    with jax.enable_x64(False):
        gaps = measure_gaps(config, predictions, data.load("photos10"))
    with jax.enable_x64(True):
        ridge = measure_ridge(config)
    return Measured(gaps, ridge, jax.default_backend())


def judge(
    config: Config, predictions: Predictions, measured: Measured
) -> list[Finding]:
    """One finding for each family, and two for ridge regression."""
    exact = TOLERANCES["cpu" if measured.backend == "cpu" else "accelerator"]
    slopes = (
        ("λ₂", predictions.l2_slope, measured.ridge.l2),
        ("δ", predictions.fraction_slope, measured.ridge.fraction),
    )
    return [
        *(
            _same(name, predictions.symmetries[name], gaps, exact, config)
            for name, gaps in measured.gaps.items()
        ),
        *(_slope(config, measured.ridge, *row) for row in slopes),
    ]


def _same(
    name: str, symmetry: Symmetry, gaps: Gaps, tolerance: float, config: Config
) -> Finding:
    p, q = (str(n).replace("-", "−") for n in symmetry)
    worst = max(float(gaps.symmetric.max()), gaps.weights)
    return equality(
        f"{name}: (c^{p} α, c^{q} λ) from c·w₀ is the same run.",
        worst,
        tolerance,
        predicted="logits and weights equal at every step",
        measured="every bit equal" if worst == 0 else f"off by {worst:.1e}",
        convention=name.partition(", ")[2] or "λ₂ of ½‖θ‖²",
        notes=f"c = {config.scale:g}, {config.steps} steps, float32; with another "
        f"decay logits differ by {gaps.control.max():.1g}",
    )


def _slope(
    config: Config,
    ridge: Ridge,
    symbol: str,
    predicted: float,
    found: stats.BasinSlope,
) -> Finding:
    columns = len(found.censored)
    return judged(
        f"Ridge to convergence: d log {symbol}*/d log α.",
        around(predicted, TOLERANCES["ridge_slope"]),
        found.slope,
        spec=".3f",
        seeds=config.problems,
        convention="δ of θ per step" if symbol == "δ" else "λ₂ of ½‖θ‖²",
        notes=f"{columns - found.num_censored} of {columns} learning rates uncensored; "
        f"at most {ridge.unconverged:.0e} from the solution",
    )


def draw(predictions: Predictions, measured: Measured) -> Figure:
    """The network's differences beside the best decays of ridge regression."""
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = {name: family.colour for name, family in FAMILIES.items()}
    panels.gaps(left, measured.gaps, colours)
    left.set_title("(a) a network with α, w₀ and ε scaled")
    ridge = measured.ridge
    for label, found, slope, mark in (
        ("penalty λ₂", ridge.l2, predictions.l2_slope, (style.BLUE, "o")),
        ("fraction δ", ridge.fraction, predictions.fraction_slope, (style.GREEN, "s")),
    ):
        look = {"label": label, "mark": style.Mark(*mark)}
        panels.best_decays(right, ridge.learning_rates, found, slope, **look)
    right.set_title("(b) ridge regression: slopes 0 and +1")
    right.legend(loc="center left")
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Train, judge and draw.

    Args:
        config: the experiment.
        workspace: gets ``basin_symmetries.svg`` and ``.png``, and a line per stage.

    Returns:
        One finding per family, and two on ridge regression.
    """
    predictions = predict(config)
    workspace.say("training five families three times, and ridge regression")
    measured = measure(config, predictions)
    with style.context():
        workspace.save_figure(draw(predictions, measured), "basin_symmetries")
    label = data.load("photos10").label
    return Outcome(judge(config, predictions, measured), f"{label}; synthetic")
