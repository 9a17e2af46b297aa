r"""On scale-invariant weights, weight decay is an exponentially growing learning rate.

Question.    Where every trained weight is scale-invariant, is a run with weight decay
             the same, function by function, as one *without* decay whose learning rate
             grows exponentially? For SGD (Li & Arora 2020), and for AdamW?
Prediction.  With :math:`\rho = 1-\alpha\lambda`. SGD, t from 0:
             :math:`\alpha_t = \alpha\rho^{-(2t+1)}`, and with decoupled decay behind
             momentum :math:`\beta \to \beta\rho`. SGD with momentum and an L2 penalty:
             :math:`\alpha c^{-(2t+1)}` with c the larger root of
             :math:`c^2 - (1+\beta-\alpha\lambda_2)c + \beta`, the same β, from a
             buffer :math:`-(1-c)w_0/(\alpha c)`. AdamW, t from 1:
             :math:`\alpha_t = \alpha\rho^{-t}`, :math:`\beta_1 \to \beta_1\rho`,
             :math:`\beta_2 \to \beta_2\rho^2`, with weights 1 − β and bias corrections
             as they were, :math:`\varepsilon_t = \varepsilon\rho^{t-1}`. All logits
             within 1e-8 over 500 steps; with β as it was at least 1e-3 away.
Run.         python -m experiments run decay_as_exponential_learning_rate
Cost.        34 s of CPU time, most of it compilation.
Outcome.     All seven PASS: logits within 2.8e-11 (SGD), 4.4e-12 (momentum, decay),
             2.0e-10 (momentum, L2) and 1.3e-12 (AdamW); with β as it was 2.1 and 1.5
             away (the worst of 3 initialisations; an MLP with every layer normalised,
             random inputs, float64, budget 1; 2026-11-27).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree
from matplotlib.figure import Figure

import wdjax
from experiments.harness import growing_panels as panels
from experiments.harness.findings import Finding, Outcome, at_least, at_most, judged
from experiments.harness.growing_panels import Pair
from experiments.harness.timed_optimizers import adam, heavy_ball
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import stats
from wdjax.models import Model, mlp
from wdjax.plots import style
from wdjax.theory import exponential_learning_rate as exponential
from wdjax.theory import quadratic

SECONDS = 35
CLAIM = (
    "On scale-invariant weights decay is a learning rate that grows exponentially: SGD "
    "with α(1−αλ)^−(2t+1), AdamW with α(1−αλ)^−t and β₁, β₂ shrunk by 1−αλ and its "
    "square; with β as it was it is another run."
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines the experiment; nothing is read from elsewhere."""

    seed: int = 5000
    num_seeds: int = 3
    examples: int = 128
    batch_size: int = 32
    inputs: int = 12
    hidden: tuple[int, ...] = (24, 24)
    classes: int = 5
    num_steps: int = 500
    decay_rate: float = 0.002  # δ = αλ of all; a budget of 1
    # Small, so that training does not amplify rounding errors: a pilot with learning
    # rates 2.5 to 10 times as large came up to 1e-8 after 500 steps.
    learning_rate: float = 0.02
    momentum_learning_rate: float = 0.005
    momentum: float = 0.9
    adam_learning_rate: float = 0.002
    b1: float = 0.9
    b2: float = 0.99
    eps: float = 1e-4  # large enough to matter


SMOKE = dataclasses.replace(
    Config(), seed=0, num_seeds=2, hidden=(16,), num_steps=150, decay_rate=0.005
)

TOLERANCES = tolerances("decay_as_exponential_learning_rate")
CONVENTION = "δ = αλ the fraction removed per step; λ₂ = δ(1−β)/α"


class Run(NamedTuple):
    """What a run leaves: logits of all examples after each step, and batch losses."""

    logits: Float[Any, "*seeds steps examples classes"]
    loss: Float[Any, "*seeds steps"]


class Predictions(NamedTuple):
    """The hyper-parameters of every step without decay, by theory alone."""

    sgd: exponential.Sgd
    heavy_ball: exponential.Sgd
    penalised: exponential.Sgd
    buffer: float  # of the penalised run's twin at the start, a multiple of w₀
    adam: exponential.Adam


class Measured(NamedTuple):
    """Every pair, and what scaling single weights by 4 does to the logits."""

    sgd: Pair
    heavy_ball: Pair
    penalised: Pair
    adam: Pair
    heavy_ball_untimed: Pair  # β as it was
    adam_untimed: Pair
    scaling: float


class Problem(NamedTuple):
    """What all runs of one seed share.

    Attributes:
        params: the initial weights.
        x: inputs.
        labels: their classes.
        rows: the examples of each mini-batch.
    """

    params: PyTree
    x: Float[Array, "examples inputs"]
    labels: Int[Array, " examples"]
    rows: Int[Array, "steps batch"]


def make_model(config: Config) -> Model:
    """A network of which every weight is scale-invariant, exactly."""
    return mlp(
        config.hidden,
        config.classes,
        scale_invariant=True,
        epsilon=0.0,
        input_shape=(config.inputs,),
        dtype=jnp.float64,
    )


