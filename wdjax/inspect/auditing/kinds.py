"""From responses to a kind of weight decay, with what speaks for it."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from wdjax.inspect.auditing.response import Coupling, Response

Kind: TypeAlias = Literal[
    "none",
    "decoupled",
    "coupled",
    "trust",
    "proximal",
    "gated",
    "target",
    "norm",
    "growing",
    "unknown",
]
FROZEN = "no gradient moves these weights, but they decay"
AWAY = "weights of 0 without a gradient move: it pulls towards another point"
SCALED = "the response is scaled by a number that depends on the weights"
UNKNOWN_MEMORY = "its state holds the weights, in no way that is known here"
FRACTIONS = ("decoupled", "growing")
CLIPPED = "the decay is clipped together with the step: "
OWN_RATE = "entry by entry it responds, in no one proportion to the weights"
UNFOLLOWED = (
    "of the updates that were measured none follows the first that depends on the "
    "weights: whether it is remembered cannot be told"
)


@dataclass(frozen=True)
class Finding:
    """What one leaf's decay is.

    Attributes:
        kind: of decay.
        reasons: sentences, what was seen and what could not be told.
        rates: δ_t of each step, where there is such a number.
        l2: λ₂, where weights act as the gradient λ₂θ would.
        step: whether the rest of the update follows the weights.
    """

    kind: Kind
    reasons: tuple[str, ...]
    rates: np.ndarray | None = None
    l2: float | None = None
    step: bool = False


@dataclass(frozen=True)
class Evidence:
    """All that was measured of a leaf, and what counts as nothing.

    Attributes:
        response: to weights.
        coupling: whether weights act as a gradient.
        flips_at: λ₂ for which the gradient −λ₂θ is none, of methods by sign; 0 else.
        tolerance: the fraction of the largest response that counts as nothing.
    """

    response: Response
    coupling: Coupling
    flips_at: float
    tolerance: float

    def small(self, *numbers: float) -> bool:
        """Whether numbers are nothing beside the largest response."""
        r = self.response
        limit = max(self.tolerance * r.largest, r.noise)
        return all(abs(number) <= limit for number in numbers)

    @property
    def still(self) -> bool:
        """Whether no change of weights shows."""
        return self.response.largest <= self.response.noise

    @property
    def forgets(self) -> bool:
        """Whether no later update shows a change of weights."""
        return self.small(self.response.kept, self.response.of_start)

    @property
    def steady(self) -> bool:
        """Whether δ_t is the same for other weights and gradients."""
        r = self.response
        return self.small(float(np.max(np.abs(r.rates - r.rates_elsewhere))), r.curved)

    @property
    def on_line(self) -> bool:
        """Whether all responses lie along the change, seen at right angles."""
        return self.small(self.response.off_line, self.response.kept_off_line)


def decide(e: Evidence) -> Finding:
    """The kind that a leaf's evidence fits; unknown where none does."""
    finding = _fitting(e)
    if finding.kind not in FRACTIONS or finding.rates is None:
        return finding
    rate, huge = _largest(finding.rates), e.response.rate_of_huge
    if not abs(huge) < 0.999 * abs(rate):
        return finding
    seen = f"{CLIPPED}of very large weights it takes {huge:.2g}, not {rate:.3g}"
    return replace(finding, reasons=(*finding.reasons, seen))


def _fitting(e: Evidence) -> Finding:
    r = e.response
    if not r.finite:
        return Finding("unknown", ("the updates are not finite",))
    if e.still:
        return _by_sign(e) or Finding(
            "none",
            (f"no change of the weights changes any of {len(r.rates)} updates",),
        )
    if r.norm_spread < max(1e-6, e.tolerance):
        return Finding("norm", ("‖θ + u‖ stays the same whatever ‖θ‖ is",))
    return _in_front(e) or _by_sign(e) or _behind(e)


def _behind(e: Evidence) -> Finding:
    """What does not act as a gradient would."""
    if not e.response.followed:
        return Finding("unknown", (UNFOLLOWED,))
    return _forgetful(e) if e.forgets else _remembering(e)


def _in_front(e: Evidence) -> Finding | None:
    """An L2 penalty: θ acts as the gradient λ₂θ."""
    c, r = e.coupling, e.response
    fits = c.misfit <= e.tolerance and c.in_full <= 10 * e.tolerance
    if not fits or not c.l2 > e.tolerance**2:
        return None
    seen = f"a change v of θ is a change {c.l2:.3g}·v of the gradient, in every update"
    elsewhere = _elsewhere(e)
    if elsewhere is not None:
        return Finding("target", (seen, elsewhere), None, c.l2)
    if e.forgets and e.on_line and e.steady:
        same = "plain gradient descent: an L2 penalty and weight decay are the same"
        kind = _signed(r.rates)
        return Finding(kind, (seen, same), r.rates, c.l2)
    where = (
        "through momentum"
        if c.curved <= e.tolerance
        else "through a preconditioner or a norm of the gradient"
    )
    reasons = [seen, where]
    if not e.small(c.besides):
        reasons.append(f"and a pull of {c.besides:.3g} besides")
    if not e.small(r.of_start):
        reasons.append("some of it towards the start")
    return Finding("coupled", tuple(reasons), None, c.l2)


