r"""The quantities by which weight decay is stated, each with its two legs to a hub.

There are two hubs, since the pull has two places:

* ``"decay"``: :math:`\delta`, the fraction of θ that a decoupled decay removes in a
  step, at the learning rate that the settings name;
* ``"penalty"``: :math:`\lambda_2`, the coefficient of :math:`\tfrac12\|\theta\|^2` in
  the loss.

A leg inwards takes a value to the hub, a leg outwards takes it from there.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from wdjax import check
from wdjax.decay.convention import PAPER, Convention, decay_rate
from wdjax.decay.rate import normalised_by_batch
from wdjax.decay.schedule import widened
from wdjax.theory import averaging, equilibrium
from wdjax.types import Schedule

Exactness: TypeAlias = Literal["exact", "asymptotic", "heuristic"]
Hub: TypeAlias = Literal["decay", "penalty"]


class Settings(NamedTuple):
    r"""At what a conversion is made; None where it was not given.

    Attributes:
        rate: the learning rate that :math:`\delta` belongs to: a schedule's peak.
        peak: :math:`\alpha`, if it may be another than ``rate``.
        schedule: :math:`\alpha_t`, if the learning rate is a schedule.
        steps: the length of the run.
        momentum: SGD's :math:`\beta`.
        b1: Adam's :math:`\beta_1`.
        batch_size: examples in a step.
        examples: examples in an epoch.
        epochs: of the run or, with restarts, of the current restart.
        gradient_norm: of a layer, at unit norm of its weights.
    """

    rate: Any = None
    peak: Any = None
    schedule: Schedule | None = None
    steps: Any = None
    momentum: Any = None
    b1: Any = None
    batch_size: Any = None
    examples: Any = None
    epochs: Any = None
    gradient_norm: Any = None


Exponent: TypeAlias = float | int
Leg: TypeAlias = Callable[[Any, Settings, Exponent], Any]
"""``(value, settings, exponent) -> value``; the exponent is that of the schedule."""


class Measure(NamedTuple):
    r"""A quantity that stands for a weight decay.

    Attributes:
        formula: what it says, in one line.
        inwards: from a value to the hub.
        outwards: from the hub to a value.
        needs: the settings that the legs read, by the name of their argument.
        exponent: :math:`b` of :math:`\delta_t \propto \eta_t^b` for what says how the
            decay follows the schedule; None for what describes one step or a sum.
        hub: where the legs lead.
        exactness: whether the legs are a definition or hold in a limit.
        condition: what has to be so, a sentence.
        of_no_decay: whether there is a value for no decay at all.
    """

    formula: str
    inwards: Leg
    outwards: Leg
    needs: tuple[str, ...] = ()
    exponent: Exponent | None = None
    hub: Hub = "decay"
    exactness: Exactness = "exact"
    condition: str = ""
    of_no_decay: bool = True


@functools.cache
def under(convention: Convention) -> Measure:
    """λ under a convention; one measure for equal conventions."""
    a, b = convention

    def rate_of(lam: Any, at: Settings) -> Any:
        alpha = 1.0 if at.rate is None else at.rate  # only where a = 0, and then α⁰
        return decay_rate(lam, alpha, convention, peak_learning_rate=at.peak)

    return Measure(
        formula=f"δ_t = λ{_power('α', a)}{_power('η_t', b)}",
        inwards=lambda lam, at, _: rate_of(lam, at),
        outwards=lambda delta, at, _: delta / rate_of(1.0, at),
        needs=("learning_rate",) if a else (),
        exponent=b,
    )


def _power(base: str, exponent: Exponent) -> str:
    """``base`` to a power, as a factor behind λ; nothing for a zero exponent."""
    if exponent == 0:
        return ""
    return f"·{base}" if exponent == 1 else f"·{base}^{exponent:g}"


def total(at: Settings, exponent: Exponent) -> Any:
    r"""Over the run, :math:`\sum_t (\eta_t/\eta)^b`: how many steps' worth of δ.

    Args:
        at: the settings; η belongs to ``at.rate``, so that a constant rate has η_t = η.
        exponent: :math:`b`.

    Returns:
        The sum; the number of steps at a constant learning rate.

    Raises:
        ValueError: the schedule exceeds its peak, or vanishes.
    """
    if at.schedule is None:
        return at.steps
    eta = widened(jax.vmap(at.schedule)(jnp.arange(at.steps))) / at.rate
    _check_multiplier(at, eta)
    return jnp.sum(eta**exponent)


def _check_multiplier(at: Settings, eta: Any) -> None:
    if not check.is_concrete(eta):
        return
    top = int(jnp.argmax(eta))
    if not 0 < eta[top] <= 1 + 1e-5:  # float32 schedules round at 1e-7
        raise ValueError(
            f"learning_rate reaches at most {float(at.rate * eta[top]):g}, in step "
            f"{top} of {at.steps}, and peak_learning_rate is {float(at.rate):g}; give "
            "the largest value that the schedule takes."
        )


DECAY_RATE = Measure(
    "δ, the fraction of θ removed in a step",
    lambda delta, at, _: delta,
    lambda delta, at, _: delta,
)
NORMALISED = Measure(
    "δ_t = λ_norm·√(b/(N·T))·η_t",
    lambda lam, at, _: lam * _normalisation(at),
    lambda delta, at, _: delta / _normalisation(at),
    ("batch_size", "examples", "epochs"),
    exponent=1,
    condition="That one λ_norm serves other batches and budgets is a rule of thumb.",
)


def _normalisation(at: Settings) -> Any:
    eta = 1.0
    if at.rate is not None:
        eta = decay_rate(1.0, at.rate, PAPER, peak_learning_rate=at.peak)
    return normalised_by_batch(1.0, at.batch_size, at.examples, at.epochs, eta)


TIMESCALE_IN_STEPS = Measure(
    "τ = 1/δ steps",
    lambda tau, at, _: averaging.timescale(tau),  # its own inverse
    lambda delta, at, _: averaging.timescale(delta),
    of_no_decay=False,
)
TIMESCALE_IN_SAMPLES = Measure(
    "τ = b/δ examples",
    lambda tau, at, _: at.batch_size / tau,
    lambda delta, at, _: at.batch_size / delta,
    ("batch_size",),
    of_no_decay=False,
)
TIMESCALE_IN_EPOCHS = Measure(
    "τ = b/(N·δ) epochs",
    lambda tau, at, _: averaging.timescale_in_epochs_decay(tau, _steps_per_epoch(at)),
    lambda delta, at, _: averaging.timescale_in_epochs(delta, _steps_per_epoch(at)),
    ("batch_size", "examples"),
    of_no_decay=False,
)
HALF_LIFE_IN_STEPS = Measure(
    "h = ln 2/−ln(1 − δ) steps",
    lambda h, at, _: averaging.half_life_decay(h),
    lambda delta, at, _: _half_life(delta),
    of_no_decay=False,
)
HALF_LIFE_IN_EPOCHS = Measure(
    "h = (b/N)·ln 2/−ln(1 − δ) epochs",
    lambda h, at, _: averaging.half_life_decay(h * _steps_per_epoch(at)),
    lambda delta, at, _: _half_life(delta) / _steps_per_epoch(at),
    ("batch_size", "examples"),
    of_no_decay=False,
)


def _steps_per_epoch(at: Settings) -> Any:
    return at.examples / at.batch_size


def _half_life(delta: Any) -> Any:
    if check.is_concrete(delta) and delta >= 1:
        raise ValueError(
            "With a decay rate of 1 all is gone in one step, and nothing has a "
            "half-life; lower weight_decay or learning_rate."
        )
    return averaging.half_life(delta)


BUDGET = Measure(
    "Σ_t δ_t over the run",
    lambda budget, at, b: budget / total(at, b),
    lambda delta, at, b: delta * total(at, b),
    ("steps",),
)
BALANCE = (
    "For scale-invariant weights, once decay and gradient noise balance, to leading "
    "order in δ/(1 − β)."
)
ADAM_ROTATION = Measure(
    "φ = √(2δ(1 − β₁)/(1 + β₁)) radians a step",
    lambda phi, at, _: equilibrium.rotation_decay(phi, at.b1),
    lambda delta, at, _: equilibrium.rotation(delta, at.b1),
    ("b1",),
    exactness="asymptotic",
    condition=BALANCE,
)
SGD_ROTATION = Measure(
    "φ = √(2δ(1 − β)/(1 + β)) radians a step",
    lambda phi, at, _: equilibrium.rotation_decay(phi, at.momentum),
    lambda delta, at, _: equilibrium.rotation(delta, at.momentum),
    ("momentum",),
    exactness="asymptotic",
    condition=BALANCE,
)
ADAM_RMS = Measure(
    "rms(θ_i) = α_t/√(2δ)",
    lambda rms, at, _: equilibrium.rms_adamw_decay(at.rate, rms),
    lambda delta, at, _: equilibrium.rms_adamw(at.rate, delta),
    ("learning_rate",),
    exactness="asymptotic",
    condition=BALANCE,
    of_no_decay=False,
)
SGD_NORM = Measure(
    "‖θ‖ = √(α_t·G/((1 − β)√(2δ))), G = rms‖gradient‖ at ‖θ‖ = 1",
    lambda norm, at, _: equilibrium.norm_sgd_decay(
        at.rate, norm, at.momentum, at.gradient_norm
    ),
    lambda delta, at, _: equilibrium.norm_sgd(
        at.rate, delta, at.momentum, at.gradient_norm
    ),
    ("learning_rate", "momentum", "gradient_norm"),
    exactness="asymptotic",
    condition=BALANCE,
    of_no_decay=False,
)
L2 = Measure(
    "½λ₂‖θ‖² in the loss",
    lambda l2, at, _: l2,
    lambda l2, at, _: l2,
    exponent=1,  # an L2 penalty's pull is multiplied by the learning rate
    hub="penalty",
)
KERAS_L2 = Measure(
    "l‖θ‖² in the loss: λ₂ = 2l",
    lambda l, at, _: 2 * l,
    lambda l2, at, _: l2 / 2,
    exponent=1,
    hub="penalty",
)