def make_problem(config: Config, seed: int) -> Problem:
    """Random inputs of random classes."""
    keys = jax.random.split(jax.random.key(seed), 4)
    params_key, x_key, labels_key, rows_key = keys
    n, batches = config.examples, (config.num_steps, config.batch_size)
    return Problem(
        params=make_model(config).init(params_key),
        x=jax.random.normal(x_key, (n, config.inputs)),
        labels=jax.random.randint(labels_key, (n,), 0, config.classes),
        rows=jax.random.randint(rows_key, batches, 0, n),
    )


def make_problems(config: Config) -> Problem:
    """One for each seed, stacked."""
    problems = [make_problem(config, config.seed + i) for i in range(config.num_seeds)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)


def predict(config: Config) -> Predictions:
    """Learning rates, momenta and ε of every step."""
    t, delta = jnp.arange(config.num_steps), config.decay_rate
    alpha, beta = config.momentum_learning_rate, config.momentum
    c = exponential.l2_contraction(alpha, l2_of(config), beta)

    def sgd(alpha: Any, delta: Any, beta: Any) -> exponential.Sgd:
        return jax.vmap(lambda t: exponential.sgd(alpha, delta, beta, t))(t)

    growing = sgd(alpha, 1 - c, 0.0).learning_rate
    adam = (config.adam_learning_rate, delta, config.b1, config.b2, config.eps)
    return Predictions(
        sgd=sgd(config.learning_rate, delta, 0.0),
        heavy_ball=sgd(alpha, delta, beta),
        penalised=exponential.Sgd(growing, jnp.full(config.num_steps, beta)),
        buffer=-float((1 - c) / (alpha * c)),
        adam=jax.vmap(lambda t: exponential.adamw(*adam, t))(t + 1),  # AdamW: from 1
    )


def l2_of(config: Config) -> float:
    """The penalty with the fixed point of the decay, behind momentum."""
    alpha = config.momentum_learning_rate
    return float(quadratic.heavy_ball_l2(alpha, config.decay_rate, config.momentum))


def sgdw(alpha: Any, delta: Any, beta: Any) -> optax.GradientTransformation:
    """Momentum with decoupled decay, by the library."""
    return wdjax.sgdw(alpha, delta, momentum=beta, convention=wdjax.CONSTANT)


def sgd_l2(alpha: Any, l2: Any, beta: Any) -> optax.GradientTransformation:
    """Momentum with an L2 penalty, by the library."""
    return wdjax.sgd_l2(alpha, l2, momentum=beta)


def adamw(config: Config) -> Callable[..., optax.GradientTransformation]:
    """AdamW by the library, of learning rate and decay rate."""
    moments = {"b1": config.b1, "b2": config.b2, "eps": config.eps}
    constant = wdjax.CONSTANT
    return lambda *rates: wdjax.adamw(*rates, **moments, convention=constant)


def train(
    optimizer: optax.GradientTransformation, model: Model, problem: Problem
) -> Run:
    """The logits after each step, and the loss of each mini-batch before it."""

    def loss(params: PyTree, rows: Int[Array, " batch"]) -> Float[Array, ""]:
        logits, labels = model.apply(params, problem.x[rows]), problem.labels[rows]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean()

    def step(carry: Any, rows: Int[Array, " batch"]) -> Any:
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, rows)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), Run(model.apply(params, problem.x), value)

    start = (problem.params, optimizer.init(problem.params))
    return jax.lax.scan(step, start, problem.rows)[1]


def scaling_error(config: Config, problem: Problem) -> float:
    """The largest change of a logit when any one weight matrix is multiplied by 4."""
    leaves, structure = jax.tree.flatten(problem.params)
    apply = jax.jit(make_model(config).apply)
    logits = apply(problem.params, problem.x)
    moved = [
        [4 * leaf if i == j else leaf for j, leaf in enumerate(leaves)]
        for i in range(len(leaves))
    ]
    changes = [apply(structure.unflatten(m), problem.x) - logits for m in moved]
    return float(max(jnp.max(jnp.abs(change)) for change in changes))


