"""What is wrong with the rates of a run, whatever the leaves are."""

from collections.abc import Iterator

import numpy as np

from wdjax.inspect import rates
from wdjax.inspect.bases import UNKNOWN
from wdjax.inspect.findings import Finding, found
from wdjax.inspect.run import Run

TINY_BUDGET = 0.01
"""Weights lose 1 % in the whole run: less than the noise of any comparison."""

HUGE_BUDGET = 100.0
"""The weights average over a hundredth of the run. Published runs are below 50."""

EQUILIBRIUM_BUDGET = 3.0
"""From here on less than 5 % of the start is left, e⁻³."""


def of_signs(run: Run) -> Iterator[Finding]:
    """Rates that are no numbers, or have the wrong sign."""
    named = (
        ("learning_rate", run.learning_rate),
        ("l2", run.l2),
        ("the decay rate δ_t", run.decay),
    )
    for name, values in named:
        if not np.isfinite(values).all():
            t = rates.first(~np.isfinite(values))
            yield found(
                "rate-not-finite",
                f"{name} is {values[t]} in step {t}: every weight that it reaches is "
                "lost from there on.",
                "A decay λ/α_t is 0/0 where a warm-up starts at 0: give δ_t itself to "
                "wdjax.decay_weights, take convention=wdjax.PAPER, or start the "
                "schedule above 0.",
            )
        if (values < 0).any():
            t = rates.first(values < 0)
            yield found(
                "rate-negative",
                f"{name} is {values[t]:.3g} in step {t}: the weights grow.",
                "Check the schedule's end: one that is not clamped goes on falling.",
            )


def of_sizes(run: Run, strongest: float) -> Iterator[Finding]:
    """Rates that remove a whole weight in a step, at the largest multiplier."""
    largest = run.largest * strongest
    if largest < 1:
        return
    diverges = largest >= run.diverges_from
    multiplier = "" if strongest == 1 else f" (multiplier {strongest:g})"
    consequence = (
        "decay alone makes the weights grow without bound."
        if diverges
        else "such a step leaves nothing of the weights, or turns their signs."
    )
    yield found(
        "rate-diverges" if diverges else "rate-overshoots",
        f"δ_t reaches {largest:.3g} in step {run.peak}{multiplier}: {consequence}",
        "Lower weight_decay or learning_rate, and check the convention: "
        "λ = 0.1 is δ_t = 0.1·α_t for wdjax.OPTAX, and δ_t = 0.1·η_t for wdjax.PAPER.",
    )


def of_budget(run: Run) -> Iterator[Finding]:
    """A run too short, or too long, for its decay."""
    steps, total, tau = len(run.removed), rates.budget(run.removed), run.timescale
    if not 0 < total < np.inf:
        return
    left = rates.initial_weight_left(run.removed)
    if total < TINY_BUDGET:
        yield found(
            "budget-tiny",
            f"Σδ_t is {total:.2g}: the whole run takes {100 * total:.2g} % off the "
            "weights, and a run without decay will hardly differ.",
            f"For a timescale of the run's length give δ = {1 / steps:.2g}: "
            f"wdjax.rate.from_timescale({steps}). Or leave the decay out.",
        )
    elif tau > steps:
        yield found(
            "timescale-beyond-run",
            f"The timescale 1/δ is {tau:.3g} steps at the largest δ_t, and the run has "
            f"{steps}: the weights still hold {left:.0%} of their initialisation at "
            "the end.",
            "Raise the decay, or train longer, if the start shall be forgotten.",
        )
    if total > HUGE_BUDGET and run.largest < 1:
        yield found(
            "budget-huge",
            f"Σδ_t is {total:.3g}: at the largest δ_t the weights average over "
            f"{tau:.3g} of {steps} steps.",
            "Check the convention and the units: λ is not δ_t. For a timescale of a "
            f"tenth of the run give δ = {10 / steps:.2g}.",
        )
    if total < EQUILIBRIUM_BUDGET and run.equilibrium != UNKNOWN:
        yield found(
            "equilibrium-not-reached",
            f"Σδ_t is {total:.2g}, and weights settle from about 3 on: their size and "
            "rotation will still depend on the initialisation.",
            "Do not read the equilibrium values as a forecast of this run.",
        )


def of_knowledge(run: Run, pulled: bool) -> Iterator[Finding]:
    """What cannot be said before the run, or with the rates that were given."""
    if pulled and not run.has_decay and not run.has_l2:
        yield found(
            "rates-missing",
            "The optimizer pulls leaves, and both rates given here are 0: the numbers "
            "are not its own.",
            "Give the doctor the optimizer's weight_decay or l2 too.",
        )
    if not run.l2_is_known:
        yield found(
            "l2-not-predictable",
            "In front of an adaptive method L2 removes α_t·λ₂/(√v̂ + ε) of a weight in "
            "a step, which depends on the gradients: it is not in the numbers.",
            "Measure it in a run, or use decoupled decay, whose strength is known.",
        )
