"""The optimizers of ``end_of_training``, their schedule, and what theory says."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

import wdjax
from wdjax.theory import annealing, equilibrium

BETA = 0.9


@dataclasses.dataclass(frozen=True)
class Annealing:
    r"""A constant learning rate, and then :math:`\alpha/(1 + t/T)`.

    Attributes:
        decay_rate: :math:`\delta` at the peak.
        steady: steps at the peak.
        falling: steps of the fall, over the last of which ratios are judged.
        factor: by which the learning rate falls in all.
    """

    decay_rate: float
    steady: int
    falling: int
    factor: float = 5.0

    @property
    def steps(self) -> int:
        """All of them."""
        return self.steady + self.falling

    @property
    def horizon(self) -> float:
        """T."""
        return self.falling / (self.factor - 1)

    def budget(self, a: int) -> float:
        """Σδ_t, where δ goes as α (a = 1) or as its square (a = 2)."""
        fall = np.log(self.factor) if a == 1 else 1 - 1 / self.factor
        return float(self.decay_rate * (self.steady + self.horizon * fall))

    def multiplier(self, t: Any) -> Array:
        """η_t."""
        return 1 / (1 + jnp.maximum(t - self.steady, 0) / self.horizon)


class Method(NamedTuple):
    r"""An optimizer and what theory says of it.

    Attributes:
        make: from the peak α, its decay, the schedule αη_t and β₂.
        learning_rate: α at the peak.
        a: :math:`\delta_t \propto \alpha_t^a`.
        adam: whether √L stays in the ratio.
    """

    make: Callable[[float, float, Callable, float], optax.GradientTransformation]
    learning_rate: float
    a: int
    adam: bool

    @property
    def exponent(self) -> float:
        """Of the ratio in α."""
        if self.adam:
            return float(annealing.adamw_exponent(self.a))
        return float(annealing.sgd_exponent(self.a))

    def decay(self, decay_rate: float) -> float:
        """λ₂ or λ, for δ at the peak."""
        return decay_rate / self.learning_rate * (1.0 if self.adam else 1 - BETA)

    def optimizer(self, plan: Annealing, b2: float) -> Any:
        """On the schedule of a plan."""

        def rate(t: Any) -> Array:
            return self.learning_rate * plan.multiplier(t)

        return self.make(self.learning_rate, self.decay(plan.decay_rate), rate, b2)

    def norm(self, plan: Annealing, gradient_norm: float, size: int) -> float:
        """Of a layer in equilibrium at the peak."""
        alpha, delta = self.learning_rate, plan.decay_rate
        if self.adam:
            return float(equilibrium.rms_adamw(alpha, delta)) * size**0.5
        return float(equilibrium.norm_sgd(alpha, delta, BETA, gradient_norm))

    def ratio(self, plan: Annealing, multiplier: float, size: int) -> float:
        """What theory says of ‖g‖/‖w‖, or of ‖g‖/(√L‖w‖) for AdamW.

        Args:
            plan: of the learning rate.
            multiplier: η_t.
            size: d, of the layer.
        """
        alpha = self.learning_rate * multiplier
        decay = self.decay(plan.decay_rate)
        if self.a == 2:
            decay = annealing.corrected_decay(decay, alpha, self.learning_rate)
        if self.adam:
            return float(annealing.adamw_ratio(alpha, decay, 1.0, size))
        return float(annealing.sgd_l2_ratio(alpha, decay, BETA))


def _corrected_l2(alpha: float, l2: float, rate: Callable, b2: float) -> Any:
    def l2_t(t: Any) -> Any:
        return annealing.corrected_decay(l2, rate(t), alpha)

    return wdjax.sgd_l2(rate, l2_t, momentum=BETA)


METHODS = {
    "SGD+L2": Method(
        lambda alpha, l2, rate, b2: wdjax.sgd_l2(rate, l2, momentum=BETA),
        *(1.0, 1, False),
    ),
    "SGD+L2, corrected": Method(_corrected_l2, 1.0, 2, False),
    "AdamW": Method(
        lambda alpha, decay, rate, b2: wdjax.adamw(rate, decay, b2=b2),
        *(3e-3, 1, True),
    ),
    "AdamW, corrected": Method(
        lambda alpha, decay, rate, b2: wdjax.adamw(
            rate,
            decay,
            b2=b2,
            convention=wdjax.CORRECTED,
            peak_learning_rate=alpha,
        ),
        *(3e-3, 2, True),
    ),
}
