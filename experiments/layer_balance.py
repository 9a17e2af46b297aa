r"""Weight decay makes the layers around a ReLU equally large.

Question.    Scaling the layer in front of a ReLU up and the one behind it down leaves
             the network as it is. What does SGD with weight decay do to the difference
             of their squared norms, and where does it end? And AdamW?
Prediction.  For each pair of layers around a ReLU, without momentum or normalisation,
             :math:`B = \|W_2\|^2 - \|W_1\|^2`, with :math:`b_1` counted in :math:`W_1`,
             obeys :math:`B_{t+1} = (1-\alpha\lambda)^2 B_t
             + \alpha^2(\|G_2\|^2 - \|G_1\|^2)` at every step of mini-batch SGD, to
             1e-12 of :math:`\|W\|^2` in float64 and 1e-5 in float32. Runs with L2 that
             have converged are balanced: norms within a ratio of 1.01. AdamW rests
             elsewhere; its ratio is reported.
Run.         python -m experiments run layer_balance
Cost.        27 s of CPU time, compilation included.
Outcome.     All three PASS: residuals at most 8.0e-16 (float64) and 2.5e-08 (float32);
             ratio 1.00001 [1.00001, 1.00002] with L2 (5 seeds, budget 20). AdamW's is
             1.67, from 1.61 to 1.74, and it still moves. (A ReLU MLP with two pairs;
             classes by a linear teacher; 2026-11-27.)
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
from experiments.harness import balance_panels as panels
from experiments.harness.findings import Finding, Outcome, at_most, judged
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import stats
from wdjax.models import Model, mlp
from wdjax.plots import style
from wdjax.theory import layer_balance

SECONDS = 30
CLAIM = (
    "Around a ReLU, SGD with decay takes (1−αλ)² of the difference of two layers' "
    "squared norms from step to step, up to α² of their gradients'; what has converged "
    "with L2 is balanced."
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines the experiment; nothing is read from elsewhere."""

    seed: int = 5000
    num_seeds: int = 5
    examples: int = 128
    batch_size: int = 16
    inputs: int = 6
    hidden: tuple[int, ...] = (12, 12)
    classes: int = 4
    unbalance: float = 2.0  # of the first layer at the start, by which it is scaled
    learning_rate: float = 0.05
    weight_decay: float = 0.02  # Optax's λ: δ = αλ = 0.001
    num_steps: int = 1_000
    converging_learning_rate: float = 0.1
    l2: float = 0.02
    adam_learning_rate: float = 0.002
    adam_weight_decay: float = 1.0  # δ = 0.002, that of the L2 runs
    converging_steps: int = 10_000
    num_records: int = 100


SMOKE = dataclasses.replace(
    Config(),
    seed=0,
    num_seeds=3,
    hidden=(8,),
    num_steps=200,
    converging_steps=4_000,
    num_records=20,
)

TOLERANCES = tolerances("layer_balance")
CONVENTION = "Optax: δ = αλ; L2 in the loss"

Squares = Float[Any, "*axes pairs"]


class Predictions(NamedTuple):
    """What theory needs beside the measured gradients, and the flow without them.

    Attributes:
        learning_rate: α of the steps that are checked.
        decay_rate: δ of them.
        flow: B_t/B_0 of the converging runs, at each record, by gradient flow.
    """

    learning_rate: float
    decay_rate: float
    flow: Float[np.ndarray, " records"]


class Steps(NamedTuple):
    """Squared norms of the layers of each pair, and of their gradients.

    Attributes:
        incoming: ‖W₁‖² before each step and after the last, b₁ included.
        outgoing: ‖W₂‖², likewise.
        gradient_in: ‖G₁‖² of each step.
        gradient_out: ‖G₂‖² of each step.
    """

    incoming: Squares
    outgoing: Squares
    gradient_in: Squares
    gradient_out: Squares


class Converged(NamedTuple):
    """Squared norms at each record of long full-batch runs.

    Attributes:
        incoming: ‖W₁‖², b₁ included.
        outgoing: ‖W₂‖².
        drift: what the weights move in the steps of one record after the end, in parts
            of what decay alone would take. (The gradient itself stays: a minimiser
            lies on kinks of the ReLU, over which the last steps hop.)
    """

    incoming: Float[np.ndarray, "seeds records pairs"]
    outgoing: Float[np.ndarray, "seeds records pairs"]
    drift: Float[np.ndarray, " seeds"]


class Measured(NamedTuple):
    """Everything that a panel draws or a finding judges."""

    f64: Steps
    f32: Steps
    l2: Converged
    adamw: Converged


class Problem(NamedTuple):
    """Initial weights, data, and the examples of each mini-batch."""

    params: PyTree
    x: Float[Array, "examples inputs"]
    labels: Int[Array, " examples"]
    rows: Int[Array, "steps batch"]


