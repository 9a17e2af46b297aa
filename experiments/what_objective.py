r"""SGD+L2, SGDW and Adam+L2 solve ridge regression; AdamW solves something else.

Question.    With noisy gradients and small steps, where do the weights end: at the
             minimum of loss plus penalty, and for which of the four methods?
Prediction.  On a quadratic of diagonal curvature h, minimiser θ* and gradient noise σ:
             SGD+L2, SGDW (:math:`\delta = \alpha\lambda`) and Adam+L2 at ridge,
             :math:`h\theta^\star/(h+\lambda)`, for every σ. AdamW where
             :math:`h(\theta-\theta^\star)/\sqrt{h^2(\theta-\theta^\star)^2+\sigma^2} =
             -\lambda\theta`: at :math:`\theta^\star` clipped to :math:`\pm1/\lambda`
             for σ = 0, near ridge with :math:`\lambda\sigma` for large σ. In a linear
             net AB of full batches the first three leave :math:`(s_i-\lambda)_+` of the
             singular values; AdamW leaves them unshrunk, as its entries fit into
             :math:`\pm1/\lambda`.
Run.         python -m experiments run what_objective
Cost.        92 s on two CPU cores that others used too, compilation included.
Outcome.     All nine PASS. The worst of 15 cells: 1.2505 [1.2490, 1.2520] for 1.25 with
             SGD+L2 and SGDW, 1.2505 [1.2490, 1.2519] with Adam+L2; 0.6031 [0.6024,
             0.6038] for 0.6029 with AdamW, whose distance from ridge is 0.75, 0.65,
             0.39, 0.12, 0.65 at σ = 0, 0.1, 0.3, 1, 3. Spectra to 4e-12 for SGD, 7e-16
             for Adam+L2, 1e-5 for AdamW (512 seeds, 5 for the nets; a quadratic with
             three modes, a net with factors of 4 × 4; float64; 2026-11-27).

The limits (α → 0, ε → 0, β₂ → 1) are approached, not extrapolated. Adam+L2 needs none
of them: its fluctuation is the mirror image of itself about ridge, at every α and β₂.
AdamW's mean is off by first orders in α and in 1 − β₂, in pilots by less than a tenth
of the tolerance at α = 0.001 and β₂ = 0.999. A longer memory must itself be forgotten:
while gradients fall, the second moment is still that of larger ones, and slows AdamW
down by about 1 + αh/((1−β₂)|g|). A pilot of half as many steps ended 0.006 short of 1/λ
at σ = 0, and would have failed. Pilots had other seeds and 128 chains.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import wdjax
from experiments.harness import linear_net
from experiments.harness import objective_panels as panels
from experiments.harness.findings import (
    Finding,
    Outcome,
    around,
    at_least,
    at_most,
    judged,
    shown,
    signed,
    worst,
)
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import stats
from wdjax.plots import style
from wdjax.theory import objective

SECONDS = 90
CLAIM = (
    "Under gradient noise SGD+L2, SGDW and Adam+L2 solve the ridge problem; AdamW "
    "solves another one, which depends on the noise. In a linear net the three shrink "
    "singular values by λ, and full-batch AdamW does not shrink them."
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines the experiment; nothing is read from elsewhere."""

    seed: int = 5_000  # the first of the chains' seeds
    chains: int = 512
    curvatures: tuple[float, ...] = (0.5, 2.0, 1.0)
    minimiser: tuple[float, ...] = (2.5, 1.0, -0.7)  # the first lies beyond 1/λ
    noises: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, 3.0)
    weight_decay: float = 0.5  # λ
    num_steps: int = 64_000
    learning_rates: tuple[float, float] = (0.02, 0.001)  # annealed, then held
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-12
    singular_values: tuple[float, ...] = (3.0, 1.5, 1.0, 0.3)  # of Y; one below λ
    starts: int = 5
    start_scale: float = 0.3
    net_steps: int = 20_000
    net_learning_rates: tuple[float, float] = (0.03, 1e-6)


SMOKE = dataclasses.replace(
    Config(),
    seed=0,
    chains=16,
    num_steps=6_400,
    learning_rates=(0.05, 0.005),
    b2=0.99,
    net_steps=4_000,
)

