r"""Where SGD with noisy gradients stays on a quadratic, and how widely it spreads.

Along one eigenvector of the Hessian the loss is
:math:`\tfrac h2(\theta-\theta^\star)^2`, and each step sees the gradient

.. math:: g_t = h\,(\theta_t - \theta^\star) + \sigma\,\xi_t, \qquad
          \mathbb E\,\xi_t = 0,\quad \mathbb E\,\xi_t^2 = 1,

with :math:`\xi_t` independent from step to step. Momentum is heavy ball's,
:math:`m_t = \beta m_{t-1} + (\text{gradient})`, rates are constant. The update is then
linear, so that means and variances are exact at every step size that is stable, for
noise of any distribution, and once the start is forgotten.

In the code ``h``, ``theta_star``, ``noise``, ``learning_rate``, ``momentum``, ``l2``
and ``decay_rate`` are :math:`h > 0`, :math:`\theta^\star`, :math:`\sigma \ge 0` (in the
units of the gradient), :math:`\alpha > 0`, :math:`\beta \in [0, 1)`,
:math:`\lambda_2 \ge 0` and :math:`\delta \in [0, 1)`. Functions act on each mode by
itself. For a gradient noise of covariance :math:`\Sigma` and an eigenvector :math:`q`
take :math:`\sigma^2 = q^\top \Sigma\, q`: what two modes share changes neither's mean
nor variance.

Both placements of the decay lead to one recursion. Eliminating :math:`m` by
:math:`\alpha m_t = (1-\delta)\theta_t - \theta_{t+1}`,

.. math:: \theta_{t+1} = (\rho + \beta - \alpha k)\,\theta_t - \beta\rho\,\theta_{t-1}
          + \alpha h \theta^\star - \alpha\sigma\xi_t, \qquad \rho = 1 - \delta,

where :math:`k = h + \lambda_2`, :math:`\delta = 0` for L2 in front of the momentum, and
:math:`k = h` for decay behind it. It is an AR(2) process, whose mean, variance
(Yule-Walker) and stability are textbook; all formulas are derived here from it.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdjax.theory import quadratic
from wdjax.types import ScalarLike

Modes = Float[Array, "*modes"]


def mean_sgd_l2(h: Modes, theta_star: Modes, l2: ScalarLike) -> Modes:
    r"""The mean of SGD behind an L2 penalty: ridge.

    .. math:: \mathbb E\,\theta = \frac{h}{h + \lambda_2}\,\theta^\star

    It depends neither on the noise, nor on step size and momentum.

    Args:
        h: curvatures, positive.
        theta_star: minimiser of the unpenalised loss.
        l2: :math:`\lambda_2 \ge 0`, in the units of ``h``.

    Returns:
        One mean per mode.
    """
    return quadratic.spectral_filter(h, l2) * theta_star


def mean_sgdw(
    h: Modes,
    theta_star: Modes,
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    momentum: ScalarLike,
) -> Modes:
    r"""The mean of SGD with decoupled decay: ridge with :math:`\delta(1-\beta)/\alpha`.

    .. math:: \mathbb E\,\theta
              = \frac{\alpha h}{\alpha h + \delta(1-\beta)}\,\theta^\star

    Args:
        h: curvatures, positive.
        theta_star: minimiser of the undecayed loss.
        learning_rate: :math:`\alpha > 0`, outside the buffer.
        decay_rate: :math:`\delta \in [0, 1)`, removed per step.
        momentum: :math:`\beta \in [0, 1)`.

    Returns:
        One mean per mode.
    """
    pull = decay_rate * (1 - momentum)
    return learning_rate * h / (learning_rate * h + pull) * theta_star


def variance_sgd_l2(
    h: Modes,
    l2: ScalarLike,
    learning_rate: ScalarLike,
    momentum: ScalarLike,
    noise: ScalarLike | Modes,
) -> Modes:
    r"""The variance of SGD behind an L2 penalty.

    .. math:: \operatorname{Var}\theta = \frac{1+\beta}{1-\beta}\;
              \frac{\alpha\,\sigma^2}{k\,\bigl(2(1+\beta) - \alpha k\bigr)}, \qquad
              k = h + \lambda_2

    For :math:`\beta = 0` it is :math:`\alpha\sigma^2/(k(2-\alpha k))`. The penalty acts
    as curvature and narrows the spread. Requires
    :math:`\alpha k < 2(1+\beta)`, see :func:`stable_learning_rate_sgd_l2`.

    Args:
        h: curvatures, positive.
        l2: :math:`\lambda_2 \ge 0`, in the units of ``h``.
        learning_rate: :math:`\alpha > 0`, outside the buffer.
        momentum: :math:`\beta \in [0, 1)`.
        noise: :math:`\sigma \ge 0`, standard deviation of the gradient.

    Returns:
        One variance per mode; without meaning (negative) outside the stable region.
    """
    return _variance(h + l2, learning_rate, 0.0, momentum, noise)


def variance_sgdw(
    h: Modes,
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    momentum: ScalarLike,
    noise: ScalarLike | Modes,
) -> Modes:
    r"""The variance of SGD with decoupled decay.

    .. math:: \operatorname{Var}\theta = \frac{1+\beta\rho}{1-\beta\rho}\;
              \frac{\alpha^2\sigma^2}{\bigl(\alpha h + \delta(1-\beta)\bigr)
              \bigl((2-\delta)(1+\beta) - \alpha h\bigr)}, \qquad \rho = 1-\delta

    For :math:`\beta = 0` and :math:`\delta = \alpha\lambda_2` it is that of
    :func:`variance_sgd_l2`; with momentum and the same mean,
    :math:`\delta = \alpha\lambda_2/(1-\beta)`, it is not. Requires the second bracket
    to be positive, see :func:`stable_learning_rate_sgdw`.

    Args:
        h: curvatures, positive.
        learning_rate: :math:`\alpha > 0`, outside the buffer.
        decay_rate: :math:`\delta \in [0, 1)`, removed per step.
        momentum: :math:`\beta \in [0, 1)`.
        noise: :math:`\sigma \ge 0`, standard deviation of the gradient.

    Returns:
        One variance per mode; without meaning (negative) outside the stable region.
    """
    return _variance(h, learning_rate, decay_rate, momentum, noise)


def covariance_sgd_l2(
    h: Modes,
    l2: ScalarLike,
    learning_rate: ScalarLike,
    momentum: ScalarLike,
    noise: ScalarLike | Modes,
) -> Float[Array, "*modes 2 2"]:
    r"""The covariance of weight and momentum, SGD behind an L2 penalty.

    That of :func:`covariance_sgdw` with :math:`\delta = 0` and
    :math:`h + \lambda_2` in place of :math:`h`.

    Args:
        h: curvatures, positive.
        l2: :math:`\lambda_2 \ge 0`, in the units of ``h``.
        learning_rate: :math:`\alpha > 0`, outside the buffer.
        momentum: :math:`\beta \in [0, 1)`.
        noise: :math:`\sigma \ge 0`, standard deviation of the gradient.

    Returns:
        The matrix of :math:`(\theta_{t+1}, m_t)`, per mode.
    """
    return covariance_sgdw(h + l2, learning_rate, 0.0, momentum, noise)


def covariance_sgdw(
    h: Modes,
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    momentum: ScalarLike,
    noise: ScalarLike | Modes,
) -> Float[Array, "*modes 2 2"]:
    r"""The covariance of weight and momentum, SGD with decoupled decay.

    .. math::

        \operatorname{Cov}(\theta_{t+1}, m_t) = \frac{\rho c - 1}{\alpha}\,V, \qquad
        \operatorname{Var} m_t = \frac{1 + \rho^2 - 2\rho c}{\alpha^2}\,V, \qquad
        c = \frac{\rho + \beta - \alpha h}{1 + \beta\rho}

    with :math:`V` from :func:`variance_sgdw` and :math:`c` the correlation of two
    successive weights: :math:`\alpha m_t = \rho\theta_t - \theta_{t+1}` turns moments
    of two weights into those of a weight and the momentum that led to it. It solves the
    Lyapunov equation :math:`P = APA^\top + \sigma^2 bb^\top` with

    .. math:: A = \begin{pmatrix} \rho - \alpha h & -\alpha\beta \\ h & \beta
              \end{pmatrix}, \qquad b = \begin{pmatrix} -\alpha \\ 1 \end{pmatrix}.

    Args:
        h: curvatures, positive.
        learning_rate: :math:`\alpha > 0`, outside the buffer.
        decay_rate: :math:`\delta \in [0, 1)`, removed per step.
        momentum: :math:`\beta \in [0, 1)`.
        noise: :math:`\sigma \ge 0`, standard deviation of the gradient.

    Returns:
        The matrix of :math:`(\theta_{t+1}, m_t)`, per mode.
    """
    alpha, beta, rho = learning_rate, momentum, 1 - decay_rate
    V = _variance(h, alpha, decay_rate, beta, noise)
    c = (rho + beta - alpha * h) / (1 + beta * rho)
    beside = (rho * c - 1) / alpha * V
    buffer = (1 + rho**2 - 2 * rho * c) / alpha**2 * V
    rows = [jnp.stack([V, beside], axis=-1), jnp.stack([beside, buffer], axis=-1)]
    return jnp.stack(rows, axis=-2)


def stable_learning_rate_sgd_l2(
    h_max: ScalarLike, l2: ScalarLike, momentum: ScalarLike
) -> ScalarLike:
    r"""The step size below which SGD behind an L2 penalty stays bounded.

    .. math:: \alpha\,(h_{\max} + \lambda_2) < 2\,(1 + \beta)

    Args:
        h_max: the largest curvature, positive.
        l2: :math:`\lambda_2 \ge 0`, in the units of ``h_max``.
        momentum: :math:`\beta \in [0, 1)`.

    Returns:
        The bound itself.
    """
    return 2 * (1 + momentum) / (h_max + l2)


def stable_learning_rate_sgdw(
    h_max: ScalarLike, decay_rate: ScalarLike, momentum: ScalarLike
) -> ScalarLike:
    r"""The step size below which SGD with decoupled decay stays bounded.

    .. math:: \alpha\,h_{\max} < (2 - \delta)(1 + \beta)

    At :math:`\beta = 0` and :math:`\delta = \alpha\lambda` this is
    :math:`\alpha(h_{\max} + \lambda) < 2` again.

    Args:
        h_max: the largest curvature, positive.
        decay_rate: :math:`\delta \in [0, 1)`, held fixed while :math:`\alpha` varies.
        momentum: :math:`\beta \in [0, 1)`.

    Returns:
        The bound itself.
    """
    return (2 - decay_rate) * (1 + momentum) / h_max


def excess_risk(
    h: Float[Array, " modes"],
    theta_star: Float[Array, " modes"],
    mean: Float[Array, " modes"],
    variance: Float[Array, " modes"],
) -> Float[Array, ""]:
    r"""The expected loss above its minimum: what the pull costs, and what noise costs.

    .. math:: \tfrac12 \sum_i h_i \bigl[(\mathbb E\,\theta_i - \theta_i^\star)^2
              + \operatorname{Var}\theta_i\bigr]

    Args:
        h: curvatures, positive.
        theta_star: minimiser of the loss.
        mean: of the weights, say from :func:`mean_sgdw`.
        variance: of the weights, say from :func:`variance_sgdw`.

    Returns:
        The excess risk, in units of the loss.
    """
    return 0.5 * jnp.sum(h * ((mean - theta_star) ** 2 + variance))


def _variance(
    k: Modes,
    alpha: ScalarLike,
    delta: ScalarLike,
    beta: ScalarLike,
    noise: ScalarLike | Modes,
) -> Modes:
    r"""Of the module's AR(2) process, curvature and coupled penalty together in k.

    .. math:: \frac{1-\phi_2}{1+\phi_2}\;\frac{\alpha^2\sigma^2}
              {(1-\phi_2)^2 - \phi_1^2}, \qquad
              \phi_1 = \rho+\beta-\alpha k,\quad \phi_2 = -\beta\rho

    with the denominator factored, as its difference of squares cancels.
    """
    rho = 1 - delta
    slow = alpha * k + delta * (1 - beta)  # 1 − φ₂ − φ₁
    fast = (2 - delta) * (1 + beta) - alpha * k  # 1 − φ₂ + φ₁
    memory = (1 + beta * rho) / (1 - beta * rho)
    return memory * (alpha * noise) ** 2 / (slow * fast)
