"""The methods of the studies: an optimizer, what it removes, and where to look."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

import wdjax
from wdjax.theory import scale_invariant

Hypers = Mapping[str, Float[Array, ""]]
Schedule = Callable[[Array], Float[Array, ""]]


class Range(NamedTuple):
    """The ends of a logarithmic axis."""

    low: float
    high: float

    def values(self, num: int) -> Float[np.ndarray, " num"]:
        """``num`` values, neighbours in one ratio."""
        return np.geomspace(self.low, self.high, num)


class Method(NamedTuple):
    """One panel: an optimizer, its axes, and how its best decay should move.

    Attributes:
        make: the optimizer, from hyper-parameters, schedule αη_t and momentum.
        pull: the fraction of θ removed per unit of learning rate, δ_t/α_t, from
            hyper-parameters, momentum and optimizer state.
        learning_rates: the values of α.
        decays: the values of λ, in the panel's own convention.
        symmetry: predicts the slope.
    """

    make: Callable[[Hypers, Schedule, float], optax.GradientTransformation]
    pull: Callable[[Hypers, float, PyTree], Float[Array, ""]]
    learning_rates: Range
    decays: Range
    symmetry: scale_invariant.Symmetry


METHODS = {
    "SGD+L2": Method(
        make=lambda h, lr, beta: wdjax.sgd_l2(lr, h["decay"], momentum=beta),
        pull=lambda h, beta, state: h["decay"] / (1 - beta),
        learning_rates=Range(0.5, 12),
        decays=Range(2.5e-5, 6e-3),
        symmetry=scale_invariant.SGD_L2,
    ),
    "SGDW": Method(
        make=lambda h, lr, beta: wdjax.sgdw(
            lr,
            h["decay"],
            convention=wdjax.PAPER,
            momentum=beta,
            peak_learning_rate=h["learning_rate"],
        ),
        pull=lambda h, beta, state: h["decay"] / h["learning_rate"],
        learning_rates=Range(0.5, 12),
        decays=Range(1.2e-3, 1.2e-1),
        symmetry=scale_invariant.SGDW_PAPER,
    ),
    "Adam+L2": Method(
        make=lambda h, lr, beta: wdjax.adam_l2(lr, h["decay"]),
        pull=lambda h, beta, state: h["decay"] * adam_gain(state),
        learning_rates=Range(4e-3, 4e-2),
        decays=Range(2e-4, 1e-1),
        symmetry=scale_invariant.ADAM_L2,
    ),
    "AdamW": Method(
        make=lambda h, lr, beta: wdjax.adamw(lr, h["decay"]),
        pull=lambda h, beta, state: h["decay"],
        learning_rates=Range(3e-3, 6e-2),
        decays=Range(0.08, 16),
        symmetry=scale_invariant.ADAMW_OPTAX,
    ),
}


def adam_gain(state: PyTree, b2: float = 0.999, eps: float = 1e-8) -> Float[Array, ""]:
    r"""By how much Adam multiplies a small gradient: mean of 1/(√v̂ + ε)."""
    adam = optax.tree.get(state, "ScaleByAdamState")
    correction = 1 - b2**adam.count
    gains = [1 / (jnp.sqrt(v / correction) + eps) for v in jax.tree.leaves(adam.nu)]
    return sum(map(jnp.sum, gains), start=jnp.zeros(())) / sum(g.size for g in gains)
