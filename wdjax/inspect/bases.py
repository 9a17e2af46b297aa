r"""What the doctor knows of each optimizer that decay, or L2, is put to.

Equilibria are those of :mod:`wdjax.theory.stationary`, at constant rates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from wdjax.theory import stationary


class Memory(NamedTuple):
    r"""The factors of an optimizer's averages.

    Attributes:
        momentum: :math:`\beta`; Adam's and Lion's :math:`\beta_1`.
        b2: :math:`\beta_2`, which only Lion's equilibrium needs.
    """

    momentum: Any
    b2: Any


class Equilibrium(NamedTuple):
    """A scale-invariant layer once it has forgotten its start.

    Attributes:
        rms: root mean square of its weights; ``None`` where it depends on gradients.
        rotation: the angle of a step, in radians; ``None`` likewise.
    """

    rms: float | None
    rotation: float | None


UNKNOWN = Equilibrium(None, None)


class Base(NamedTuple):
    r"""An optimizer without its decay.

    Attributes:
        memory: the defaults.
        decoupled: the equilibrium at :math:`(\alpha, \delta)` with decay behind it.
        coupled: the one at :math:`(\alpha, \lambda_2)` with L2 in front of it.
        removed: the fraction that L2 removes in a step, at :math:`(\alpha, \lambda_2)`;
            ``None`` where it depends on the gradients.
    """

    memory: Memory
    decoupled: Callable[[float, float, Memory], Equilibrium]
    coupled: Callable[[float, float, Memory], Equilibrium]
    removed: Callable[[Any, Any, Memory], Any] | None


def _unknown(rate: float, decay: float, memory: Memory) -> Equilibrium:
    del rate, decay, memory
    return UNKNOWN


def _adamw(alpha: float, delta: float, memory: Memory) -> Equilibrium:
    return Equilibrium(
        float(stationary.rms_adamw(alpha, delta, memory.momentum)),
        float(stationary.rotation_adamw(delta, memory.momentum)),
    )


def _lionw(alpha: float, delta: float, memory: Memory) -> Equilibrium:
    return Equilibrium(
        float(stationary.rms_lion(alpha, delta, *memory)),
        float(stationary.rotation_lion(delta, *memory)),
    )


def _sgdw(alpha: float, delta: float, memory: Memory) -> Equilibrium:
    del alpha
    return Equilibrium(None, float(stationary.rotation_sgdw(delta, memory.momentum)))


def _sgd_l2(alpha: float, l2: float, memory: Memory) -> Equilibrium:
    rotation = stationary.rotation_sgd_l2(alpha, l2, memory.momentum)
    return Equilibrium(None, float(rotation))


def _removed_by_sgd(alpha: Any, l2: Any, memory: Memory) -> Any:
    return alpha * l2 / (1 - memory.momentum)  # wdjax.theory.quadratic's heavy ball


BASES = {
    "adam": Base(Memory(0.9, 0.999), _adamw, _unknown, None),
    "lion": Base(Memory(0.9, 0.99), _lionw, _unknown, None),
    "sgd": Base(Memory(0.0, 0.0), _sgdw, _sgd_l2, _removed_by_sgd),
    "other": Base(Memory(0.0, 0.0), _unknown, _unknown, None),
}
"""By the name that ``base`` takes; ``other`` for one whose equilibrium is not known."""