def _elsewhere(e: Evidence) -> str | None:
    """That a pull is towards another point than 0."""
    r = e.response
    if e.small(r.of_all) and not e.small(r.of_start):
        return "weights and those of the start, moved alike, change no update"
    return AWAY if r.at_zero > r.noise else None


def _by_sign(e: Evidence) -> Finding | None:
    """An L2 penalty in front of a method that goes by signs, or normalises."""
    if not e.flips_at:
        return None
    seen = f"the update turns round where the gradient is −{e.flips_at:.3g}·θ"
    if e.on_line and not e.small(e.response.crosstalk):
        return Finding("trust", (seen, SCALED), None, e.flips_at)
    how = "through a sign or a norm of the gradient"
    return Finding("coupled", (seen, how), None, e.flips_at)


def _forgetful(e: Evidence) -> Finding:
    """Kinds whose update depends on the weights of its own step alone."""
    r = e.response
    if e.on_line and e.steady:
        return _fraction(e)
    if r.constant:
        return _constant(r)
    if e.small(r.crosstalk) and 0 < r.ungated < 1 and r.half_gated < 1e-3:
        return Finding(
            "gated",
            (f"entry by entry it decays or not; here {r.ungated:.0%} of them do",),
        )
    if e.small(r.curved, r.of_ones):
        return Finding(
            "target", ("it draws entries to their mean: moved alike, none responds",)
        )
    return _scaled(e)


def _scaled(e: Evidence) -> Finding:
    """A response in a proportion that is not always the same."""
    r = e.response
    if not e.small(r.crosstalk):
        return Finding("trust", (SCALED,))
    if e.on_line and e.small(r.curved, r.of_step):
        return _following_gradients(r)
    return Finding("unknown", (OWN_RATE,))


def _fraction(e: Evidence) -> Finding:
    """A fraction of θ in each step, whatever the gradients."""
    r = e.response
    step = not e.small(r.of_step)
    if e.small(*r.rates):
        return Finding(
            "trust", ("the step follows the norm of the weights",), step=True
        )
    if r.at_zero > r.noise:
        return Finding("target", (AWAY,), r.rates, step=step)
    if min(r.rates.max(), -r.rates.min()) > 1e-3 * np.abs(r.rates).max():
        return Finding(
            "unknown",
            ("it takes of the weights in some steps, and adds to them in others",),
        )
    reasons = ["u = −δ_t θ + s, and s does not follow the decay"]
    if _signed(r.rates) == "growing":
        reasons.append("δ is negative: the weights grow, the sign is wrong")
    if step:
        reasons.append("s is scaled by the norm of the weights")
    if r.of_gradient <= r.noise:
        reasons.append(FROZEN)
    return Finding(_signed(r.rates), tuple(reasons), r.rates, step=step)


def _following_gradients(r: Response) -> Finding:
    """A fraction of θ that is another where the gradients are."""
    here, there = map(_largest, (r.rates, r.rates_elsewhere))
    return Finding(
        _signed(r.rates),
        (
            "u = −δ_t θ + s, and s does not follow the decay",
            f"δ_t follows the gradients: {here:.3g}, {there:.3g} at a 100th of them",
        ),
        r.rates,
    )


def _constant(r: Response) -> Finding:
    """A pull of constant size, as of an L1 penalty."""
    size = f"large weights are pulled by {r.constant:.3g}, however large (as by L1)"
    if r.snapped == 1:
        return Finding("proximal", (size, "and small ones become exactly 0"))
    return Finding("unknown", (size, "so it takes no fraction of θ"))


def _remembering(e: Evidence) -> Finding:
    """Kinds whose state holds something of the weights."""
    r = e.response
    if e.on_line and e.steady:
        return _linear_memory(e) or Finding("unknown", (UNKNOWN_MEMORY,))
    if e.small(r.of_all, r.crosstalk) and r.off_line < 0.1 * r.rates.min():
        return Finding("target", ("it pulls towards remembered weights",))
    scaled = e.on_line or e.small(r.of_length)
    if scaled and not e.small(r.crosstalk):
        return Finding("trust", (SCALED,))
    return Finding("unknown", (UNKNOWN_MEMORY,))


def _linear_memory(e: Evidence) -> Finding | None:
    """Kinds that take fixed fractions of weights, past ones too."""
    r = e.response
    if e.small(r.of_all):
        alike = "weights and what is remembered of them, moved alike, change no update"
        return Finding("target", (alike,), r.rates)
    if e.small(*r.rates):
        return Finding("target", ("it takes of remembered weights, not of these",))
    if e.small(r.of_start) and _positive(r, e):
        later = "later updates still take of the weights"
        return Finding("coupled", (later, "through momentum"))
    if r.of_all < 0.1 * r.largest:
        besides = (
            f"and responds by {r.of_all:.3g} to all weights moved alike: whether that "
            "is decay, only a factory of (learning_rate, weight_decay) tells"
        )
        return Finding("target", ("it pulls towards remembered weights", besides))
    return None


def _positive(r: Response, e: Evidence) -> bool:
    lowest = min(float(r.rates.min()), r.kept_rates[0])
    return lowest >= -e.tolerance * r.largest


def _largest(rates: np.ndarray) -> float:
    return float(rates[np.argmax(np.abs(rates))])


def _signed(rates: np.ndarray) -> Kind:
    return "decoupled" if rates.max() > -rates.min() else "growing"
