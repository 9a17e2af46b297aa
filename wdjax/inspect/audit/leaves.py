"""The finding of each leaf, of one optimizer or of a factory's."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wdjax.inspect.audit.coupling import coupling, flips
from wdjax.inspect.audit.kinds import FROZEN, Evidence, Finding, decide
from wdjax.inspect.audit.laboratory import Box, difference, plus
from wdjax.inspect.audit.measure import STEPS, Shapes, measure, rates
from wdjax.inspect.audit.response import Response
from wdjax.inspect.audit.trial import Trial, drawn

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


def examine(box: Box, shapes: Shapes, precision: Precision) -> list[Examined]:
    """What each leaf's decay is, of one optimizer.

    Args:
        box: the optimizer.
        shapes: of its leaves.
        precision: of the type that it computes in.
    """
    responses = measure(box, shapes, precision.epsilon)
    couplings = coupling(box, shapes)
    turns = flips(box, shapes)
    return [
        Examined(decide(Evidence(r, c, turn, precision.tolerance)), r, math.prod(shape))
        for r, c, turn, shape in zip(responses, couplings, turns, shapes, strict=True)
    ]


class Compared(NamedTuple):
    """With decay, and without."""

    with_decay: list[Examined]
    without: list[Examined]


def compare(
    make: Callable[[float], Box], decay: float, shapes: Shapes, precision: Precision
) -> Compared:
    """What each leaf's decay is, of a family of optimizers.

    Args:
        make: weight decay to the optimizer.
        decay: the weight decay to be examined.
        shapes: of the leaves.
        precision: of the type that they compute in.
    """
    one, none = make(decay), make(0.0)
    whole = examine(one, shapes, precision)
    base = examine(none, shapes, precision)
    beyond: list[Examined] | None = None
    found = []
    in_front = _is_in_front(one, none, decay, shapes, precision)
    for i, (w, b) in enumerate(zip(whole, base, strict=True)):
        if b.finding.kind == "none":
            finding = w.finding
            if finding.kind in {"decoupled", "growing"}:
                finding = _scaled_with_the_step(
                    finding, i, make, decay, shapes, precision
                )
        elif w.finding.kind == b.finding.kind == "norm":
            finding = w.finding
        else:
            beyond = beyond or examine(difference(one, none), shapes, precision)
            finding = _beyond(beyond[i].finding, b.finding)
        if in_front[i] and finding.kind not in {"decoupled", "growing", "none"}:
            kind = "trust" if w.finding.kind == "trust" else "coupled"
            finding = Finding(kind, (IN_FRONT, *_where(w.finding)), None, decay)
        found.append(w._replace(finding=finding))
    return Compared(found, base)


def _is_in_front(
    one: Box, none: Box, decay: float, shapes: Shapes, precision: Precision
) -> list[bool]:
    """Whether the decay is λθ in the gradient, to rounding."""
    path = drawn(shapes, STEPS, seed=1)
    gradients = [
        plus(g, theta, decay)
        for g, theta in zip(path.gradients, path.thetas, strict=True)
    ]
    ours = Trial(one, path).updates
    theirs = Trial(none, replace(path, gradients=gradients)).updates
    plain = Trial(none, path).updates
    same = []
    for i in range(len(shapes)):
        gap, size = (
            max(
                float(np.linalg.norm(a[i] - b[i]))
                for a, b in zip(ours, other, strict=True)
            )
            for other in (theirs, plain)
        )
        same.append(size > 0 and gap <= precision.tolerance * size)
    return same


def _beyond(beyond: Finding, base: Finding) -> Finding:
    """The decay's own kind, where the optimizer follows the weights anyhow."""
    without = f"without decay its kind is {base.kind}"
    if beyond.kind == "none":
        return replace(base, reasons=("the decay changes no update", *base.reasons))
    seen = [reason for reason in beyond.reasons if reason != FROZEN]
    return replace(beyond, reasons=(*seen, without), step=True)


def _scaled_with_the_step(
    finding: Finding,
    leaf: int,
    make: Callable[[float], Box],
    decay: float,
    shapes: Shapes,
    precision: Precision,
) -> Finding:
    """Proximal decay, or decay after the step: both scale the step as well.

    With k the fraction of θ that is taken, proximal decay of δ has k = δ/(1 + δ), and
    decay after the step k = δ; both have (1 − k)s where decoupled decay has s.
    """
    trials = [Trial(make(d), drawn(shapes, STEPS, seed=1)) for d in (decay, 0.0)]
    t = int(np.argmax(np.abs(finding.rates)))
    k = float(finding.rates[t])
    step = trials[0].updates[t][leaf] + k * trials[0].path.thetas[t][leaf]
    s = trials[1].updates[t][leaf]
    energy = float(np.vdot(s, s))
    share = float(np.vdot(step, s)) / energy if energy else 1.0
    if abs(share - (1 - k)) > 1e-3 * abs(k):
        return finding
    double = examine_rates(make(2 * decay), shapes)[leaf][t]
    proximal = 2 * k / (1 + k)  # k of 2δ, for k = δ/(1 + δ)
    if abs(double - proximal) < abs(double - 2 * k):
        return replace(finding, kind="proximal", reasons=("θ' = (θ + s)/(1 + δ)",))
    return replace(finding, reasons=("θ' = (1 − δ)(θ + s): after the step",))


def examine_rates(box: Box, shapes: Shapes) -> list[np.ndarray]:
    """Only δ_t of each leaf and step."""
    return rates(Trial(box, drawn(shapes, STEPS, seed=1)))


def _where(finding: Finding) -> tuple[str, ...]:
    return tuple(r for r in finding.reasons if r.startswith("through"))