TOLERANCES = tolerances("what_objective")
BLOCK = 64  # steps whose noise is drawn at once
LEVELS = 3  # noise levels at which AdamW must be far from ridge
RIDGES = ("SGD+L2", "SGDW", "Adam+L2")
CONVENTION = "λ of ½‖θ‖² for L2, δ_t = α_tλ for decay"

Factory = Callable[[optax.Schedule], optax.GradientTransformation]
Cells = Float[np.ndarray, "noises modes"]
Samples = Float[np.ndarray, "chains noises modes"]


class Predictions(NamedTuple):
    """Where each method ends, and what it leaves of the singular values."""

    ends: dict[str, Cells]
    spectra: dict[str, Float[np.ndarray, " s"]]


class Measured(NamedTuple):
    """Time averages of every chain, spectra of every start, and decay budgets."""

    ends: dict[str, Samples]
    spectra: dict[str, Float[np.ndarray, "starts s"]]
    largest_entry: float  # of AdamW's factors
    budgets: dict[str, str]


def make_methods(config: Config) -> dict[str, Factory]:
    """The optimizers, of a schedule; λ is the same number in all of them."""
    lam = config.weight_decay
    adam: dict[str, Any] = {"b1": config.b1, "b2": config.b2, "eps": config.eps}
    return {
        "SGD+L2": lambda rate: wdjax.sgd_l2(rate, lam),
        "SGDW": lambda rate: wdjax.sgdw(rate, lam),
        "Adam+L2": lambda rate: wdjax.adam_l2(rate, lam, **adam),
        "AdamW": lambda rate: wdjax.adamw(rate, lam, **adam),
    }


def anneal(rates: tuple[float, float], steps: int) -> optax.Schedule:
    """Geometrically from the first rate to the last, which is held from then on."""
    first, last = rates
    # The inverse first: an int32 divided by an int would be float32.
    return lambda t: first * (last / first) ** jnp.minimum(t * (1 / steps), 1.0)


def predict(config: Config) -> Predictions:
    """The closed forms, before anything is run."""
    h, theta_star = jnp.array(config.curvatures), jnp.array(config.minimiser)
    s, lam = jnp.array(config.singular_values), config.weight_decay
    ridge = np.asarray(objective.ridge(h, theta_star, lam))
    adamw = [objective.adamw(h, theta_star, lam, sigma) for sigma in config.noises]
    same = np.tile(ridge, (len(config.noises), 1))
    shrunk = np.asarray(objective.soft_threshold(s, lam))
    return Predictions(
        ends=dict.fromkeys(RIDGES, same) | {"AdamW": np.asarray(adamw)},
        spectra=dict.fromkeys(RIDGES, shrunk) | {"AdamW": np.asarray(s)},
    )


class State(NamedTuple):
    """One chain: per method, and what decays Adam+L2 in effect."""

    thetas: dict[str, Array]
    states: dict[str, Any]
    totals: dict[str, Array]  # Σθ_t over the second half
    pulled: Float[Array, " noises"]  # Σα_tλ/(√v̂+ε) of Adam+L2


def make_step(
    config: Config, methods: Mapping[str, optax.GradientTransformation]
) -> Callable[..., tuple[State, None]]:
    """A step of all methods at all noise levels, on the same noise."""
    h, theta_star = jnp.array(config.curvatures), jnp.array(config.minimiser)
    sigma = jnp.array(config.noises)[:, None]
    half = config.num_steps // 2
    rate = anneal(config.learning_rates, half)

    def step(carry: State, this: tuple[Array, Array]) -> tuple[State, None]:
        t, xi = this
        thetas, states, totals = {}, {}, {}
        for name, optimizer in methods.items():
            theta = carry.thetas[name]
            g = h[None, :] * (theta - theta_star[None, :]) + sigma * xi[None, :]
            update, states[name] = optimizer.update(g, carry.states[name], theta)
            thetas[name] = optax.apply_updates(theta, update)
            totals[name] = carry.totals[name] + (t >= half) * thetas[name]
        v = optax.tree.get(states["Adam+L2"], "nu") / (1 - config.b2 ** (t + 1))
        divided = jnp.mean(1 / (jnp.sqrt(v) + config.eps), axis=1)
        pulled = carry.pulled + config.weight_decay * rate(t) * divided
        return State(thetas, states, totals, pulled), None

    return step


