"""The finding of each leaf, of one optimizer or of a factory's."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wdjax.inspect.auditing.coupling import coupling, flips
from wdjax.inspect.auditing.kinds import (
    CLIPPED,
    FRACTIONS,
    FROZEN,
    Evidence,
    Finding,
    decide,
)
from wdjax.inspect.auditing.laboratory import Box, Leaves, difference, plus
from wdjax.inspect.auditing.measure import measure, rates
from wdjax.inspect.auditing.response import Response
from wdjax.inspect.auditing.trial import Shapes, Trial, elsewhere, here

IN_FRONT = "with decay it is what it is without, of the gradient g + λθ"


class Precision(NamedTuple):
    """Of the type that a box computes in.

    Attributes:
        epsilon: of the type.
        tolerance: the fraction of a response that counts as nothing.
    """

    epsilon: float
    tolerance: float


class Examined(NamedTuple):
    """A leaf's finding, the numbers behind it, and how many entries it has."""

    finding: Finding
    response: Response
    size: int


def examine(first: Trial, precision: Precision) -> list[Examined]:
    """What each leaf's decay is, of one optimizer.

    Args:
        first: the optimizer, where everything is measured.
        precision: of the type that it computes in.
    """
    shapes = [a.shape for a in first.path.start]
    trials = first, elsewhere(first.box, shapes)
    responses = measure(*trials, precision.epsilon)
    couplings = coupling(*trials)
    turns = flips(first.box, shapes)
    return [
        Examined(decide(Evidence(r, c, turn, precision.tolerance)), r, math.prod(shape))
        for r, c, turn, shape in zip(responses, couplings, turns, shapes, strict=True)
    ]


class Family(NamedTuple):
    """Optimizers that differ in their weight decay.

    Attributes:
        make: weight decay to the optimizer.
        decay: the weight decay to be examined.
        shapes: of the leaves.
        precision: of the type that they compute in.
    """

    make: Callable[[float], Box]
    decay: float
    shapes: Shapes
    precision: Precision

    def trial(self, decay: float) -> Trial:
        """A run of one of them."""
        return here(self.make(decay), self.shapes)


class Compared(NamedTuple):
    """With decay, and without."""

    with_decay: list[Examined]
    without: list[Examined]


def compare(family: Family) -> Compared:
    """What each leaf's decay is, and what is left without it."""
    one, none = family.trial(family.decay), family.trial(0.0)
    whole, base = (examine(trial, family.precision) for trial in (one, none))
    beyond: list[Examined] | None = None
    found = []
    in_front = _is_in_front(one, none, family)
    for i, (w, b) in enumerate(zip(whole, base, strict=True)):
        if b.finding.kind == "none":
            finding = _scaled_with_the_step(w.finding, i, one, none, family)
        elif w.finding.kind == b.finding.kind == "norm":
            finding = w.finding
        else:
            both = here(difference(one.box, none.box), family.shapes)
            beyond = beyond or examine(both, family.precision)
            finding = _beyond(beyond[i].finding, b.finding)
        if in_front[i] and finding.kind not in {*FRACTIONS, "none"}:
            kind = "trust" if w.finding.kind == "trust" else "coupled"
            reasons = (IN_FRONT, *_where(w.finding))
            finding = Finding(kind, reasons, None, family.decay)
        found.append(w._replace(finding=finding))
    return Compared(found, base)


def _is_in_front(one: Trial, none: Trial, family: Family) -> list[bool]:
    """Whether the decay is λθ in the gradient of each leaf, to rounding."""
    away, bare = (elsewhere(trial.box, family.shapes) for trial in (one, none))
    gaps = [_gaps(*pair, family.decay) for pair in ((one, none), (away, bare))]
    return [
        all(size > 0 and gap <= family.precision.tolerance * size for gap, size in leaf)
        for leaf in zip(*gaps, strict=True)
    ]


def _gaps(one: Trial, none: Trial, decay: float) -> list[tuple[float, float]]:
    """How far with decay is from λθ in the gradient, and from without, of each leaf."""
    path = none.path
    gradients = [
        plus(g, theta, decay)
        for g, theta in zip(path.gradients, path.thetas, strict=True)
    ]
    ours = one.updates
    theirs = Trial(none.box, replace(path, gradients=gradients)).updates
    leaves = range(len(path.start))
    return [(_gap(ours, theirs, i), _gap(ours, none.updates, i)) for i in leaves]


def _gap(ours: list[Leaves], others: list[Leaves], leaf: int) -> float:
    """The largest distance between two runs' updates of a leaf."""
    pairs = zip(ours, others, strict=True)
    return max(float(np.linalg.norm(a[leaf] - b[leaf])) for a, b in pairs)


def _beyond(beyond: Finding, base: Finding) -> Finding:
    """The decay's own kind, where the optimizer follows the weights anyhow."""
    without = f"without decay its kind is {base.kind}"
    if beyond.kind == "none":
        return replace(base, reasons=("the decay changes no update", *base.reasons))
    seen = [reason for reason in beyond.reasons if reason != FROZEN]
    return replace(beyond, reasons=(*seen, without), step=True)


def _scaled_with_the_step(
    finding: Finding, leaf: int, one: Trial, none: Trial, family: Family
) -> Finding:
    """Proximal decay, or decay after the step: both scale the step as well.

    With k the fraction of θ that is taken, proximal decay of δ has k = δ/(1 + δ), and
    decay after the step k = δ; both have (1 − k)s where decoupled decay has s.
    """
    if finding.kind not in FRACTIONS or finding.rates is None:
        return finding
    t = int(np.argmax(np.abs(finding.rates)))
    k = float(finding.rates[t])
    step = one.updates[t][leaf] + k * one.path.thetas[t][leaf]
    s = none.updates[t][leaf]
    energy = float(np.vdot(s, s))
    share = float(np.vdot(step, s)) / energy if energy else 1.0
    if abs(share - (1 - k)) > 1e-3 * abs(k):
        return finding
    double = float(rates(family.trial(2 * family.decay))[leaf][t])
    proximal = 2 * k / (1 + k)  # k of 2δ, for k = δ/(1 + δ)
    nearest = min(abs(double - proximal), abs(double - 2 * k))
    if nearest > 0.1 * abs(2 * k - proximal):  # neither, or lost to rounding
        return finding
    clipped = [reason for reason in finding.reasons if reason.startswith(CLIPPED)]
    if abs(double - proximal) < abs(double - 2 * k):
        seen = ("θ' = (θ + s)/(1 + δ)", *clipped)
        return replace(finding, kind="proximal", reasons=seen)
    seen = ("θ' = (1 − δ)(θ + s): after the step", *clipped)
    return replace(finding, reasons=seen)


def _where(finding: Finding) -> tuple[str, ...]:
    return tuple(r for r in finding.reasons if r.startswith("through"))
