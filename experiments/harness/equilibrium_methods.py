"""The optimizers of ``equilibrium``, and what decay makes δ of each."""

from collections.abc import Callable
from typing import NamedTuple

import optax

import wdjax
from wdjax.theory import equilibrium

BETA, B2_LION = 0.9, 0.99


class Rates(NamedTuple):
    """A learning rate, and the decay that makes δ of it."""

    learning_rate: float
    decay: float


ALPHAS = {"AdamW": 3e-3, "SGD+L2": 1.0, "Adam+L2": 3e-3, "Lion": 1e-3}

MAKE: dict[str, Callable[[Rates], optax.GradientTransformation]] = {
    "AdamW": lambda r: wdjax.adamw(*r),
    "SGD+L2": lambda r: wdjax.sgd_l2(*r, momentum=BETA),
    "Adam+L2": lambda r: wdjax.adam_l2(*r),
    "Lion": lambda r: wdjax.lionw(*r, b2=B2_LION),
}

CONVENTIONS = {
    "AdamW": "Optax's λ",
    "Lion": "Optax's λ",
    "SGD+L2": "λ₂ of ½‖θ‖², δ = αλ₂/(1−β)",
    "Adam+L2": "λ₂ of ½‖θ‖², δ = αλ₂/√v̂",
}


def rates(name: str, decay_rate: float) -> Rates:
    """Of all but Adam with L2, whose δ is not known from its rates alone."""
    alpha = ALPHAS[name]
    if name == "SGD+L2":
        return Rates(alpha, decay_rate * (1 - BETA) / alpha)
    return Rates(alpha, decay_rate / alpha)


def adam_l2_rates(decay_rate: float, gradient_norm: float, size: int) -> Rates:
    r"""Of Adam with L2, where δ is :math:`\alpha\lambda_2/s`.

    Args:
        decay_rate: δ.
        gradient_norm: G, of the layer.
        size: d, of the layer.

    Returns:
        The rates for the gradient's size s in equilibrium.
    """
    alpha = ALPHAS["Adam+L2"]
    # s = G/(d·rms) and rms = α/√2δ, as AdamW's.
    s = gradient_norm / (size * equilibrium.rms_adamw(alpha, decay_rate))
    return Rates(alpha, float(decay_rate * s / alpha))
