r"""In bfloat16 a step of weight decay moves no weight below δ = 2⁻⁹.

Question.    Weights and updates in bfloat16: which weights does a step of decay move?
             And does each form that is made for bfloat16 decay as it should?
Prediction.  Of weights whose magnitudes are log-uniform over whole octaves,
             θ + bf16(−δθ) moves none for :math:`\delta < 2^{-9}`, all for
             :math:`\delta \ge 2^{-8}` and between them
             :math:`1 - \log_2(2^{-8}/\delta)`, ± 0.02. θ · bf16(1 − δ) moves none for
             :math:`\delta \le 2^{-9}` and else all. Master weights, error feedback and
             stochastic rounding leave :math:`(1-\delta)^T` of the weights after
             T = 1,000 steps of δ = 1e-4, within 3 standard errors; bfloat16 alone
             leaves all of them.
Run.         python -m experiments run bf16_no_op
Cost.        12 s of CPU time, compilation included.
Outcome.     All nine PASS: the ends exactly, on every number of 64 octaves; between
             them at most 0.0126 [0.0119, 0.0132] off (5 seeds); what is left is 0.98
             (master weights), 1.61 (error feedback) and 0.05 (stochastic rounding, 5
             seeds) standard errors below (1−δ)^T (2026-11-27).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, BFloat16, Float, Int
from matplotlib.figure import Figure

import wdjax
from experiments.harness import rounding_panels as panels
from experiments.harness.findings import Finding, Outcome, around, judged
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import stats
from wdjax.plots import style
from wdjax.stats import Interval
from wdjax.theory import rounding

SECONDS = 15
CLAIM = (
    "In bfloat16 a step of decay moves no weight for δ < 2⁻⁹ and every one from 2⁻⁸ "
    "on; master weights, error feedback and stochastic rounding leave (1−δ)^T."
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines the experiment; nothing is read from elsewhere."""

    seed: int = 5000
    num_seeds: int = 5
    num_weights: int = 65_536  # of each seed, for the share that moves
    num_octaves: int = 8
    num_rates: int = 15  # between the two ends
    decay_rate: float = 1e-4
    num_steps: int = 1_000
    record_every: int = 10
    num_copies: int = 16  # of each mantissa, where rounding is random


SMOKE = dataclasses.replace(
    Config(), seed=0, num_seeds=3, num_weights=4096, num_steps=100, decay_rate=1e-3
)

TOLERANCES = tolerances("bf16_no_op")
CONVENTION = "δ the fraction removed per step"
BITS = rounding.BFLOAT16

Weights = BFloat16[Array, " weights"]
FORMS = ("master weights", "error feedback", "stochastic rounding")


class Predictions(NamedTuple):
    """By theory alone.

    Attributes:
        lost: decay rates that move no weight as a sum.
        sure: decay rates that move every weight as a sum.
        between: decay rates that move some.
        moved: the share that each of ``between`` moves.
        factor_lost: decay rates that move no weight as a factor.
        factor_sure: decay rates that move every weight as a factor.
        left: of the weights after all steps.
    """

    lost: Float[np.ndarray, " rates"]
    sure: Float[np.ndarray, " rates"]
    between: Float[np.ndarray, " rates"]
    moved: Float[np.ndarray, " rates"]
    factor_lost: Float[np.ndarray, " rates"]
    factor_sure: Float[np.ndarray, " rates"]
    left: float


class Form(NamedTuple):
    """One way to decay for many steps, as fractions of the initial weights.

    Attributes:
        course: the mean over weights at each recorded step.
        last: of each weight, after the last step; independent in their rounding.
        seeds: repetitions with draws of their own; 0 where nothing is random.
    """

    course: Float[np.ndarray, " records"]
    last: Float[np.ndarray, " weights"]
    seeds: int


class Measured(NamedTuple):
    """Shares of weights that one step moves, and what many steps leave."""

    lost: Float[np.ndarray, " rates"]
    sure: Float[np.ndarray, " rates"]
    between: Float[np.ndarray, "seeds rates"]
    factor_lost: Float[np.ndarray, " rates"]
    factor_sure: Float[np.ndarray, " rates"]
    forms: dict[str, Form]
    plain: Form


def predict(config: Config) -> Predictions:
    """The thresholds with rates about them, the share between, and what is left."""
    lost, sure = rounding.largest_lost(BITS), rounding.smallest_sure(BITS)
    octaves = (np.arange(config.num_rates) + 0.5) / config.num_rates
    between = lost * 2**octaves
    below, above = 2.0 ** -np.arange(1, 9), 2.0 ** np.arange(6)
    return Predictions(
        lost=np.sort([*(lost * below), lost * (1 - 2**-8)]),
        sure=sure * above,
        between=between,
        moved=np.asarray(rounding.fraction_moved(jnp.asarray(between), BITS)),
        factor_lost=np.sort([*(lost * below), lost]),
        factor_sure=np.sort([lost * (1 + 2**-8), *between, *(sure * above)]),
        left=(1 - config.decay_rate) ** config.num_steps,
    )


