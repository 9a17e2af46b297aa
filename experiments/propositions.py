r"""Weight decay is an L2 penalty for SGD, and for no other fixed preconditioner.

Question.    Loshchilov & Hutter (2019) prove three propositions. Do the iterates of an
             MLP obey them, to rounding error? And what does momentum change?
Prediction.  With :math:`\delta` the fraction removed per step:
             1. SGD with decay δ is SGD on :math:`f + \tfrac{\delta}{2\alpha}
             \|\theta\|^2`. 2. With a preconditioner :math:`M = \mathrm{diag}(s)^{-1}
             \ne kI` no λ of 400 comes nearer than 1e-2 of ‖θ‖, nor with Adam. 3. With M
             it is the penalty :math:`\tfrac{\delta}{2\alpha}\|\theta\odot\sqrt s\|^2`:
             the paper's λ' is our :math:`\lambda_2 = \delta/\alpha`, its proof's λ'/2
             holds and its eq. (2), λ'/(2α), does not. Heavy ball and Nesterov rest
             where L2 rests for :math:`\delta = \alpha\lambda_2/(1-\beta)`; for
             :math:`\alpha\lambda_2` at ridge with :math:`(1-\beta)\lambda_2`.
Run.         python -m experiments run propositions
Cost.        9 s on two CPU cores, compilation included.
Outcome.     All nine PASS: Propositions 1 and 3 to 5e-16 over 1,000 steps, the rests to
             7e-16; the nearest of 400 λ is 0.36 of ‖θ‖ away with M, 0.40 with Adam, and
             eq. (2) as printed 1.0 (deterministic, no seeds; a tanh MLP of 64
             parameters and a quadratic; float64; 2026-11-22).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import wdjax
from experiments.harness import drawing
from experiments.harness.findings import Finding, Outcome, equality, inequality
from experiments.harness.iterates import iterates
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax.plots import style

SECONDS = 20
CLAIM = (
    "Decoupled weight decay is an L2 penalty for SGD and a rescaled one for a fixed "
    "diagonal preconditioner; no λ makes it the plain penalty there, nor for Adam; "
    "momentum keeps only the fixed point, for δ = αλ/(1−β)."
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines the experiment; nothing is read from elsewhere."""

    seed: int = 0
    examples: int = 32
    widths: tuple[int, int, int] = (5, 8, 2)
    num_steps: int = 1_000
    learning_rate: float = 0.05
    adam_learning_rate: float = 0.01
    decay_rate: float = 0.001  # δ; a decay budget of 1
    preconditioner_range: float = 4.0  # s is log-uniform on [1/4, 4]
    num_l2s: int = 400
    decades: float = 2.0  # λ within this many of δ/α, either way
    quadratic_dimension: int = 8
    quadratic_learning_rate: float = 0.1
    momentum: float = 0.9
    quadratic_l2: float = 0.3
    quadratic_steps: int = 4_000


SMOKE = dataclasses.replace(Config(), num_steps=200, num_l2s=100)

TOLERANCES = tolerances("propositions")
CONDITIONS = {
    "convention": "δ the fraction removed per step",
    "notes": "float64; tanh MLP, full batch; quadratic with and without Nesterov",
}

Vector = Float[Array, " d"]
Iterates = Float[Array, "steps d"]


class Problem(NamedTuple):
    """The loss of an MLP, its flat initial parameters and the fixed M = diag(s)⁻¹."""

    loss: Callable[[Vector], Float[Array, ""]]
    theta_0: Vector
    s: Vector


class Predictions(NamedTuple):
    """The coefficients that theory names, as the experiment uses them."""

    l2: float  # Propositions 1 and 3, the proof: λ₂ = δ/α
    printed_l2: float  # Proposition 3, eq. (2): another 1/α
    corrected_decay: float  # heavy ball: δ = αλ₂/(1−β)
    naive_ridge: float  # where δ = αλ₂ rests: ridge with (1−β)λ₂


class Residuals(NamedTuple):
    """‖Δθ_t‖/‖θ_t‖ of pairs that are, or are not, the same trajectory."""

    sgdw: Float[np.ndarray, " steps"]
    sgd_l2: Float[np.ndarray, " steps"]
    adjusted: Float[np.ndarray, " steps"]
    printed: Float[np.ndarray, " steps"]


