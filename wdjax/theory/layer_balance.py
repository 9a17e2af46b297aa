r"""How weight decay balances the two layers around an activation.

Let the activation between two layers be homogeneous of degree :math:`k`,
:math:`\sigma(cz) = c^k\sigma(z)` for :math:`c > 0`: 1 for ReLU and its leaky forms and
for the identity, 2 for its square. Scale the layer in front, :math:`(W_1, b_1)`, by
:math:`c` and the layer behind, :math:`W_2`, by :math:`c^{-k}`: the network is the same
function. The derivative by :math:`c` at 1 is therefore 0,

.. math:: \langle W_1, G_1\rangle = k\,\langle W_2, G_2\rangle,

with :math:`b_1` and its gradient counted in :math:`W_1` and :math:`G_1`. Now run SGD
with decay, :math:`W \leftarrow (1-\delta)W - \alpha G`, on both. In

.. math:: B = k\,\|W_2\|^2 - \|W_1\|^2

the products cancel, and what is left is

.. math:: B_{t+1} = (1-\delta)^2 B_t
          + \alpha^2\bigl(k\,\|G_2\|^2 - \|G_1\|^2\bigr),

exactly, step by step, with mini-batches too. It holds for two successive layers of a
deeper network, for each hidden unit with its own rows and columns, and for SGD with an
L2 penalty :math:`\lambda_2 = \delta/\alpha` of which :math:`G` is the gradient
*without* the penalty. It does not hold with momentum, with a normaliser between the
two, or for adaptive methods. Where SGD with decay comes to rest,
:math:`\alpha G = -\delta W`, so that :math:`B = ((1-\delta)^2 + \delta^2)B`, that is
:math:`B = 0` for :math:`0 < \delta < 1`: converged layers are balanced.

Derived here; ``balance`` is :math:`B`, ``decay_rate`` is :math:`\delta`.

References:
    Kunin et al., *Neural Mechanics: Symmetry and Broken Conservation Laws in Deep
    Learning Dynamics*, 2021, for the flow with decay, and its correction for a finite
    step.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdjax.types import ScalarLike

Squares = Float[Array, "*units"]


def balance(incoming: Squares, outgoing: Squares, degree: ScalarLike = 1) -> Squares:
    r"""What the symmetry conserves.

    .. math:: B = k\,\|W_2\|^2 - \|W_1\|^2

    Args:
        incoming: :math:`\|W_1\|^2`, the squared norm of the layer in front of the
            activation, its bias included; or of each unit's row.
        outgoing: :math:`\|W_2\|^2`, the squared norm of the layer behind, without its
            bias; or of each unit's column.
        degree: :math:`k > 0`, of the activation; 1 for ReLU.

    Returns:
        :math:`B`.
    """
    return degree * outgoing - incoming


def step(
    balance: Squares,
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    gradients: Squares,
) -> Squares:
    r"""The balance after a step of SGD with decay.

    .. math:: B_{t+1} = (1-\delta)^2 B_t + \alpha^2 D_t, \qquad
              D_t = k\,\|G_2\|^2 - \|G_1\|^2

    Assumes no momentum and no normaliser (see the module).

    Args:
        balance: :math:`B_t`.
        learning_rate: :math:`\alpha`, of this step.
        decay_rate: :math:`\delta`, of this step; :math:`\alpha\lambda`.
        gradients: :math:`D_t`, :func:`balance` of the gradients' squared norms, without
            the penalty's part.

    Returns:
        :math:`B_{t+1}`.
    """
    return (1 - decay_rate) ** 2 * balance + learning_rate**2 * gradients


def trajectory(
    balance_0: Float[Array, ""],
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    gradients: Float[Array, " steps"],
) -> Float[Array, ""]:
    r"""The balance after the last step, as a sum over all of them.

    .. math:: B_T = (1-\delta)^{2T} B_0
              + \alpha^2 \sum_{t=0}^{T-1} (1-\delta)^{2(T-1-t)} D_t

    :func:`step` unrolled, at constant rates.

    Args:
        balance_0: :math:`B_0`.
        learning_rate: :math:`\alpha`.
        decay_rate: :math:`\delta \in [0, 1)`.
        gradients: :math:`D_t`, as in :func:`step`.

    Returns:
        :math:`B_T`.
    """
    T = len(gradients)
    left = (1 - decay_rate) ** (2 * jnp.arange(T)[::-1])
    pushed = learning_rate**2 * (left @ gradients)
    return (1 - decay_rate) ** (2 * T) * balance_0 + pushed


def resting_balance(
    learning_rate: ScalarLike, decay_rate: ScalarLike, gradients: ScalarLike
) -> ScalarLike:
    r"""The balance at which mini-batch noise and decay hold each other.

    .. math:: \mathrm E\,B = \frac{\alpha^2\,\mathrm E\,D}{\delta(2-\delta)}

    The fixed point of :func:`step` in the mean. Assumes that :math:`\mathrm E\,D` has
    settled; with exact gradients it is :math:`(\delta/\alpha)^2 B`, and :math:`B = 0`.

    Args:
        learning_rate: :math:`\alpha`.
        decay_rate: :math:`\delta \in (0, 1]`.
        gradients: :math:`\mathrm E\,D`, as in :func:`step`.

    Returns:
        :math:`\mathrm E\,B`.
    """
    return learning_rate**2 * gradients / (decay_rate * (2 - decay_rate))


def flow(balance_0: ScalarLike, l2: ScalarLike, time: ScalarLike) -> Any:
    r"""The balance in gradient flow, the limit of small steps.

    .. math:: B(s) = e^{-2\lambda s} B(0), \qquad
              \dot W = -\nabla f - \lambda W

    The term with :math:`\alpha^2` is of second order and drops out: without decay the
    balance is conserved.

    Args:
        balance_0: :math:`B(0)`.
        l2: :math:`\lambda \ge 0`; :math:`\delta/\alpha` for decoupled decay.
        time: :math:`s \ge 0`; :math:`\alpha t` after :math:`t` steps.

    Returns:
        :math:`B(s)`.
    """
    return jnp.exp(-2 * l2 * time) * balance_0


def steps_to_balance(remaining: ScalarLike, decay_rate: ScalarLike) -> Any:
    r"""The steps after which a fraction of the initial balance is left.

    .. math:: t = \frac{\ln(B_t/B_0)}{2\ln(1-\delta)}
              \approx \frac{\ln(B_0/B_t)}{2\delta}

    Without the gradients' part, whose floor is :func:`resting_balance`. Half as many as
    the weights themselves need to decay as far.

    Args:
        remaining: :math:`B_t/B_0 \in (0, 1]`.
        decay_rate: :math:`\delta \in (0, 1)`.

    Returns:
        :math:`t`, not rounded to a whole number of steps.
    """
    return jnp.log(remaining) / (2 * jnp.log1p(-decay_rate))