def every_weight() -> Weights:
    """Every bfloat16 number of 64 octaves about 1, of both signs."""
    mantissas = 1 + np.arange(2 ** (BITS - 1)) / 2 ** (BITS - 1)
    magnitudes = np.outer(2.0 ** np.arange(-32, 32), mantissas).ravel()
    return jnp.asarray([*magnitudes, *-magnitudes], jnp.bfloat16)


def random_weights(config: Config, seed: int) -> Weights:
    """Magnitudes log-uniform over whole octaves, with random signs."""
    magnitude_key, sign_key = jax.random.split(jax.random.key(seed))
    shape = (config.num_weights,)
    octaves = jax.random.uniform(magnitude_key, shape, maxval=config.num_octaves)
    signs = jax.random.rademacher(sign_key, shape, jnp.float64)
    return (signs * 2.0**-octaves).astype(jnp.bfloat16)


def moved_by_sum(theta: Weights, decay_rate: float) -> float:
    """The share of weights that θ + bf16(−δθ) moves, through the library and Optax."""
    decay = wdjax.decay_weights(decay_rate)
    # Not under jit, in which XLA may drop the rounding of the update.
    updates, _ = decay.update(jnp.zeros_like(theta), decay.init(theta), theta)
    return float(jnp.mean(optax.apply_updates(theta, updates) != theta))


def moved_by_factor(theta: Weights, decay_rate: float) -> float:
    """The share of weights that θ · bf16(1 − δ) moves."""
    return float(jnp.mean(theta * jnp.asarray(1 - decay_rate, theta.dtype) != theta))


def forms(seed: int | Int[Array, ""]) -> dict[str, Callable[..., Any]]:
    """The library's wrappers for narrow weights."""
    precision = wdjax.precision
    wrappers = (
        precision.with_master_weights,
        precision.with_error_feedback,
        lambda optimizer: precision.with_stochastic_rounding(optimizer, seed),
    )
    return dict(zip(FORMS, wrappers, strict=True))


def decay(
    optimizer: optax.GradientTransformation, theta: Weights, config: Config
) -> Float[Array, "records weights"]:
    """The weights at each recorded step, without any gradient, in float64."""

    def step(carry: Any, _: None) -> Any:
        theta, state = carry
        updates, state = optimizer.update(jnp.zeros_like(theta), state, theta)
        return (optax.apply_updates(theta, updates), state), None

    def stretch(carry: Any, _: None) -> Any:
        carry, _ = jax.lax.scan(step, carry, None, length=config.record_every)
        return carry, carry[0]

    records = config.num_steps // config.record_every
    start = (theta, optimizer.init(theta))
    visited = jax.lax.scan(stretch, start, None, length=records)[1]
    return visited.astype(jnp.float64)


def measure_form(name: str, config: Config) -> Form:
    """A wrapper on one weight of each mantissa; on many copies, where it draws.

    Rounding treats all octaves alike, and so weights with the same mantissa are one
    measurement where nothing is random.
    """
    random = name == "stochastic rounding"
    mantissas = 1 + np.arange(2 ** (BITS - 1)) / 2 ** (BITS - 1)
    copies = config.num_copies if random else 1
    theta = jnp.asarray(np.tile(mantissas, copies), jnp.bfloat16)

    bare = wdjax.decay_weights(config.decay_rate)

    @jax.jit
    @jax.vmap
    def run(seed: Int[Array, ""]) -> Float[Array, "records weights"]:
        return decay(forms(seed)[name](bare), theta, config)

    seeds = config.num_seeds if random else 1
    ratios = np.asarray(run(config.seed + jnp.arange(seeds))) / np.float64(theta)
    return Form(ratios.mean((0, 2)), ratios[:, -1].ravel(), seeds if random else 0)


def measure_plain(config: Config) -> Form:
    """Decay on bfloat16 weights as they are, on every weight."""
    optimizer, theta = wdjax.decay_weights(config.decay_rate), every_weight()
    visited = np.asarray(jax.jit(lambda w: decay(optimizer, w, config))(theta))
    ratios = visited / np.float64(theta)  # XLA may multiply by the reciprocal
    return Form(ratios.mean(1), ratios[-1], 0)


def measure(config: Config, predictions: Predictions) -> Measured:
    """One step at each rate, then many at one rate."""
    p, theta = predictions, every_weight()
    samples = [random_weights(config, config.seed + i) for i in range(config.num_seeds)]

    def shares(moved: Callable[..., float], rates: Any, weights: Weights) -> Any:
        return np.array([moved(weights, float(rate)) for rate in rates])

    return Measured(
        lost=shares(moved_by_sum, p.lost, theta),
        sure=shares(moved_by_sum, p.sure, theta),
        between=np.stack([shares(moved_by_sum, p.between, w) for w in samples]),
        factor_lost=shares(moved_by_factor, p.factor_lost, theta),
        factor_sure=shares(moved_by_factor, p.factor_sure, theta),
        forms={name: measure_form(name, config) for name in FORMS},
        plain=measure_plain(config),
    )