class Distances(NamedTuple):
    """‖Δθ‖/‖θ‖ after the last step, against λ₂."""

    l2s: Float[np.ndarray, " l2s"]
    plain: Float[np.ndarray, " l2s"]  # M = I, the control: it must dip to nothing
    fixed: Float[np.ndarray, " l2s"]  # M = diag(s)⁻¹
    adam: Float[np.ndarray, " l2s"]


class Rests(NamedTuple):
    """Relative distances of where momentum rests from where theory says."""

    coupled: float
    corrected: float
    naive: float


class Measured(NamedTuple):
    """What a panel draws and a finding judges."""

    residuals: Residuals
    distances: Distances
    rests: Rests


def make_problem(config: Config) -> Problem:
    """A tanh MLP on random data, and random s."""
    inputs, hidden, outputs = config.widths
    key = jax.random.key(config.seed)
    x_key, y_key, w1_key, w2_key, s_key = jax.random.split(key, 5)
    x = jax.random.normal(x_key, (config.examples, inputs))
    y = jax.random.normal(y_key, (config.examples, outputs))
    params = {
        "W1": jax.random.normal(w1_key, (inputs, hidden)) / np.sqrt(inputs),
        "b1": jnp.zeros(hidden),
        "W2": jax.random.normal(w2_key, (hidden, outputs)) / np.sqrt(hidden),
    }
    theta_0, unravel = ravel_pytree(params)

    def loss(theta: Vector) -> Float[Array, ""]:
        p = unravel(theta)
        h = jnp.tanh(x @ p["W1"] + p["b1"][None, :])
        return 0.5 * jnp.mean(jnp.sum((h @ p["W2"] - y) ** 2, axis=1))

    reach = np.log(config.preconditioner_range)
    s = jnp.exp(jax.random.uniform(s_key, theta_0.shape, minval=-reach, maxval=reach))
    return Problem(loss, theta_0, s)


def predict(config: Config) -> Predictions:
    """The propositions' coefficients."""
    alpha, delta = config.learning_rate, config.decay_rate
    lam, beta = config.quadratic_l2, config.momentum
    return Predictions(
        l2=delta / alpha,
        printed_l2=delta / alpha**2,
        corrected_decay=config.quadratic_learning_rate * lam / (1 - beta),
        naive_ridge=(1 - beta) * lam,
    )


def train(
    optimizer: optax.GradientTransformation, problem: Problem, num_steps: int
) -> Iterates:
    """What an optimizer visits on the bare loss."""
    return iterates(optimizer, problem.loss, problem.theta_0, num_steps)


def descend(
    problem: Problem, learning_rate: float, M: Vector, weights: Vector, num_steps: int
) -> Iterates:
    r"""The same written out: θ ← θ − αM∇[f + ½Σ w_i θ_i²], by autodiff of the sum."""

    def penalised(theta):
        return problem.loss(theta) + 0.5 * jnp.sum(weights * theta**2)

    def step(theta, _):
        theta = theta - learning_rate * M * jax.grad(penalised)(theta)
        return theta, theta

    return jax.lax.scan(step, problem.theta_0, None, length=num_steps)[1]


def residuals(path: Iterates, reference: Iterates) -> Float[np.ndarray, " steps"]:
    """‖Δθ_t‖/‖θ_t‖."""
    gap = jnp.linalg.norm(path - reference, axis=1)
    return np.asarray(gap / jnp.linalg.norm(reference, axis=1))


def preconditioned(learning_rate: float, s: Vector) -> optax.GradientTransformation:
    """SGD along M∇f with M = diag(s)⁻¹."""
    divide = optax.stateless(lambda g, params: jax.tree.map(jnp.divide, g, s))
    return optax.chain(divide, optax.sgd(learning_rate))


def distances(
    config: Config,
    problem: Problem,
    decoupled: optax.GradientTransformation,
    coupled: Callable[[Float[Array, ""]], optax.GradientTransformation],
    l2s: Float[Array, " l2s"],
) -> Float[np.ndarray, " l2s"]:
    """‖Δθ‖/‖θ‖ after the last step, for each λ; a diverged run is infinitely far."""
    reference = train(decoupled, problem, config.num_steps)[-1]

    @jax.jit
    @jax.vmap
    def distance(l2):
        theta = train(coupled(l2), problem, config.num_steps)[-1]
        return jnp.linalg.norm(theta - reference) / jnp.linalg.norm(reference)

    return np.nan_to_num(np.asarray(distance(l2s)), nan=np.inf, posinf=np.inf)