def predict(config: Config) -> Predictions:
    """The rates, and the course of B in gradient flow."""
    time = config.converging_learning_rate * record_steps(config)
    flow = jax.vmap(lambda s: layer_balance.flow(1.0, config.l2, s))(jnp.asarray(time))
    return Predictions(
        config.learning_rate,
        config.learning_rate * config.weight_decay,
        np.asarray(flow),
    )


def record_steps(config: Config) -> Float[np.ndarray, " records"]:
    """After how many steps the long runs are looked at."""
    every = config.converging_steps // config.num_records
    return every * np.arange(config.num_records + 1.0)


def make_model(config: Config, dtype: Any) -> Model:
    """A ReLU network with biases and without normalisation."""
    shape = (config.inputs,)
    return mlp(config.hidden, config.classes, input_shape=shape, dtype=dtype)


def make_problem(config: Config, dtype: Any, seed: int) -> Problem:
    """Random inputs, classes by a linear teacher; the first layer starts too large."""
    params_key, x_key, teacher_key, rows_key = jax.random.split(jax.random.key(seed), 4)
    n, batches = config.examples, (config.num_steps, config.batch_size)
    params = make_model(config, dtype).init(params_key)
    kernel = config.unbalance * params["hidden_0"]["kernel"]
    x = jax.random.normal(x_key, (n, config.inputs), dtype)
    teacher = jax.random.normal(teacher_key, (config.inputs, config.classes), dtype)
    return Problem(
        params=params | {"hidden_0": params["hidden_0"] | {"kernel": kernel}},
        x=x,
        labels=jnp.argmax(x @ teacher, axis=1),
        rows=jax.random.randint(rows_key, batches, 0, n),
    )


def squares(tree: PyTree) -> tuple[Squares, Squares]:
    """Squared norms of the layers in front of each ReLU and behind it, in float64."""
    names = [*sorted(name for name in tree if name.startswith("hidden")), "output"]

    def squared(leaf: Array) -> Float[Array, ""]:
        return jnp.sum(leaf.astype(jnp.float64) ** 2)

    kernels = jnp.stack([squared(tree[name]["kernel"]) for name in names])
    biases = jnp.stack([squared(tree[name]["bias"]) for name in names])
    return (kernels + biases)[:-1], kernels[1:]


def loss(model: Model, x: Array, labels: Array) -> Callable[[PyTree], Float[Array, ""]]:
    """Mean cross-entropy, without any penalty."""

    def of(params: PyTree) -> Float[Array, ""]:
        logits = model.apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return of


def measure_steps(config: Config, dtype: Any) -> Steps:
    """SGD with decay on mini-batches, by the library, each step looked at."""
    model, problem = make_model(config, dtype), make_problem(config, dtype, config.seed)
    optimizer = wdjax.sgdw(config.learning_rate, config.weight_decay)

    def step(carry: Any, rows: Int[Array, " batch"]) -> Any:
        params, state = carry
        grads = jax.grad(loss(model, problem.x[rows], problem.labels[rows]))(params)
        updates, state = optimizer.update(grads, state, params)
        new = optax.apply_updates(params, updates)
        return (new, state), (squares(params), squares(grads))

    start = (problem.params, optimizer.init(problem.params))
    (params, _), (weights, grads) = jax.jit(
        lambda: jax.lax.scan(step, start, problem.rows)
    )()
    after = squares(params)
    incoming, outgoing = (
        np.concatenate([before, last[None]])
        for before, last in zip(weights, after, strict=True)
    )
    return Steps(incoming, outgoing, *map(np.asarray, grads))


def converge(
    optimizer: optax.GradientTransformation, config: Config, decay_rate: float
) -> Converged:
    """Full-batch runs to the end, one for each seed.

    Args:
        optimizer: what trains.
        config: the experiment.
        decay_rate: δ = αλ, by which the drift is measured.
    """
    model = make_model(config, jnp.float64)
    problems = [
        make_problem(config, jnp.float64, config.seed + i)
        for i in range(config.num_seeds)
    ]
    every = config.converging_steps // config.num_records

    def train(problem: Problem) -> Any:
        gradient = jax.grad(loss(model, problem.x, problem.labels))

        def step(_: Any, carry: Any) -> Any:
            params, state = carry
            updates, state = optimizer.update(gradient(params), state, params)
            return optax.apply_updates(params, updates), state

        def stretch(carry: Any, _: None) -> Any:
            now, _ = carry
            return (jax.lax.fori_loop(0, every, step, now), now), squares(now[0])

        start = (problem.params, optimizer.init(problem.params))
        records = config.num_records + 1  # and one stretch more, for the drift
        end, found = jax.lax.scan(stretch, (start, start), None, length=records)
        (after, _), (last, _) = end
        moved = optax.tree.norm(jax.tree.map(jnp.subtract, after, last))
        return *found, moved / (every * decay_rate * optax.tree.norm(last))

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    return Converged(*map(np.asarray, jax.jit(jax.vmap(train))(stacked)))