def judge(
    config: Config, predictions: Predictions, measured: Measured
) -> list[Finding]:
    """The ends, the middle, the factor, and the forms one by one."""
    p, m = predictions, measured
    ends = (
        ("θ + bf16(−δθ) moves no weight for δ < 2⁻⁹.", m.lost, 0.0),
        ("It moves every weight for δ ≥ 2⁻⁸.", m.sure, 1.0),
        ("θ · bf16(1−δ) moves no weight for δ ≤ 2⁻⁹.", m.factor_lost, 0.0),
        ("It moves every weight for δ > 2⁻⁹.", m.factor_sure, 1.0),
    )
    exact = [_end(claim, shares, predicted) for claim, shares, predicted in ends]
    still = _end(
        f"bf16 alone, δ = {config.decay_rate:g}: all is left.", m.plain.last, 1.0
    )
    restored = [_restored(config, p.left, name, form) for name, form in m.forms.items()]
    return [*exact[:2], _middle(p, m), *exact[2:], still, *restored]


def _end(claim: str, shares: Float[np.ndarray, " n"], predicted: float) -> Finding:
    worst = shares[np.argmax(np.abs(shares - predicted))]
    return judged(
        claim,
        around(predicted, TOLERANCES["ends"]),
        stats.exact(worst),
        predicted=f"{predicted:g}, exactly",
        convention=CONVENTION,
        notes="every bfloat16 number of 64 octaves; the worst",
    )


def _middle(predictions: Predictions, measured: Measured) -> Finding:
    errors = measured.between - predictions.moved[None, :]
    intervals = [stats.mean_interval(column) for column in errors.T]
    worst = max(intervals, key=lambda i: np.nan_to_num(abs(i.estimate), nan=np.inf))
    return judged(
        "Between them the share is 1 − log₂(2⁻⁸/δ).",
        around(0.0, TOLERANCES["middle"]),
        worst,
        spec=".4f",
        predicted=f"the share ± {TOLERANCES['middle']:g}",
        seeds=len(measured.between),
        convention=CONVENTION,
        notes=f"the rate furthest off, of {len(intervals)}; log-uniform weights",
    )


def standard_errors(form: Form, left: float) -> Interval:
    """How many standard errors the mean of what is left lies from ``left``."""
    ratios = form.last
    standard_error = np.std(ratios, ddof=1) / np.sqrt(len(ratios))
    return stats.exact((np.mean(ratios) - left) / standard_error)


def _restored(config: Config, left: float, name: str, form: Form) -> Finding:
    score = standard_errors(form, left)
    return judged(
        f"{name.capitalize()} leave{'' if name[-1] == 's' else 's'} (1−δ)^T.",
        around(0.0, TOLERANCES["standard_errors"]),
        score,
        predicted=f"{left:.5f} ± {TOLERANCES['standard_errors']:g} standard errors",
        measured=f"{np.mean(form.last):.5f}, {score.estimate:+.2f} standard errors",
        seeds=form.seeds,
        budget=f"{config.num_steps * config.decay_rate:.3g}",
        convention=CONVENTION,
        notes=f"{len(form.last)} weights, each mantissa alike",
    )


def draw(config: Config, predictions: Predictions, measured: Measured) -> Figure:
    """Which weights one step moves, and what many steps leave."""
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    p, m = predictions, measured
    as_sum = ([*p.lost, *p.sure], [*m.lost, *m.sure])
    as_factor = ([*p.factor_lost, *p.factor_sure], [*m.factor_lost, *m.factor_sure])
    panels.shares(left, BITS, p.between, m.between, as_sum=as_sum, as_factor=as_factor)
    left.set_title("(a) one step: predicted (lines) and measured")
    steps = config.record_every * (1 + np.arange(len(m.plain.course)))
    courses = {name: m.forms[name].course for name in FORMS}
    panels.course(right, steps, config.decay_rate, m.plain.course, courses)
    right.set_title(f"(b) many steps of δ = {config.decay_rate:g}")
    return figure


def run(config: Config, workspace: Workspace) -> Outcome:
    """Decay, judge and draw.

    Args:
        config: the experiment.
        workspace: gets ``bf16_no_op.svg`` and ``.png``, and a line per stage.

    Returns:
        One finding per sentence.
    """
    with jax.enable_x64(True), style.context():
        workspace.say("decaying every weight of bfloat16")
        predictions = predict(config)
        measured = measure(config, predictions)
        workspace.say("drawing")
        workspace.save_figure(draw(config, predictions, measured), "bf16_no_op")
    return Outcome(judge(config, predictions, measured))