def measure(config: Config, predictions: Predictions) -> Measured:
    """Train everything; each run without decay beside the one that it should be."""
    model, problems = make_model(config), make_problems(config)

    def runs(make: Callable[..., optax.GradientTransformation]) -> Callable[..., Run]:
        """Compiled once for each kind of optimizer; hyper-parameters are traced."""

        @jax.jit
        def found(*hypers: Any) -> Run:
            optimizer = make(*hypers)
            return jax.vmap(lambda one: train(optimizer, model, one))(problems)

        return lambda *hypers: Run(*map(np.asarray, found(*hypers)))

    delta, p, steps = config.decay_rate, predictions, jnp.ones(config.num_steps)
    alpha, beta = config.momentum_learning_rate, config.momentum
    b1, b2 = config.b1, config.b2
    decayed, plain = runs(sgdw), runs(heavy_ball)
    plain_adam = runs(lambda hypers: adam(hypers, b1, b2))
    sgd = decayed(config.learning_rate, delta, 0.0)
    momentum = decayed(alpha, delta, beta)
    l2 = runs(sgd_l2)(alpha, l2_of(config), beta)
    adam_w = runs(adamw(config))(config.adam_learning_rate, delta)
    sgd_untimed = p.heavy_ball._replace(momentum=beta * steps)
    adam_untimed = p.adam._replace(b1=b1 * steps, b2=b2 * steps)
    return Measured(
        sgd=pair(sgd, plain(p.sgd, 0.0)),
        heavy_ball=pair(momentum, plain(p.heavy_ball, 0.0)),
        penalised=pair(l2, plain(p.penalised, p.buffer)),
        adam=pair(adam_w, plain_adam(p.adam)),
        heavy_ball_untimed=pair(momentum, plain(sgd_untimed, 0.0)),
        adam_untimed=pair(adam_w, plain_adam(adam_untimed)),
        scaling=scaling_error(config, make_problem(config, config.seed)),
    )


def pair(decayed: Run, other: Run) -> Pair:
    """Two runs on the same seeds and batches."""
    gaps = np.abs(other.logits - decayed.logits).max(axis=(-2, -1))
    return Pair(gaps, decayed.loss, other.loss)


def judge(config: Config, measured: Measured) -> list[Finding]:
    """One finding for each sentence: what is the same, then what is not."""
    m, limit = measured, TOLERANCES["logits"]
    least = TOLERANCES["without_retiming_at_least"]
    same = (
        ("SGD with decay is SGD at α(1−αλ)^−(2t+1).", m.sgd),
        ("Momentum with decay is so too, with β(1−αλ).", m.heavy_ball),
        ("Momentum with L2 is so too, at αc^−(2t+1), with β.", m.penalised),
        ("AdamW is Adam at α(1−αλ)^−t, β₁(1−αλ), β₂(1−αλ)².", m.adam),
    )
    other = (
        ("With β as it was, momentum is another run.", m.heavy_ball_untimed),
        ("With β₁ and β₂ as they were, Adam is another run.", m.adam_untimed),
    )
    scale = _finding(
        config,
        "Every weight is scale-invariant: by 4, no logit changes.",
        m.scaling,
        at_most(limit),
    )
    # np.max and not max: a NaN must win.
    equal = [
        _finding(config, claim, float(np.max(pair.gaps)), at_most(limit))
        for claim, pair in same
    ]
    apart = [
        _finding(
            config, claim, float(np.min(np.max(pair.gaps, axis=1))), at_least(least)
        )
        for claim, pair in other
    ]
    return [scale, *equal, *apart]


def _finding(config: Config, claim: str, gap: float, band: Any) -> Finding:
    return judged(
        claim,
        band,
        stats.exact(gap),
        spec=".2g",
        predicted=f"logits apart by {band.text('.0e')}",
        measured=f"{gap:.1e}",
        budget=f"{config.num_steps * config.decay_rate:.3g}",
        convention=CONVENTION,
        notes=(
            f"float64; MLP, every layer normalised without ε; {config.num_steps} steps "
            f"of mini-batches, the worst of {config.num_seeds} initialisations"
        ),
    )


def draw(measured: Measured) -> Figure:
    """Losses of one seed beside the gaps of all; dashes are the tolerances."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    m = measured
    panels.losses(left, "SGD, β = 0.9", m.heavy_ball, m.heavy_ball_untimed, style.GREEN)
    panels.losses(left, "Adam", m.adam, m.adam_untimed, style.PURPLE)
    left.set_title("(a) decay, and growing learning rates without it")
    left.legend(ncols=1, fontsize=9)
    gaps = (
        ("Adam, β₁, β₂ as they were", m.adam_untimed, style.PURPLE, ":"),
        ("momentum, β as it was", m.heavy_ball_untimed, style.GREEN, ":"),
        ("AdamW", m.adam, style.PURPLE, "-"),
        ("momentum and decay", m.heavy_ball, style.GREEN, "-"),
        ("momentum and L2", m.penalised, style.ORANGE, "-"),
        ("SGD", m.sgd, style.BLUE, "-"),
    )
    limits = TOLERANCES["logits"], TOLERANCES["without_retiming_at_least"]
    panels.gaps(right, gaps, *limits)
    right.set_title("(b) how far apart the functions are")
    right.legend(ncols=2, loc="center", fontsize=9, bbox_to_anchor=(0.53, 0.625))
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Train, judge and draw.

    Args:
        config: the experiment.
        workspace: gets the figure, and a line per stage.

    Returns:
        One finding per sentence.
    """
    with jax.enable_x64(True), style.context():
        workspace.say("training each run with decay and those without")
        measured = measure(config, predict(config))
        workspace.say("drawing")
        workspace.save_figure(draw(measured), "decay_as_exponential_learning_rate")
    return Outcome(judge(config, measured))
