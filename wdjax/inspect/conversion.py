r"""λ from one meaning to another: into a hub, across if need be, and out again.

Under a decoupled decay the hub is δ, the fraction of θ removed in a step; under an L2
penalty it is λ₂. Between them there is one bridge, plain or heavy-ball SGD,

.. math:: \delta = \frac{\alpha\lambda_2}{1 - \beta},

and for an adaptive method none.
"""

import dataclasses
from typing import Any, NamedTuple

import jax

from wdjax import check
from wdjax.decay.convention import PEAK
from wdjax.decay.schedule import widened
from wdjax.inspect.meanings import ANY, Meaning, Sense, meaning
from wdjax.inspect.measures import Exactness, Exponent, Measure, Settings, total
from wdjax.theory import quadratic
from wdjax.types import ScalarLike, ScalarOrSchedule

WEAKEST_LAST: tuple[Exactness, ...] = ("exact", "asymptotic", "heuristic")

IN_WORDS = {
    "learning_rate": "the learning rate; of a schedule, its peak",
    "steps": "the length of the run",
    "momentum": "SGD's β, 0 for none",
    "b1": "Adam's β₁",
    "batch_size": "the examples in a step",
    "examples": "the examples in an epoch",
    "epochs": "the length of the run, or of the current restart",
    "gradient_norm": "the norm of the layer's gradient where its weights have norm 1",
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Converted:
    """A weight decay in another meaning; ``float()`` and formats take its value.

    Attributes:
        value: the number, or a traced array.
        exactness: ``"exact"``: the two are the same thing, step by step if they say
            what a step does. ``"asymptotic"``: they agree in a limit, a fixed point or
            a balance, on different paths. ``"heuristic"``: they agree in one respect.
        because: what holds, in a sentence or two.
    """

    value: Any
    exactness: Exactness = dataclasses.field(metadata={"static": True})
    because: str = dataclasses.field(metadata={"static": True})

    def __float__(self) -> float:
        """The value as a Python number."""
        return float(self.value)

    def __format__(self, spec: str) -> str:
        """The value, where there is a format; else all."""
        return format(float(self), spec) if spec else str(self)

    def __str__(self) -> str:
        """The value and how far it holds."""
        number = f"{self:.6g}" if check.is_concrete(self.value) else self.value
        return f"{number} ({self.exactness}: {self.because})"


def convert(
    weight_decay: ScalarLike,
    source: Sense,
    target: Sense,
    *,
    learning_rate: ScalarOrSchedule | None = None,
    peak_learning_rate: ScalarLike | None = None,
    steps: ScalarLike | None = None,
    momentum: ScalarLike | None = None,
    b1: ScalarLike | None = None,
    batch_size: ScalarLike | None = None,
    examples: ScalarLike | None = None,
    epochs: ScalarLike | None = None,
    gradient_norm: ScalarLike | None = None,
) -> Converted:
    r"""The weight decay that means in ``target`` what it means in ``source``.

    Every meaning has a leg to a hub and one back: :math:`\delta`, the fraction of θ
    that is removed in a step, or :math:`\lambda_2` of an L2 penalty. SGD alone leads
    from one hub to the other,

    .. math:: \delta = \frac{\alpha\lambda_2}{1-\beta}.

    Under a schedule :math:`\delta` is that of the peak, and so is all that describes a
    step (timescale, half-life, rotation, …). Two conventions with another exponent
    :math:`b` of :math:`\eta_t` share no more than one number then, and are given the
    same budget, a heuristic:

    .. math:: \delta' \sum_t \eta_t^{b'} = \delta \sum_t \eta_t^{b}.

    To give them the same peak instead, convert to ``"decay_rate"`` and on from there;
    so too from one setting to another, by two calls with the same meaning between:

    >>> tau = wdjax.convert(0.1, "optax", "timescale:epochs", learning_rate=1e-3,
    ...                     batch_size=128, examples=50_000).value
    >>> wdjax.convert(tau, "timescale:epochs", "optax", learning_rate=2e-3,
    ...               batch_size=512, examples=50_000).value  # 0.2

    Args:
        weight_decay: the value under ``source``, at least 0.
        source: a :class:`~wdjax.Convention` or a name, such as ``"pytorch:AdamW"``,
            ``"keras:L2"``, ``"normalised"``; ``wdjax.inspect.MEANINGS`` has them all.
        target: likewise.
        learning_rate: :math:`\alpha`, a number, or a schedule of steps.
        peak_learning_rate: :math:`\alpha`, where ``learning_rate`` is a schedule, or
            a number that is not the peak.
        steps: the length of the run, for budgets.
        momentum: SGD's :math:`\beta \in [0, 1)`; the learning rate is outside it.
        b1: Adam's :math:`\beta_1 \in [0, 1)`.
        batch_size: examples in a step.
        examples: examples in an epoch.
        epochs: length of the run or, with restarts, of the current one.
        gradient_norm: of a layer, at unit norm of its weights; for ``"norm:sgd"``.

    Returns:
        The value with how far it holds and why. Python numbers give a Python number,
        except under a schedule; anything but ``source`` and ``target`` may be traced.

    Raises:
        ValueError: a meaning is unknown; there is no conversion, with the reason; a
            setting is missing, by its name; or a number is senseless.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019: Proposition
        1 for SGD, Proposition 2 for the refusal, appendix B.1 for ``"normalised"``.
        Wang & Aitchison, *How to set AdamW's weight decay as you scale model and
        dataset size*, 2024, for timescales. Kosson, Messmer & Jaggi, *Rotational
        Equilibrium*, 2024, for rotations and norms.
    """
    origin, goal = meaning(source), meaning(target)
    at = _settings(
        learning_rate,
        peak_learning_rate,
        Settings(
            steps=steps,
            momentum=momentum,
            b1=b1,
            batch_size=batch_size,
            examples=examples,
            epochs=epochs,
            gradient_norm=gradient_norm,
        ),
    )
    _check_value(origin, weight_decay)
    _check_bases(origin, goal)
    if origin.measure is goal.measure:
        return Converted(weight_decay, "exact", f"Both are {goal.measure.formula}.")
    _check_given(origin, goal, at)
    return _through_hubs(widened(weight_decay), origin, goal, at)


def _settings(learning_rate: Any, peak: Any, at: Settings) -> Settings:
    """The settings, checked, with the learning rate that δ belongs to."""
    if learning_rate is not None:
        check.non_negative("learning_rate", learning_rate)
        if not callable(learning_rate):
            check.positive("learning_rate", learning_rate)
    if peak is not None:
        check.positive("peak_learning_rate", peak, PEAK)
    elif callable(learning_rate):
        raise ValueError(
            "learning_rate is a schedule; give peak_learning_rate=…, the largest value "
            "that it takes."
        )
    for name in ("steps", "batch_size", "examples", "epochs", "gradient_norm"):
        if getattr(at, name) is not None:
            check.positive(name, getattr(at, name))
    for name in ("momentum", "b1"):
        if getattr(at, name) is not None:
            check.below_one(name, getattr(at, name))
    scheduled = callable(learning_rate)
    rate = peak if scheduled or learning_rate is None else learning_rate
    _check_peak(rate, peak)
    at = at._replace(rate=rate, peak=peak)
    numbers = {k: widened(v) for k, v in at._asdict().items() if v is not None}
    if scheduled:
        numbers |= {"schedule": learning_rate, "steps": _counted(at.steps)}
    return Settings(**numbers)


def _check_peak(rate: Any, peak: Any) -> None:
    known = [v is not None and check.is_concrete(v) for v in (rate, peak)]
    if all(known) and rate > peak:
        raise ValueError(
            f"learning_rate is {float(rate):g}, above peak_learning_rate = "
            f"{float(peak):g}; the peak is the largest value of the run."
        )


def _counted(steps: Any) -> int | None:
    """Steps over which a schedule is summed."""
    if steps is None:
        return None
    if not check.is_concrete(steps) or int(steps) != steps:
        raise ValueError(
            f"steps is {steps}; under a schedule it must be a whole number that is "
            "known before the run, to sum over."
        )
    return int(steps)


def _check_value(origin: Meaning, weight_decay: Any) -> None:
    if callable(weight_decay):
        raise ValueError(
            f"weight_decay is the schedule {weight_decay!r}; convert a number. Between "
            "conventions a schedule is multiplied by what 1.0 is converted to: "
            "wdjax.rate.product(schedule, wdjax.convert(1.0, …).value)."
        )
    if origin.measure.of_no_decay:
        check.non_negative("weight_decay", weight_decay)
    else:
        check.positive(f"weight_decay, a {origin.name},", weight_decay)


def _check_bases(origin: Meaning, goal: Meaning) -> None:
    """Refuse a pair between which no number carries over."""
    bases = {origin.base, goal.base} - {ANY}
    if origin.measure.hub != goal.measure.hub and bases - {"SGD"}:
        adaptive = min(bases - {"SGD"})
        raise ValueError(
            f"No λ makes {origin.name} and {goal.name} the same: one is an L2 penalty, "
            f"the other decoupled decay, and {adaptive} rescales each weight's gradient"
            ", penalty included (Loshchilov & Hutter 2019, Proposition 2; for a "
            "rescaling that stays fixed, Proposition 3 has a penalty scaled likewise). "
            "They solve different problems: search for a new λ."
        )
    if len(bases) > 1:
        between = "l2" if origin.measure.hub == "penalty" else "decay_rate"
        raise ValueError(
            f"{origin.name} belongs to {origin.base}, {goal.name} to {goal.base}: "
            "their steps differ, and no λ makes them the same. To keep the "
            f"{'penalty' if between == 'l2' else 'fraction removed in a step'} alone, "
            f"convert to {between!r}, and on from there, each at its own settings."
        )


def _check_given(origin: Meaning, goal: Meaning, at: Settings) -> None:
    needs = [*origin.measure.needs, *goal.measure.needs]
    if origin.measure.hub != goal.measure.hub:
        needs += ["learning_rate", "momentum"]
    if _follow_otherwise(origin.measure, goal.measure, at):
        needs += ["steps"]
    given = {**at._asdict(), "learning_rate": at.rate}
    for name in needs:
        if given[name] is None:
            raise ValueError(
                f"{name} is needed to convert from {origin.name} to {goal.name}: "
                f"{IN_WORDS[name]}; give {name}=…."
            )
    follows = {origin.measure.exponent, goal.measure.exponent} - {None}
    if "steps" in needs and at.schedule is not None and not follows:
        raise ValueError(
            f"Neither {origin.name} nor {goal.name} says how the decay follows the "
            "schedule; convert by way of a convention such as 'optax' or 'paper'."
        )


def _through_hubs(
    value: Any, origin: Meaning, goal: Meaning, at: Settings
) -> Converted:
    here, there = origin.measure, goal.measure
    b, b_ = _exponents(here, there)
    pull = here.inwards(value, at, b)
    if (here.hub, there.hub) == ("penalty", "decay"):
        pull = quadratic.heavy_ball_decay(at.rate, pull, at.momentum)  # λ₂ → δ
    if "decay" in (here.hub, there.hub):
        _check_fraction(origin, pull)
    if _follow_otherwise(here, there, at):
        pull = pull * total(at, b) / total(at, b_)
        _check_fraction(goal, pull)
    if (here.hub, there.hub) == ("decay", "penalty"):
        pull = quadratic.heavy_ball_l2(at.rate, pull, at.momentum)  # δ → λ₂
    if not there.of_no_decay and check.is_concrete(pull) and pull == 0:
        raise ValueError(f"weight_decay is 0; without decay there is no {goal.name}.")
    notes = (*_bridge(here, there, at), *_following(here, there, at))
    names = f"{origin.name} is {here.formula}; {goal.name} is {there.formula}."
    sentences = (names, *(n.sentence for n in notes), here.condition, there.condition)
    grades: tuple[Exactness, ...] = (
        here.exactness,
        there.exactness,
        *(note.exactness for note in notes),
    )
    return Converted(
        there.outwards(pull, at, b_),
        max(grades, key=WEAKEST_LAST.index),
        " ".join(dict.fromkeys(filter(None, sentences))),  # each once
    )


def _exponents(here: Measure, there: Measure) -> tuple[Exponent, Exponent]:
    """How both follow the schedule; what does not say so goes along."""
    known = [b for b in (here.exponent, there.exponent) if b is not None] or [0.0]
    b = known[0] if here.exponent is None else here.exponent
    b_ = known[0] if there.exponent is None else there.exponent
    return b, b_


def _follow_otherwise(here: Measure, there: Measure, at: Settings) -> bool:
    """Whether the two follow the schedule that there is in different ways."""
    b, b_ = _exponents(here, there)
    return at.schedule is not None and b != b_


def _check_fraction(whose: Meaning, delta: Any) -> None:
    if check.is_concrete(delta) and delta > 1:
        raise ValueError(
            f"As {whose.name}, weight_decay removes {float(delta):g} of the weights in "
            "a step, and there is no more than 1. Check the value, its meaning and "
            "learning_rate."
        )


class _Note(NamedTuple):
    """How far a part of the way holds; the sentence may be empty."""

    exactness: Exactness
    sentence: str


def _bridge(here: Measure, there: Measure, at: Settings) -> list[_Note]:
    """From the loss to the step or back."""
    if here.hub == there.hub:
        return []
    if check.is_concrete(at.momentum) and at.momentum == 0:
        return [_Note("exact", "SGD without momentum: δ_t = α_tλ₂ in every step.")]
    return [
        _Note(
            "asymptotic",
            "SGD with momentum: δ = αλ₂/(1 − β) has the same fixed point, reached on "
            "another path.",
        )
    ]


def _following(here: Measure, there: Measure, at: Settings) -> list[_Note]:
    """Along the schedule."""
    if here.hub == there.hub == "penalty":
        return [_Note("exact", "Both add the same penalty to the loss.")]
    if _follow_otherwise(here, there, at):
        return [
            _Note(
                "heuristic",
                "They follow the schedule in different ways, so that no λ makes their "
                "steps equal; this one gives the same budget Σδ_t.",
            )
        ]
    b, b_ = here.exponent, there.exponent
    if b is None or b_ is None:
        peak = at.schedule is not None and "steps" not in (*here.needs, *there.needs)
        return [_Note("exact", "At the peak of the schedule.")] if peak else []
    if b != b_:
        return [
            _Note(
                "exact",
                "At a constant learning rate; under a schedule they part, and the "
                "conversion is another one.",
            )
        ]
    if here.hub == there.hub:
        return [_Note("exact", "Both remove the same fraction of θ in every step.")]
    return []