def rest_error(
    optimizer: optax.GradientTransformation, config: Config, l2: float
) -> float:
    """How far from ridge with ``l2`` an optimizer rests, on a random quadratic."""
    d = config.quadratic_dimension
    A_key, star_key = jax.random.split(jax.random.key(config.seed + 1))
    A, theta_star = jax.random.normal(A_key, (d, d)), jax.random.normal(star_key, (d,))
    H = A @ A.T / d + 0.2 * jnp.eye(d)

    def loss(theta):
        return 0.5 * (theta - theta_star) @ H @ (theta - theta_star)

    problem = Problem(loss, jnp.zeros_like(theta_star), jnp.ones_like(theta_star))
    theta = np.asarray(train(optimizer, problem, config.quadratic_steps)[-1])
    ridge = np.linalg.solve(H + l2 * np.eye(d), np.asarray(H @ theta_star))
    return float(np.linalg.norm(theta - ridge) / np.linalg.norm(ridge))


def measure_rests(config: Config, predictions: Predictions) -> Rests:
    """Where momentum comes to rest: the worse of heavy ball and Nesterov."""
    alpha, lam = config.quadratic_learning_rate, config.quadratic_l2

    def worse(make: Callable[..., optax.GradientTransformation], l2: float) -> float:
        kinds = [{"momentum": config.momentum, "nesterov": n} for n in (False, True)]
        return max(rest_error(make(**kind), config, l2) for kind in kinds)

    def decoupled(delta: float) -> Callable[..., optax.GradientTransformation]:
        return lambda **k: wdjax.sgdw(alpha, delta, convention=wdjax.CONSTANT, **k)

    return Rests(
        coupled=worse(lambda **k: wdjax.sgd_l2(alpha, lam, **k), lam),
        corrected=worse(decoupled(predictions.corrected_decay), lam),
        naive=worse(decoupled(alpha * lam), predictions.naive_ridge),
    )


def measure_residuals(
    config: Config, problem: Problem, predictions: Predictions
) -> Residuals:
    """Propositions 1 and 3: wdjax's optimizers against the penalised loss."""
    alpha, delta, steps = config.learning_rate, config.decay_rate, config.num_steps
    one, s = jnp.ones_like(problem.s), problem.s
    sgdw = wdjax.sgdw(alpha, delta, convention=wdjax.CONSTANT)
    sgd_l2 = wdjax.sgd_l2(alpha, predictions.l2)
    behind = wdjax.with_weight_decay(preconditioned(alpha, s), delta)
    decoupled = train(behind, problem, steps)
    plain = descend(problem, alpha, one, predictions.l2 * one, steps)
    adjusted = descend(problem, alpha, 1 / s, predictions.l2 * s, steps)
    printed = descend(problem, alpha, 1 / s, predictions.printed_l2 * s, steps)
    return Residuals(
        sgdw=residuals(train(sgdw, problem, steps), plain),
        sgd_l2=residuals(train(sgd_l2, problem, steps), plain),
        adjusted=residuals(decoupled, adjusted),
        printed=residuals(printed, decoupled),
    )


def measure_distances(config: Config, problem: Problem) -> Distances:
    """Proposition 2: a scan over λ for M = I, for M = diag(s)⁻¹ and for Adam."""
    alpha, delta = config.learning_rate, config.decay_rate
    reach = config.decades
    l2s = delta / alpha * np.logspace(-reach, reach, config.num_l2s)

    def scan(decoupled, coupled):
        return distances(config, problem, decoupled, coupled, jnp.array(l2s))

    def around(base):
        behind = wdjax.with_weight_decay(base, delta)
        return scan(behind, lambda l2: wdjax.with_l2(base, l2))

    rate = config.adam_learning_rate
    return Distances(
        l2s=l2s,
        plain=around(optax.sgd(alpha)),
        fixed=around(preconditioned(alpha, problem.s)),
        adam=scan(
            wdjax.adamw(rate, delta, convention=wdjax.CONSTANT),
            lambda l2: wdjax.adam_l2(rate, l2),
        ),
    )


