r"""Gradient descent with an L2 penalty on a quadratic, without iterating.

Throughout, the empirical risk is

.. math:: f(\theta) = \tfrac12 (\theta-\theta^\star)^\top H\, (\theta-\theta^\star)

with :math:`H` symmetric positive definite, and gradient descent with step size
:math:`\alpha` runs on :math:`f(\theta) + \tfrac{\lambda}{2}\|\theta\|^2`. In the code
``H``, ``theta_star``, ``l2`` and ``learning_rate`` are :math:`H`,
:math:`\theta^\star`, :math:`\lambda` and :math:`\alpha`; :math:`h` is an eigenvalue of
:math:`H`. Where a function gives no reference, the formula is derived here.

Weight decay in the convention of Hanson & Pratt, :math:`\theta \leftarrow
\theta - \alpha\nabla f - \lambda'\theta`, is the case
:math:`\lambda = \lambda'/\alpha` of every one of these formulas.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wdjax.types import ScalarLike


def limit_point(
    H: Float[Array, "d d"], theta_star: Float[Array, " d"], l2: ScalarLike
) -> Float[Array, " d"]:
    r"""Where gradient descent ends: the minimiser of the penalised risk.

    .. math:: \theta_\infty = (H + \lambda I)^{-1} H \theta^\star

    It is the zero of :math:`H(\theta - \theta^\star) + \lambda\theta`, so it depends on
    :math:`\lambda` and not on :math:`\alpha`.

    Args:
        H: curvature, symmetric; :math:`H + \lambda I` positive definite.
        theta_star: minimiser :math:`\theta^\star` of the unpenalised risk.
        l2: penalty coefficient :math:`\lambda \ge 0`, in the units of ``H``; finite
            (:func:`path` takes :math:`\lambda = \infty` too).

    Returns:
        :math:`\theta_\infty`.

    References:
        Hoerl & Kennard, *Ridge Regression*, 1970, eq. (2.1), with
        :math:`X^\top X = H` and :math:`X^\top Y = H\theta^\star`.
    """
    return jnp.linalg.solve(H + l2 * jnp.eye(len(H), dtype=H.dtype), H @ theta_star)


def spectral_filter(
    h: Float[Array, "*modes"], l2: ScalarLike
) -> Float[Array, "*modes"]:
    r"""What the penalty leaves of the minimiser, along one eigenvector of ``H``.

    .. math:: q^\top \theta_\infty = \frac{h}{h + \lambda}\; q^\top \theta^\star,
        \qquad Hq = hq

    Directions of curvature well above :math:`\lambda` are kept, those well below are
    forgotten.

    Args:
        h: eigenvalues of :math:`H`, positive.
        l2: penalty coefficient :math:`\lambda \in [0, \infty]`, in the units of ``h``.

    Returns:
        Fractions in :math:`[0, 1]`.

    References:
        Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning*, 2009,
        eq. (3.47), with :math:`h = d_j^2`.
    """
    return h / (h + l2)


def path(
    H: Float[Array, "d d"], theta_star: Float[Array, " d"], l2s: Float[Array, " n"]
) -> Float[Array, "n d"]:
    r"""The limit point for each of many penalties.

    .. math:: \theta_\infty(\lambda) =
        Q\, \mathrm{diag}\!\left(\frac{h}{h+\lambda}\right) Q^\top \theta^\star,
        \qquad H = Q\,\mathrm{diag}(h)\,Q^\top

    The spectrum, and not a solve per :math:`\lambda`: one factorisation serves the
    whole path, and its end :math:`\lambda = \infty`, the origin, is exact.

    Args:
        H: curvature, symmetric positive definite.
        theta_star: minimiser :math:`\theta^\star` of the unpenalised risk.
        l2s: penalty coefficients :math:`\lambda \in [0, \infty]`.

    Returns:
        One limit point per penalty: from :math:`\theta^\star` at :math:`\lambda = 0` to
        the origin at :math:`\lambda = \infty`.
    """
    h, Q = jnp.linalg.eigh(H)  # H = Q diag(h) Qᵀ
    kept = jax.vmap(spectral_filter, in_axes=(None, 0))(h, l2s)
    return kept * (theta_star @ Q)[None, :] @ Q.T


def trajectory(  # noqa: PLR0917 — the six symbols of one formula
    H: Float[Array, "d d"],
    theta_star: Float[Array, " d"],
    l2: ScalarLike,
    learning_rate: ScalarLike,
    theta_0: Float[Array, " d"],
    t: int | Int[Array, ""],
) -> Float[Array, " d"]:
    r"""The parameters after ``t`` steps of gradient descent.

    .. math:: \theta_t = \theta_\infty
        + \bigl(I - \alpha(H + \lambda I)\bigr)^t (\theta_0 - \theta_\infty)

    Holds for every :math:`\alpha`, stable or not, without momentum.

    Args:
        H: curvature, symmetric positive definite.
        theta_star: minimiser :math:`\theta^\star` of the unpenalised risk.
        l2: penalty coefficient :math:`\lambda \ge 0`, in the units of ``H``.
        learning_rate: step size :math:`\alpha`, in units of one over ``H``.
        theta_0: parameters before the first step.
        t: number of steps, :math:`\ge 0`.

    Returns:
        :math:`\theta_t`.
    """
    h, Q = jnp.linalg.eigh(H)  # H = Q diag(h) Qᵀ
    contraction = (1 - learning_rate * (h + l2)) ** t
    theta_inf = limit_point(H, theta_star, l2)
    return theta_inf + Q @ (contraction * (Q.T @ (theta_0 - theta_inf)))


def stable_learning_rate(H: Float[Array, "d d"], l2: ScalarLike) -> Float[Array, ""]:
    r"""The step size below which gradient descent converges.

    .. math:: \alpha (h_{\max} + \lambda) < 2

    The penalty costs stability: it adds :math:`\lambda` to every curvature.

    Args:
        H: curvature, symmetric positive definite.
        l2: penalty coefficient :math:`\lambda \ge 0`, in the units of ``H``.

    Returns:
        The bound :math:`2/(h_{\max}+\lambda)` itself, at which the steepest direction
        oscillates for ever; every smaller positive step size converges.
    """
    return 2 / (jnp.linalg.eigvalsh(H)[-1] + l2)


def heavy_ball_decay(
    learning_rate: ScalarLike, l2: ScalarLike, momentum: ScalarLike
) -> ScalarLike:
    r"""The decoupled decay with the fixed point of an L2 penalty, under momentum.

    .. math:: \delta = \frac{\alpha\lambda_2}{1-\beta}

    At rest the buffer :math:`m \leftarrow \beta m + \nabla f` is
    :math:`\nabla f/(1-\beta)`, so :math:`\alpha m + \delta\theta = 0` reads
    :math:`\nabla f + \delta\frac{1-\beta}{\alpha}\theta = 0`. The fixed points agree;
    the trajectories do not. Heavy ball and Nesterov rest alike.

    Args:
        learning_rate: step size :math:`\alpha`, outside the buffer.
        l2: penalty coefficient :math:`\lambda_2`, in front of the buffer.
        momentum: :math:`\beta \in [0, 1)`.

    Returns:
        The fraction :math:`\delta` of :math:`\theta` to remove per step.
    """
    return learning_rate * l2 / (1 - momentum)


def heavy_ball_l2(
    learning_rate: ScalarLike, decay_rate: ScalarLike, momentum: ScalarLike
) -> ScalarLike:
    r"""The penalty whose fixed point a decoupled decay has, under momentum.

    .. math:: \lambda_2 = \frac{\delta(1-\beta)}{\alpha}

    The inverse of :func:`heavy_ball_decay`. With the naive
    :math:`\delta = \alpha\lambda` this is :math:`(1-\beta)\lambda`, and not
    :math:`\lambda`.

    Args:
        learning_rate: step size :math:`\alpha`, outside the buffer.
        decay_rate: the fraction :math:`\delta` of :math:`\theta` removed per step.
        momentum: :math:`\beta \in [0, 1)`.

    Returns:
        The coefficient :math:`\lambda_2` of :math:`\tfrac12\|\theta\|^2`.
    """
    return decay_rate * (1 - momentum) / learning_rate