def measure(config: Config) -> Measured:
    """The steps in both precisions, then the long runs."""
    alpha, rate = config.converging_learning_rate, config.adam_learning_rate
    adamw = wdjax.adamw(rate, config.adam_weight_decay)
    return Measured(
        f64=measure_steps(config, jnp.float64),
        f32=measure_steps(config, jnp.float32),
        l2=converge(wdjax.sgd_l2(alpha, config.l2), config, alpha * config.l2),
        adamw=converge(adamw, config, rate * config.adam_weight_decay),
    )


def residuals(
    predictions: Predictions, steps: Steps
) -> Float[np.ndarray, "steps pairs"]:
    """|B_{t+1} − what theory makes of B_t|, in parts of ‖W₁‖² + ‖W₂‖²."""
    balance = layer_balance.balance(
        jnp.asarray(steps.incoming), jnp.asarray(steps.outgoing)
    )
    pushes = layer_balance.balance(
        jnp.asarray(steps.gradient_in), jnp.asarray(steps.gradient_out)
    )
    alpha, delta, _ = predictions
    predicted = layer_balance.step(balance[:-1], alpha, delta, pushes)
    total = (steps.incoming + steps.outgoing)[1:]
    return np.abs(np.asarray(balance[1:] - predicted)) / total


def ratios(runs: Converged) -> Float[np.ndarray, "seeds records"]:
    """Of the larger norm to the smaller, in the worse pair."""
    squared = runs.outgoing / runs.incoming
    return np.sqrt(np.maximum(squared, 1 / squared)).max(axis=-1)


def judge(
    config: Config, predictions: Predictions, measured: Measured
) -> list[Finding]:
    """The recursion in both precisions, then where the runs end."""
    delta = predictions.decay_rate
    budget = f"{config.num_steps * delta:.3g}"
    recursions = [
        judged(
            f"B follows its recursion at every step, in float{bits}.",
            at_most(TOLERANCES[f"residual_f{bits}"]),
            stats.exact(residuals(predictions, steps).max()),
            predicted=f"off by at most {TOLERANCES[f'residual_f{bits}']:g} of ‖W‖²",
            measured=f"at most {residuals(predictions, steps).max():.1e}",
            budget=budget,
            convention=CONVENTION,
            notes="ReLU MLP, two pairs, mini-batches; norms summed in float64",
        )
        for bits, steps in ((64, measured.f64), (32, measured.f32))
    ]
    return [*recursions, _balanced(config, measured)]


def _balanced(config: Config, measured: Measured) -> Finding:
    last, other = ratios(measured.l2)[:, -1], ratios(measured.adamw)[:, -1]
    budget = config.converging_steps * config.converging_learning_rate * config.l2
    return judged(
        "Layers that have converged with L2 are equally large.",
        at_most(TOLERANCES["l2_norm_ratio"]),
        stats.mean_interval(last),
        spec=".5f",
        predicted=f"ratio of norms at most {TOLERANCES['l2_norm_ratio']:g}",
        seeds=len(last),
        budget=f"{budget:.3g}",
        convention=CONVENTION,
        notes=(
            f"the worst of all seeds {last.max():.5f}, from {config.unbalance:g} times "
            f"the usual first layer; at the end they move by at most "
            f"{measured.l2.drift.max():.1e} of what decay alone would take; AdamW's "
            f"ratio {np.mean(other):.2f}, from {other.min():.2f} to {other.max():.2f}"
        ),
    )


def draw(config: Config, predictions: Predictions, measured: Measured) -> Figure:
    """The recursion's residuals, its course, and where the layers end."""
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    both = {32: measured.f32, 64: measured.f64}
    worst = {n: residuals(predictions, one).max(axis=1) for n, one in both.items()}
    panels.residuals(left, worst, {n: TOLERANCES[f"residual_f{n}"] for n in both})
    left.set_title("(a) one step after another")
    steps, l2 = record_steps(config), measured.l2
    panels.course(middle, steps, predictions.flow, l2.outgoing - l2.incoming)
    middle.set_title("(b) B in long runs of SGD+L2")
    ends = {"AdamW": ratios(measured.adamw), "SGD+L2": ratios(l2)}
    panels.ratios(right, steps, ends, TOLERANCES["l2_norm_ratio"])
    right.set_title("(c) where the layers end")
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Train, judge and draw.

    Args:
        config: the experiment.
        workspace: gets ``layer_balance.svg`` and ``.png``, and a line per stage.

    Returns:
        One finding per sentence.
    """
    with jax.enable_x64(True), style.context():
        workspace.say("training step by step, and to the end")
        predictions, measured = predict(config), measure(config)
        workspace.say("drawing")
        workspace.save_figure(draw(config, predictions, measured), "layer_balance")
        return Outcome(judge(config, predictions, measured))  # in float64 too
