r"""Weight decay on scale-invariant weights is a growing learning rate.

Let every trained parameter be scale-invariant, so that
:math:`\nabla f(cw) = \nabla f(w)/c` for :math:`c > 0`, and let a run decay,
:math:`w_{t+1} = \rho\,w_t - \alpha r_t` with :math:`\rho = 1-\delta`. Divide the decay
out: :math:`v_t = w_t/\rho^t` computes the same functions, starts at the same weights,
and is a run *without* decay, of other hyper-parameters. With :math:`\gamma_t` the
gradient at :math:`v_t`, that at :math:`w_t` is :math:`\rho^{-t}\gamma_t`.

SGD with heavy ball, from :math:`t = 0`, has
:math:`m_t = \beta m_{t-1} + \rho^{-t}\gamma_t`. Multiply by :math:`\rho^t`, with
:math:`M_t = \rho^t m_t`:

.. math:: M_t = \beta\rho\,M_{t-1} + \gamma_t, \qquad
          v_{t+1} = v_t - \alpha\rho^{-(t+1)} m_t = v_t - \alpha\rho^{-(2t+1)} M_t .

AdamW, from :math:`t = 1`, step :math:`t` leading from :math:`w_{t-1}` to :math:`w_t`:
with :math:`M_t = \rho^{t-1} m_t` and :math:`V_t = \rho^{2(t-1)} v_t` the moments are

.. math:: M_t = \beta_1\rho\,M_{t-1} + (1-\beta_1)\gamma_t, \qquad
          V_t = \beta_2\rho^2\,V_{t-1} + (1-\beta_2)\gamma_t^2,

which keep the weights :math:`1-\beta` of the new gradient, and the bias corrections
:math:`1-\beta^t`, of the *original* :math:`\beta`. The direction is
:math:`\rho^{-(t-1)}\hat M_t / (\rho^{-(t-1)}\sqrt{\hat V_t} + \varepsilon) =
\hat M_t/(\sqrt{\hat V_t} + \rho^{t-1}\varepsilon)`, and the step is divided by
:math:`\rho^t`.

Derived here. ``decay_rate`` is :math:`\delta = \alpha\lambda \in [0, 1)`; the rate and
the learning rate are constant, except in :func:`sgd_under_a_schedule`.

References:
    Li & Arora, *An Exponential Learning Rate Schedule for Deep Learning*, 2020, for
    SGD with an L2 penalty.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdjax.types import ScalarLike

Steps = Float[Array, " steps"]


class Sgd(NamedTuple):
    r"""The hyper-parameters of a step of SGD without decay.

    Attributes:
        learning_rate: :math:`\alpha_t`, outside the momentum buffer.
        momentum: :math:`\beta_t`, what the buffer is multiplied by.
    """

    learning_rate: ScalarLike | Steps
    momentum: ScalarLike | Steps


class Adam(NamedTuple):
    r"""The hyper-parameters of a step of Adam without decay.

    The new gradient's weights :math:`1-\beta` and the bias corrections are those of
    the run with decay.

    Attributes:
        learning_rate: :math:`\alpha_t`.
        b1: what the first moment is multiplied by.
        b2: what the second moment is multiplied by.
        eps: :math:`\varepsilon_t`.
    """

    learning_rate: ScalarLike
    b1: ScalarLike
    b2: ScalarLike
    eps: ScalarLike


def sgd(
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    momentum: ScalarLike,
    t: ScalarLike,
) -> Sgd:
    r"""SGD without decay that visits the functions of SGD with decoupled decay.

    .. math:: \alpha_t = \alpha\rho^{-(2t+1)}, \qquad \beta \to \beta\rho

    Assumes that every trained parameter is scale-invariant, heavy-ball momentum with
    the learning rate outside the buffer, and a buffer that starts at 0. Without
    momentum decay and L2 penalty are one, with :math:`\delta = \alpha\lambda_2`.

    Args:
        learning_rate: :math:`\alpha`.
        decay_rate: :math:`\delta \in [0, 1)`.
        momentum: :math:`\beta \in [0, 1)`; 0 for plain SGD.
        t: the step, from 0.

    Returns:
        :math:`\alpha_t` and the momentum of every step.
    """
    rho = 1 - decay_rate
    return Sgd(learning_rate * rho ** -(2 * t + 1), momentum * rho)


def sgd_under_a_schedule(
    learning_rates: Steps, decay_rates: Steps, momentum: ScalarLike
) -> Sgd:
    r""":func:`sgd` for any schedules of learning rate and decay.

    .. math:: \tilde\alpha_t = \frac{\alpha_t}{P_t P_{t+1}}, \qquad
              \tilde\beta_t = \beta\,(1-\delta_{t-1}), \qquad
              P_t = \prod_{s<t} (1-\delta_s)

    with :math:`v_t = w_t/P_t` in the place of :math:`w_t/\rho^t`. The first momentum
    multiplies an empty buffer, and is :math:`\beta`.

    Args:
        learning_rates: :math:`\alpha_t`.
        decay_rates: :math:`\delta_t \in [0, 1)`.
        momentum: :math:`\beta \in [0, 1)`.

    Returns:
        :math:`\tilde\alpha_t` and :math:`\tilde\beta_t`, one for each step.
    """
    left = jnp.cumprod(1 - decay_rates)  # P_{t+1}
    before = jnp.concatenate([jnp.ones(1, left.dtype), left[:-1]])  # P_t
    shrinkage = jnp.concatenate([jnp.ones(1, left.dtype), 1 - decay_rates[:-1]])
    return Sgd(learning_rates / (before * left), momentum * shrinkage)


def l2_contraction(
    learning_rate: ScalarLike, l2: ScalarLike, momentum: ScalarLike
) -> ScalarLike:
    r"""By what SGD with momentum and an L2 *penalty* shrinks the weights in a step.

    .. math:: c = \tfrac12\Bigl(1+\beta-\alpha\lambda_2
              + \sqrt{(1+\beta-\alpha\lambda_2)^2 - 4\beta}\Bigr)
              \approx 1 - \frac{\alpha\lambda_2}{1-\beta}

    The penalty passes through the buffer, so
    :math:`w_{t+1} = (1+\beta-\alpha\lambda_2)w_t - \beta w_{t-1} - \alpha g_t`. With
    :math:`w_t = c^t v_t` and :math:`c` a root of
    :math:`c^2 - (1+\beta-\alpha\lambda_2)c + \beta = 0`, of which this is the larger,

    .. math:: v_{t+1} - v_t = \frac{\beta}{c^2}\,(v_t - v_{t-1})
              - \alpha c^{-(2t+1)}\gamma_t :

    heavy ball without penalty, :math:`\alpha_t = \alpha c^{-(2t+1)}` outside the
    buffer and the *same* :math:`\beta`, as
    :math:`\frac{\beta}{c^2}\cdot\frac{\alpha_{t-1}}{\alpha_t} = \beta`
    cancels the growth of the learning rate. The buffer starts at
    :math:`M_{-1} = -\frac{1-c}{\alpha c}\,w_0` and not at 0, since a run at rest,
    :math:`w_{-1} = w_0`, is one in which :math:`v` grows. Assumes scale-invariant
    parameters.

    Args:
        learning_rate: :math:`\alpha`, outside the buffer.
        l2: :math:`\lambda_2 \in [0, (1-\sqrt\beta)^2/\alpha]`; beyond it the weights
            oscillate.
        momentum: :math:`\beta \in [0, 1)`, not Nesterov's.

    Returns:
        :math:`c \in (0, 1]`; :math:`1-\alpha\lambda_2` without momentum.
    """
    trace = 1 + momentum - learning_rate * l2
    return (trace + (trace**2 - 4 * momentum) ** 0.5) / 2


def adamw(  # noqa: PLR0917 — the six symbols of one formula
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    b1: ScalarLike,
    b2: ScalarLike,
    eps: ScalarLike,
    t: ScalarLike,
) -> Adam:
    r"""Adam without decay that visits the functions of AdamW.

    .. math:: \alpha_t = \alpha\rho^{-t}, \qquad \beta_1 \to \beta_1\rho, \qquad
              \beta_2 \to \beta_2\rho^2, \qquad
              \varepsilon_t = \varepsilon\rho^{t-1}

    Assumes that every trained parameter is scale-invariant, and :math:`\varepsilon`
    outside the root.

    Args:
        learning_rate: :math:`\alpha`.
        decay_rate: :math:`\delta \in [0, 1)`; :math:`\alpha\lambda` in Optax's
            convention.
        b1: :math:`\beta_1 \in [0, 1)`.
        b2: :math:`\beta_2 \in [0, 1)`.
        eps: :math:`\varepsilon \ge 0`.
        t: the step, from 1, as in Adam's bias corrections.

    Returns:
        :math:`\alpha_t`, the factors of the moments and :math:`\varepsilon_t`.
    """
    rho = 1 - decay_rate
    return Adam(learning_rate * rho**-t, b1 * rho, b2 * rho**2, eps * rho ** (t - 1))
