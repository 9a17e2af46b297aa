r"""Spectral filters: ridge, early stopping, and the best amount of weight decay.

An estimate of :math:`\theta^\star` is *filtered* when it keeps, along each eigenvector
of the curvature, a fraction :math:`s(h)` of the least-squares solution:

.. math:: \hat\theta_i = s(h_i)\,\bigl(\theta_i^\star + \zeta_i\bigr), \qquad
          \mathbb E\,\zeta_i = 0, \quad \mathbb E\,\zeta_i^2 = \tau^2 / h_i .

This is regression :math:`y = X\theta^\star + e` with :math:`n` samples and errors of
variance :math:`\tau_e^2`: :math:`H = X^\top X/n` is the curvature of
:math:`\tfrac1{2n}\|y - X\theta\|^2`, least squares has variance
:math:`\tau_e^2/(n h_i)` along mode :math:`i`, so :math:`\tau^2 = \tau_e^2/n`. Penalties
:math:`\tfrac\lambda2\|\theta\|^2` are in the units of :math:`H`.

Three filters: ridge, :func:`wdjax.theory.quadratic.spectral_filter`,
:math:`h/(h+\lambda)`; :func:`gradient_flow` stopped at time :math:`t`; and
:func:`gradient_descent` stopped after :math:`k` steps. In the code ``noise_variance``
is :math:`\tau^2`. What has no reference is derived here.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wdjax.types import ScalarLike

Modes = Float[Array, "*modes"]


def gradient_flow(h: Modes, time: ScalarLike) -> Modes:
    r"""What gradient flow from the origin has learnt by a time.

    .. math:: s(h) = 1 - e^{-ht}

    It solves :math:`\dot\theta = -h(\theta - \hat\theta_{\mathrm{LS}})`,
    :math:`\theta(0) = 0`. With :math:`\lambda = 1/t` it is close to ridge: for every
    :math:`x = ht \ge 0`

    .. math:: e^{-x} \le \frac1{1+x}, \qquad
              1 - e^{-x} \le 1.2985\,\frac{x}{1+x},

    the first because :math:`e^x \ge 1+x`, the second with the maximum of the ratio, at
    :math:`x = 1.793`. So its bias is no more than ridge's in each mode and its variance
    no more than :math:`1.2985^2 < 1.6862` times, and its :func:`risk` at most 1.6862
    times that of ridge.

    Args:
        h: curvatures, :math:`\ge 0`.
        time: :math:`t \ge 0`, in units of one over ``h``; step size times steps.

    Returns:
        Fractions in :math:`[0, 1]`.

    References:
        Ali, Kolter & Tibshirani, *A Continuous-Time View of Early Stopping for Least
        Squares Regression*, 2019, whose abstract has the factor as 1.69. The two
        inequalities are derived here.
    """
    return -jnp.expm1(-h * time)


def gradient_descent(
    h: Modes, learning_rate: ScalarLike, steps: int | Int[Array, ""]
) -> Modes:
    r"""What gradient descent from the origin has learnt after some steps.

    .. math:: s(h) = 1 - (1 - \alpha h)^k

    Tends to :func:`gradient_flow` at :math:`t = \alpha k` as :math:`\alpha \to 0`.
    Without momentum.

    Args:
        h: curvatures, :math:`\ge 0`.
        learning_rate: step size :math:`\alpha`, in units of one over ``h``; stable for
            :math:`\alpha h < 2`.
        steps: :math:`k \ge 0`.

    Returns:
        Fractions; within :math:`[0, 1]` if :math:`\alpha h \le 1`.
    """
    return 1 - (1 - learning_rate * h) ** steps


def risk(
    h: Float[Array, " modes"],
    theta_star: Float[Array, " modes"],
    kept: Float[Array, " modes"],
    noise_variance: ScalarLike,
) -> Float[Array, ""]:
    r"""The expected excess loss of a filtered estimate: its bias and its variance.

    .. math:: R = \tfrac12\sum_i h_i\,\mathbb E(\hat\theta_i - \theta_i^\star)^2
              = \tfrac12\sum_i \Bigl[h_i (1 - s_i)^2 \theta_i^{\star2}
              + s_i^2 \tau^2\Bigr]

    For ridge this is :math:`\tfrac12\sum_i (\lambda^2 h_i\theta_i^{\star2} +
    \tau^2 h_i^2)/(h_i+\lambda)^2`. The best filter, mode by mode, is
    :math:`s_i = h_i\theta_i^{\star2}/(h_i\theta_i^{\star2} + \tau^2)`: ridge with a
    penalty :math:`\tau^2/\theta_i^{\star2}` of its own for each.

    Args:
        h: curvatures, positive.
        theta_star: the true weights.
        kept: :math:`s_i`, from one of the filters.
        noise_variance: :math:`\tau^2 \ge 0`; of the errors, over the number of samples.

    Returns:
        :math:`R`, in units of the loss.
    """
    bias = h * (1 - kept) ** 2 * theta_star**2
    return 0.5 * jnp.sum(bias + kept**2 * noise_variance)


def optimal_l2(noise_variance: ScalarLike, prior_variance: ScalarLike) -> ScalarLike:
    r"""The penalty of least risk where every weight is alike beforehand.

    .. math:: \lambda^\star = \frac{\tau^2}{\omega^2}, \qquad
              \mathbb E\,\theta_i^{\star2} = \omega^2

    In ridge's :func:`risk` a mode contributes :math:`\tfrac12(\lambda^2 h\theta^2 +
    \tau^2h^2)/(h+\lambda)^2`, of which the slope is

    .. math:: \frac{d}{d\lambda}:\quad
              \frac{h^2\,(\lambda\,\theta_i^{\star2} - \tau^2)}{(h+\lambda)^3}.

    Averaged over the prior the bracket is :math:`\lambda\omega^2 - \tau^2` in *all*
    modes, so one :math:`\lambda^\star` is best for each of them, for every spectrum,
    and for every weighting of the modes. Without a prior, take
    :math:`\omega^2 = \|\theta^\star\|^2/d`; then it is exact only if all
    :math:`\theta_i^{\star2}` are equal, and the true optimum lies between the least and
    the greatest :math:`\tau^2/\theta_i^{\star2}`.

    Args:
        noise_variance: :math:`\tau^2 \ge 0`; of the errors, over the number of samples.
        prior_variance: :math:`\omega^2 > 0`, of one weight.

    Returns:
        :math:`\lambda^\star`, in the units of the curvature.

    References:
        Krogh & Hertz, *A Simple Weight Decay Can Improve Generalization*, 1992, for
        the result that a decay in proportion to the noise is best in a linear network;
        the formula is derived here.
    """
    return noise_variance / prior_variance