def make_chain(config: Config) -> Callable[[Array], tuple[dict[str, Array], Array]]:
    """A function of the seed: each method's time average, and ``State.pulled``."""
    shape = (len(config.noises), len(config.curvatures))
    half = config.num_steps // 2
    rate = anneal(config.learning_rates, half)
    methods = {name: make(rate) for name, make in make_methods(config).items()}
    step = make_step(config, methods)

    def chain(seed: Array) -> tuple[dict[str, Array], Array]:
        start_key, noise_key = jax.random.split(jax.random.key(seed))
        theta_0 = jax.random.normal(start_key, shape)

        def block(carry: State, i: Array) -> tuple[State, None]:
            key = jax.random.fold_in(noise_key, i)
            xi = jax.random.normal(key, (BLOCK, shape[1]), jnp.float32)
            t = i * BLOCK + jnp.arange(BLOCK)
            return jax.lax.scan(step, carry, (t, xi))[0], None

        start = State(
            dict.fromkeys(methods, theta_0),
            {name: optimizer.init(theta_0) for name, optimizer in methods.items()},
            dict.fromkeys(methods, jnp.zeros(shape)),
            jnp.zeros(shape[0]),
        )
        end, _ = jax.lax.scan(block, start, jnp.arange(config.num_steps // BLOCK))
        averages = {k: x / (config.num_steps - half) for k, x in end.totals.items()}
        return averages, end.pulled

    return chain


def make_net(config: Config, make: Factory) -> Callable[[Array], linear_net.Factors]:
    """Full-batch training of AB on Y: a function of the seed of A and B."""
    Y = linear_net.target(config.singular_values, config.seed)
    optimizer = make(anneal(config.net_learning_rates, config.net_steps))
    return linear_net.make_train(Y, optimizer, config.start_scale, config.net_steps)


def budgets(config: Config, pulled: Float[np.ndarray, " noises"]) -> dict[str, str]:
    """Σδ_t of the chains; of Adam+L2 what its divided penalty removes, measured."""
    steps = np.arange(config.num_steps)
    rates = anneal(config.learning_rates, config.num_steps // 2)(steps)
    removed = f"{config.weight_decay * float(np.sum(rates)):.3g}"
    noisy, weak = config.noises[-1], config.noises[1]
    divided = (
        f"{pulled[-1]:.3g} at σ = {noisy:g} to {pulled[1]:.3g} at σ = {weak:g} "
        "(Σα_tλ·mean 1/(√v̂+ε), measured)"
    )
    return dict.fromkeys(make_methods(config), removed) | {"Adam+L2": divided}


def measure_ends(config: Config) -> tuple[dict[str, Samples], dict[str, str]]:
    """All chains at once."""
    seeds = jnp.arange(config.seed, config.seed + config.chains)
    ends, pulled = jax.jit(jax.vmap(make_chain(config)))(seeds)
    as_text = budgets(config, np.asarray(pulled).mean(axis=0))
    # jit has sorted the names.
    return {name: np.asarray(ends[name]) for name in as_text}, as_text


def measure(config: Config) -> Measured:
    """Run the chains, then the nets."""
    ends, as_text = measure_ends(config)
    seeds = jnp.arange(config.seed, config.seed + config.starts)
    factors = {
        name: jax.jit(jax.vmap(make_net(config, make)))(seeds)
        for name, make in make_methods(config).items()
    }
    spectra = {
        name: np.linalg.svd(np.asarray(f["A"] @ f["B"]), compute_uv=False)
        for name, f in factors.items()
    }
    largest = max(float(jnp.abs(x).max()) for x in factors["AdamW"].values())
    return Measured(ends, spectra, largest, as_text)


def judge_ends(
    config: Config, name: str, predicted: Cells, samples: Samples, budget: str
) -> Finding:
    """One method at all noise levels and modes: the worst of its cells."""
    where = "ridge" if name in RIDGES else "the zero of its own equation"

    def cell(i: int, j: int) -> Finding:
        place = f"σ = {config.noises[i]:g}, h = {config.curvatures[j]:g}"
        band = around(float(predicted[i, j]), TOLERANCES["limit_point"])
        return judged(
            f"{name} ends at {where}, whatever the noise.",
            band,
            stats.mean_interval(samples[:, i, j]),
            spec=".4f",
            predicted=f"θ = {band.text('.4f')} at {place}",
            seeds=len(samples),
            budget=budget,
            convention=CONVENTION,
            notes=f"the worst of {predicted.size} cells; float64",
        )

    return worst([cell(i, j) for i, j in np.ndindex(predicted.shape)])


def judge_gap(config: Config, predictions: Predictions, measured: Measured) -> Finding:
    """AdamW's distance from ridge, at the level that has the third largest."""
    samples, ridge = measured.ends["AdamW"], predictions.ends["SGD+L2"]
    away = predictions.ends["AdamW"] - ridge
    farthest = np.abs(away).argmax(axis=1)  # the mode, for each noise level
    gaps = [
        stats.mean_interval(np.sign(away[i, j]) * (samples[:, i, j] - ridge[i, j]))
        for i, j in enumerate(farthest)
    ]
    third = sorted(gaps, key=lambda gap: gap.low)[-LEVELS]
    return judged(
        "AdamW does not end at ridge.",
        at_least(TOLERANCES["adamw_from_ridge"]),
        third,
        predicted=f"|θ − ridge| at least {TOLERANCES['adamw_from_ridge']:g} "
        f"at {LEVELS} of {len(gaps)} noise levels",
        measured=f"{shown(third, '.3f')}; in the mode predicted farthest "
        + ", ".join(
            f"{signed(gap.estimate, '.3f')} at σ = {sigma:g}"
            for gap, sigma in zip(gaps, config.noises, strict=True)
        ),
        seeds=len(samples),
        budget=measured.budgets["AdamW"],
        convention=CONVENTION,
    )


def judge_spectrum(
    config: Config, name: str, predictions: Predictions, measured: Measured
) -> Finding:
    """One method's singular values: the worst of all starts."""
    predicted, found = predictions.spectra[name], measured.spectra[name]
    error = float(np.abs(found - predicted[None, :]).max())
    shrinks = name in RIDGES
    entry = f"; no entry above {measured.largest_entry:.2f}, 1/λ = "
    return judged(
        f"In a linear net {name} "
        + ("shrinks singular values by λ." if shrinks else "shrinks none."),
        at_most(TOLERANCES["spectrum"]),
        stats.exact(error),
        predicted=f"s(AB) = ({', '.join(f'{s:.3g}' for s in predicted)}) "
        f"± {TOLERANCES['spectrum']:g}",
        measured=f"off by at most {error:.1e}",
        seeds=len(found),
        convention=CONVENTION,
        notes=f"full batches, λ = {config.weight_decay:g}, steps annealed; float64"
        + ("" if shrinks else f"{entry}{1 / config.weight_decay:g}"),
    )


def judge(
    config: Config, predictions: Predictions, measured: Measured
) -> list[Finding]:
    """Where each method ends, AdamW's distance, and each method's spectrum."""
    ends = [
        judge_ends(
            config, name, predictions.ends[name], samples, measured.budgets[name]
        )
        for name, samples in measured.ends.items()
    ]
    spectra = [
        judge_spectrum(config, name, predictions, measured) for name in measured.spectra
    ]
    return [*ends, judge_gap(config, predictions, measured), *spectra]


def draw(config: Config, measured: Measured) -> Figure:
    """Two modes against the noise, and spectra; lines predicted, marks measured."""
    figure = Figure(figsize=(12.5, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    lam = config.weight_decay
    for ax, letter, mode in zip(axes, "ab", (0, 1), strict=False):
        h, star = config.curvatures[mode], config.minimiser[mode]
        samples = {name: x[:, :, mode] for name, x in measured.ends.items()}
        panels.limit_points(
            ax, h, star, weight_decay=lam, noises=config.noises, samples=samples
        )
        ax.set_title(f"({letter}) h = {h:g}, θ* = {star:g}, 1/λ = {1 / lam:g}")
    panels.spectra(axes[2], config.singular_values, lam, measured.spectra)
    axes[2].set_title("(c) linear net AB, full batches")
    axes[0].set_ylabel("where the weight ends")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=7)
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Predict, run, judge and draw.

    Args:
        config: the experiment.
        workspace: gets ``what_objective.svg`` and ``.png``, and a line per stage.

    Returns:
        One finding per sentence.
    """
    with jax.enable_x64(True), style.context():
        predictions = predict(config)
        workspace.say(f"{config.chains} chains, then {config.starts} nets per method")
        measured = measure(config)
        workspace.say("drawing")
        workspace.save_figure(draw(config, measured), "what_objective")
        return Outcome(judge(config, predictions, measured))