def measure(config: Config, problem: Problem, predictions: Predictions) -> Measured:
    """Run everything."""
    return Measured(
        measure_residuals(config, problem, predictions),
        measure_distances(config, problem),
        measure_rests(config, predictions),
    )


def judge(measured: Measured) -> list[Finding]:
    """One finding for each sentence: what is at most, then what is at least."""
    r, d, rests = measured
    nearest = f"the nearest of {len(d.l2s)} λ"
    equal, rest = TOLERANCES["equivalence"], TOLERANCES["fixed_point"]
    least = TOLERANCES["divergence_at_least"]
    same, lam, weaker = "the same iterates", "ridge with λ₂", "ridge with (1−β)λ₂"
    zeros = (
        ("Prop. 1: SGDW is SGD on f + (δ/2α)‖θ‖².", same, r.sgdw.max(), equal),
        ("Prop. 1: and so is SGD behind add_l2.", same, r.sgd_l2.max(), equal),
        ("Prop. 3: with M it is f + (δ/2α)‖θ⊙√s‖².", same, r.adjusted.max(), equal),
        ("Heavy ball and Nesterov with L2 rest at ridge.", lam, rests.coupled, rest),
        ("With δ = αλ₂/(1−β) they rest there too.", lam, rests.corrected, rest),
        ("With δ = αλ₂ they rest at ridge with (1−β)λ₂.", weaker, rests.naive, rest),
    )
    gaps = (
        ("Prop. 2: no λ₂ makes L2 equal to decay for M.", nearest, d.fixed.min()),
        ("Nor does any for Adam.", nearest, d.adam.min()),
        ("Prop. 3 as printed in eq. (2) is another path.", "λ'/(2α)", r.printed.max()),
    )
    zero = [
        equality(claim, error, tolerance, predicted=what, **CONDITIONS)
        for claim, what, error, tolerance in zeros
    ]
    apart = [
        inequality(claim, distance, least, predicted=f"{what}: ‖Δθ‖/‖θ‖", **CONDITIONS)
        for claim, what, distance in gaps
    ]
    return zero + apart


def _draw_distances(ax: Axes, d: Distances) -> None:
    curves = (
        drawing.Errors("SGD, M = I", d.plain, style.BLUE),
        drawing.Errors("fixed M ≠ kI", d.fixed, style.ORANGE),
        drawing.Errors("Adam", d.adam, style.VERMILLION),
    )
    drawing.tolerance(ax, TOLERANCES["divergence_at_least"])
    drawing.errors(ax, d.l2s, curves, diverged=1e2)
    ax.set_title("(a) one λ₂ for SGD, none for M ≠ kI, none for Adam")
    ax.set(xscale="log", ylim=(1e-4, 10), xlabel="penalty λ₂ of the coupled run")
    ax.set_ylabel("‖Δθ‖ / ‖θ‖ after the last step")
    ax.legend(loc="lower right")


def _draw_residuals(ax: Axes, r: Residuals) -> None:
    curves = (
        drawing.Errors("Prop. 3 as printed, λ'/(2α)", r.printed, style.PURPLE),
        drawing.Errors("Prop. 3 as proved, λ'/2", r.adjusted, style.ORANGE),
        drawing.Errors("Prop. 1, SGD", r.sgdw, style.BLUE),
    )
    drawing.tolerance(ax, TOLERANCES["equivalence"])
    drawing.errors(ax, np.arange(len(r.sgdw)) + 1, curves, diverged=1e2)
    ax.set_title("(b) penalties against decay, step by step")
    ax.set(ylim=(1e-17, 1e2), xlabel="step", ylabel="‖Δθ‖ / ‖θ‖")
    ax.legend(loc="center right")


def draw(measured: Measured) -> Figure:
    """Proposition 2 beside Propositions 1 and 3; dashes are the tolerances."""
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_distances(left, measured.distances)
    _draw_residuals(right, measured.residuals)
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Train, judge and draw.

    Args:
        config: the experiment.
        workspace: gets ``propositions.svg`` and ``.png``, and a line per stage.

    Returns:
        One finding per sentence.
    """
    with jax.enable_x64(True), style.context():
        workspace.say("training the MLP and scanning λ")
        measured = measure(config, make_problem(config), predict(config))
        workspace.say("drawing")
        workspace.save_figure(draw(measured), "propositions")
    return Outcome(judge(measured))
