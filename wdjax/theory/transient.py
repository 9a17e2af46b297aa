r"""How the norm of the weights approaches its equilibrium, and how long that takes.

The model is that of :mod:`~wdjax.theory.equilibrium`: independent gradients, orthogonal
to :math:`w`. A step keeps the part :math:`\rho^2 = (1-\delta)^2` of :math:`\|w\|^2` and
adds the square of what its gradient contributes in the end,

.. math:: \|w_{t+1}\|^2 = \rho^2\,\|w_t\|^2 + c_t^2 .

For AdamW, and every method whose steps do not know the size of the gradient,
:math:`c^2` is constant, and :math:`\|w\|^2` obeys a linear recursion. For SGD on a
scale-invariant layer :math:`c^2 = C^2/\|w\|^2`, and squaring gives
:math:`\|w_{t+1}\|^4 = \rho^4\|w_t\|^4 + 2\rho^2C^2 + C^4/\|w_t\|^4`: to leading order
:math:`\|w\|^4` does. So with :math:`p = 2` for AdamW and :math:`p = 4` for SGD

.. math:: \|w_t\|^p = \|w_\infty\|^p
          + (1-\delta)^{pt}\,\bigl(\|w_0\|^p - \|w_\infty\|^p\bigr).

From far above both shrink by :math:`1-\delta` per step, since decay acts alone there;
from far below AdamW's norm grows as :math:`t^{1/2}` and SGD's as :math:`t^{1/4}`.
Without momentum AdamW's form is exact in expectation; momentum delays what gradients
contribute by some :math:`1/(1-\beta)` steps. Derived here.

``decay_rate`` is :math:`\delta \in (0, 1)`, the fraction of θ removed in a step.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wdjax.types import ScalarLike

Scalar = Float[Array, ""]

ADAMW_POWER = 2
SGD_POWER = 4


def norm_adamw(
    step: ScalarLike, start: ScalarLike, equilibrium: ScalarLike, decay_rate: ScalarLike
) -> Scalar:
    r"""The norm of the weights after some steps of AdamW.

    .. math:: \|w_t\|^2 = \|w_\infty\|^2
              + (1-\delta)^{2t}\,\bigl(\|w_0\|^2 - \|w_\infty\|^2\bigr)

    Assumes the module's model, with steps of constant size (sign methods too). Roots of
    mean squares may stand for all three norms.

    Args:
        step: :math:`t \ge 0`.
        start: :math:`\|w_0\|`.
        equilibrium: :math:`\|w_\infty\|`.
        decay_rate: :math:`\delta`.

    Returns:
        :math:`\|w_t\|`.
    """
    return _norm(step, start, equilibrium, decay_rate, ADAMW_POWER)


def norm_sgd(
    step: ScalarLike, start: ScalarLike, equilibrium: ScalarLike, decay_rate: ScalarLike
) -> Scalar:
    r"""The norm of a scale-invariant layer after some steps of SGD.

    .. math:: \|w_t\|^4 = \|w_\infty\|^4
              + (1-\delta)^{4t}\,\bigl(\|w_0\|^4 - \|w_\infty\|^4\bigr)

    The leading order in :math:`\delta`, and in :math:`c^2/\|w\|^2`: not for a start so
    small that a step changes the norm by much. Assumes the module's model.

    Args:
        step: :math:`t \ge 0`.
        start: :math:`\|w_0\|`.
        equilibrium: :math:`\|w_\infty\|`.
        decay_rate: :math:`\delta`; :math:`\alpha\lambda_2/(1-\beta)` for an L2 penalty.

    Returns:
        :math:`\|w_t\|`.
    """
    return _norm(step, start, equilibrium, decay_rate, SGD_POWER)


def steps_adamw(
    start: ScalarLike,
    equilibrium: ScalarLike,
    decay_rate: ScalarLike,
    tolerance: ScalarLike,
) -> Scalar:
    r"""The steps that AdamW takes to bring the norm near its equilibrium.

    .. math:: t = \frac{1}{2\log(1-\delta)}
              \log\frac{|(1\pm\tau)^2 - 1|}{|x^2 - 1|},
              \qquad x = \frac{\|w_0\|}{\|w_\infty\|}

    with :math:`+` for a start above the equilibrium and :math:`-` for one below. The
    time is :math:`1/(2\delta)` times a logarithm. Solved from :func:`norm_adamw`.

    Args:
        start: :math:`\|w_0\|`.
        equilibrium: :math:`\|w_\infty\|`.
        decay_rate: :math:`\delta`.
        tolerance: :math:`\tau \in (0, 1)`, how near, relative to the equilibrium.

    Returns:
        The number of steps, not rounded; 0 for a start that is near already.
    """
    return _steps(start, equilibrium, decay_rate, tolerance, ADAMW_POWER)


def steps_sgd(
    start: ScalarLike,
    equilibrium: ScalarLike,
    decay_rate: ScalarLike,
    tolerance: ScalarLike,
) -> Scalar:
    r"""The steps that SGD takes to bring the norm near its equilibrium.

    .. math:: t = \frac{1}{4\log(1-\delta)}
              \log\frac{|(1\pm\tau)^4 - 1|}{|x^4 - 1|},
              \qquad x = \frac{\|w_0\|}{\|w_\infty\|}

    with :math:`+` for a start above the equilibrium and :math:`-` for one below. Solved
    from :func:`norm_sgd`.

    Args:
        start: :math:`\|w_0\|`.
        equilibrium: :math:`\|w_\infty\|`.
        decay_rate: :math:`\delta`.
        tolerance: :math:`\tau \in (0, 1)`, how near, relative to the equilibrium.

    Returns:
        The number of steps, not rounded; 0 for a start that is near already.
    """
    return _steps(start, equilibrium, decay_rate, tolerance, SGD_POWER)


def norms_adamw(
    start: ScalarLike,
    learning_rates: Float[Array, " steps"],
    decay_rates: Float[Array, " steps"],
    size: int,
) -> Float[Array, " steps"]:
    r"""The norm of the weights after every step of AdamW, under any schedule.

    .. math:: \|w_{t+1}\|^2 = (1-\delta_t)^2\,\|w_t\|^2 + d\,\alpha_t^2

    Assumes the module's model, :math:`\beta_2` near 1 and :math:`\epsilon` negligible,
    and rates that hardly change within the memory of the momentum.

    Args:
        start: :math:`\|w_0\|`.
        learning_rates: :math:`\alpha_t`.
        decay_rates: :math:`\delta_t`.
        size: :math:`d`, the number of the layer's entries.

    Returns:
        :math:`\|w_1\|, \|w_2\|, \dots`
    """

    def one(square: Scalar, rates: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        alpha, delta = rates
        square = (1 - delta) ** 2 * square + size * alpha**2
        return square, jnp.sqrt(square)

    return _scan(one, start, learning_rates, decay_rates)


def norms_sgd(
    start: ScalarLike,
    learning_rates: Float[Array, " steps"],
    decay_rates: Float[Array, " steps"],
    momentum: ScalarLike,
    gradient_norm: ScalarLike,
) -> Float[Array, " steps"]:
    r"""The norm of a scale-invariant layer after every step of SGD, under any schedule.

    .. math:: \|w_{t+1}\|^2 = (1-\delta_t)^2\,\|w_t\|^2
              + \Bigl(\frac{\alpha_t G}{1-\beta}\Bigr)^2 \frac{1}{\|w_t\|^2}

    Exact in a wide layer without momentum. Assumes the module's model, and rates that
    hardly change within the memory of the momentum.

    Args:
        start: :math:`\|w_0\|`.
        learning_rates: :math:`\alpha_t`, outside the buffer.
        decay_rates: :math:`\delta_t`; :math:`\alpha_t\lambda_2/(1-\beta)` for an L2
            penalty.
        momentum: :math:`\beta \in [0, 1)`.
        gradient_norm: :math:`G`, the root mean square norm of the layer's gradient at
            :math:`\|w\| = 1`.

    Returns:
        :math:`\|w_1\|, \|w_2\|, \dots`
    """

    def one(square: Scalar, rates: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        alpha, delta = rates
        C = alpha * gradient_norm / (1 - momentum)
        square = (1 - delta) ** 2 * square + C**2 / square
        return square, jnp.sqrt(square)

    return _scan(one, start, learning_rates, decay_rates)


def _norm(
    step: ScalarLike,
    start: ScalarLike,
    equilibrium: ScalarLike,
    decay_rate: ScalarLike,
    power: int,
) -> Scalar:
    left = jnp.exp(power * step * jnp.log1p(-decay_rate))  # (1 − δ)^(pt)
    return (equilibrium**power + left * (start**power - equilibrium**power)) ** (
        1 / power
    )


def _steps(
    start: ScalarLike,
    equilibrium: ScalarLike,
    decay_rate: ScalarLike,
    tolerance: ScalarLike,
    power: int,
) -> Scalar:
    from_start = (start / equilibrium) ** power - 1  # xᵖ − 1
    sign = jnp.sign(from_start)
    allowed = (1 + sign * tolerance) ** power - 1  # 0 at a start in equilibrium
    left = jnp.where(sign == 0, 1.0, allowed / jnp.where(sign == 0, 1.0, from_start))
    return jnp.maximum(jnp.log(left) / (power * jnp.log1p(-decay_rate)), 0)


def _scan(
    one,
    start: ScalarLike,
    learning_rates: Float[Array, " steps"],
    decay_rates: Float[Array, " steps"],
) -> Float[Array, " steps"]:
    square = jnp.asarray(start, learning_rates.dtype) ** 2
    return jax.lax.scan(one, square, (learning_rates, decay_rates))[1]
