r"""What the updates of one leaf do when weights are changed, as numbers.

For weights :math:`θ_s` changed by :math:`\pm v` at one step, :math:`K_{st}` is half the
difference that it makes to the update :math:`u_t`. Decoupled decay has
:math:`K_{tt} = -δ_t v`, and no other response.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Response:
    """All responses are in units of the change, as a rate of decay is.

    Attributes:
        rates: δ_t of each step: −⟨K_tt, v⟩/‖v‖², v at right angles to θ, g and u.
        rates_elsewhere: the same where gradients are 1/100 and weights twice as large.
        off_line: the part of K_tt that is not along v.
        curved: how much K_tt differs for a change three times as large.
        kept: the largest K_st of t > s.
        kept_rates: −⟨K_st, v⟩/‖v‖² of t > s, the least and the largest.
        kept_off_line: the part of those that is not along v.
        of_start: the response to the weights that the state was made from.
        of_all: to all weights moved alike, those of the start too.
        crosstalk: the response of entries that were not changed themselves.
        of_ones: the response to the same change of all entries of the leaf.
        of_step: the response of u_t + δ_tθ_t to other weights: of the rest of the step.
        of_length: the response of the direction of u: 0 where only its length changes.
        ungated: the fraction of entries whose derivative ∂u/∂θ is not 0.
        half_gated: how far such a derivative is from 0 and from the largest.
        of_gradient: the response to other gradients.
        constant: u at large weights less u at their negative, where it does not grow.
        snapped: the fraction of weights near 0 that become exactly 0.
        norm_spread: the deviation of ‖θ + u‖ over steps of large weights, over its
            mean.
        rate_of_huge: δ_t of weights 10¹² times as large, where δ_t is largest.
        at_zero: the update of zero weights for zero gradients, if it keeps its
            direction.
        noise: what rounding alone may make of a response.
        finite: whether all updates are.
        followed: whether, after one that responds, any update is not 0.
    """

    rates: np.ndarray
    rates_elsewhere: np.ndarray
    off_line: float
    curved: float
    kept: float
    kept_rates: tuple[float, float]
    kept_off_line: float
    of_start: float
    of_all: float
    crosstalk: float
    of_ones: float
    of_step: float
    of_length: float
    ungated: float
    half_gated: float
    of_gradient: float
    constant: float
    snapped: float
    norm_spread: float
    rate_of_huge: float
    at_zero: float
    noise: float
    finite: bool
    followed: bool

    @property
    def largest(self) -> float:
        """The largest response to any change of weights."""
        return max(
            float(np.max(np.abs(self.rates))),
            self.off_line,
            self.kept,
            self.of_start,
            self.crosstalk,
            self.of_step,
        )


@dataclass(frozen=True)
class Coupling:
    """How far weights act as the gradient λ₂θ would.

    Attributes:
        l2: λ₂, fitted to the later updates, or to the same where none responds.
        besides: δ of decay in the same update besides.
        misfit: what of the response is left, as a fraction of it.
        in_full: the same for a finite change.
        curved: how the response to a gradient differs where gradients are small.
    """

    l2: float
    besides: float
    misfit: float
    in_full: float
    curved: float
