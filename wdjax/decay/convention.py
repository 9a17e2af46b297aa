r"""What λ means: five conventions for decoupled weight decay, as one formula.

.. math:: \delta_t = \lambda\,\alpha^{a}\,\eta_t^{b},
          \qquad \alpha_t = \alpha\,\eta_t,

with :math:`\alpha` the peak learning rate, :math:`\eta_t \in [0, 1]` the schedule's
multiplier, :math:`\delta_t` the fraction of θ removed in step :math:`t`.
"""

from typing import Any, NamedTuple

from wdjax import check
from wdjax.decay.schedule import at, widened
from wdjax.types import ScalarLike, ScalarOrSchedule


class Convention(NamedTuple):
    r"""The exponents of :math:`\delta_t = \lambda\,\alpha^{a}\,\eta_t^{b}`.

    Attributes:
        peak: exponent :math:`a` of the peak learning rate.
        schedule: exponent :math:`b` of the schedule's multiplier.
    """

    peak: float | int
    schedule: float | int


OPTAX = PYTORCH = Convention(1, 1)
"""δ_t = λα_t: Optax's and PyTorch's ``adamw``, every Keras 3 optimizer."""

PAPER = Convention(0, 1)
"""δ_t = λη_t: Loshchilov & Hutter (2019), Algorithms 1 and 2."""

CONSTANT = Convention(0, 0)
"""δ_t = λ: Hanson & Pratt (1988)."""

CORRECTED = Convention(1, 2)
"""δ_t = λα_t²/α: AdamC, Defazio (2025)."""

SQUARED = Convention(2, 2)
"""δ_t = λα_t²: schedule-free AdamC."""

BY_NAME = {
    "OPTAX": OPTAX,
    "PYTORCH": PYTORCH,
    "PAPER": PAPER,
    "CONSTANT": CONSTANT,
    "CORRECTED": CORRECTED,
    "SQUARED": SQUARED,
}


PEAK = "It is the largest value that the learning rate's schedule takes."


def decay_rate(
    weight_decay: ScalarOrSchedule,
    learning_rate: ScalarOrSchedule,
    convention: Convention = OPTAX,
    *,
    peak_learning_rate: ScalarLike | None = None,
) -> ScalarOrSchedule:
    r"""The fraction of the parameters that decoupled decay removes in a step.

    .. math:: \delta_t = \lambda\,\alpha^{a}\,\eta_t^{b}
                       = \lambda\,\alpha_t^{b}\,\alpha^{a-b}

    Args:
        weight_decay: :math:`\lambda \ge 0` under ``convention``; or its schedule.
        learning_rate: :math:`\alpha_t \ge 0`: a number, or a schedule of steps.
        convention: the exponents :math:`(a, b)`.
        peak_learning_rate: :math:`\alpha > 0`. Needed where ``learning_rate`` is a
            schedule and :math:`a \ne b`. Used whenever it is given; without it a
            scalar ``learning_rate`` is its own peak (:math:`\eta_t = 1`). Under
            ``optax.inject_hyperparams`` a schedule arrives as a scalar, so give
            the peak there.

    Returns:
        :math:`\delta_t`: a schedule if either rate is one, else a scalar.

    Raises:
        ValueError: a concrete rate is negative or not finite, the peak is a schedule,
            not positive or missing where it is needed, or ``convention`` is none.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithms 1 and 2, lines 9 and 12 (:math:`a = 0, b = 1`).
    """
    check.non_negative("weight_decay", weight_decay)
    check.non_negative("learning_rate", learning_rate)
    if not isinstance(convention, Convention):
        raise ValueError(
            f"convention is {convention!r}; give a wdjax.Convention, such as "
            "wdjax.OPTAX, wdjax.PAPER or wdjax.CONSTANT."
        )
    a, b = convention
    if peak_learning_rate is not None:
        check.positive("peak_learning_rate", peak_learning_rate, PEAK)
    elif a != b and callable(learning_rate):
        raise ValueError(
            f"learning_rate is a schedule and Convention(peak={a:g}, schedule={b:g})"
            " needs its peak: give peak_learning_rate=…, the largest value that the"
            " schedule takes."
        )

    def rate(lam: Any, alpha_t: Any) -> Any:
        lam, alpha_t = widened(lam), widened(alpha_t)
        if peak_learning_rate is None:
            return lam * _power(alpha_t, a)  # a scalar is its own peak: η = 1
        return lam * _power(alpha_t, b) * _power(widened(peak_learning_rate), a - b)

    if callable(weight_decay) or callable(learning_rate):
        return lambda t: rate(at(weight_decay, t), at(learning_rate, t))
    return rate(weight_decay, learning_rate)


def _power(base: Any, exponent: float | int) -> Any:
    """``base ** exponent``; 1 for a zero exponent, whatever the base."""
    return 1.0 if exponent == 0 else base**exponent
