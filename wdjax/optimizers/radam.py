"""RAdam: Adam with a rectified warm-up; L2 in front of it, or decay behind it."""

import optax

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def radam_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    threshold: ScalarLike = 5.0,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""RAdam on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        \theta_{t+1} &= \theta_t - \alpha_t\, R_t(g_t), \qquad
        R_t = \begin{cases}
            \kappa_t\, \hat m_t / (\sqrt{\hat v_t} + \epsilon) & \rho_t \ge \rho \\
            \hat m_t & \text{else}
        \end{cases}

    with the moments of :func:`adam_l2`, :math:`t` from 1, and

    .. math::

        \rho_\infty = \frac{2}{1 - \beta_2} - 1, \quad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t}, \quad
        \kappa_t^2 = \frac{(\rho_t - 4)(\rho_t - 2)\,\rho_\infty}
                          {(\rho_\infty - 4)(\rho_\infty - 2)\,\rho_t}

    While :math:`\rho_t < \rho` it is SGD with momentum, where L2 is not divided by
    anything; from then on it is as in Adam.

    Args:
        learning_rate: see the package.
        l2: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        threshold: :math:`\rho \ge 4`, the length of average that is trusted.
        where: see the package.

    Returns:
        ``chain(add_l2, radam)``.

    References:
        Liu et al., *On the Variance of the Adaptive Learning Rate and Beyond*, 2020,
        Algorithm 2, whose condition is :math:`\rho_t > 4`.
        https://arxiv.org/abs/1908.03265
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            _radam(learning_rate, b1, b2, eps, threshold),  # −αR(g)
        )
    )


def radamw(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    threshold: ScalarLike = 5.0,
    where: Where = None,
    peak_learning_rate: ScalarLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""RAdam with decoupled weight decay.

    .. math::

        \theta_{t+1} = (1 - \delta_t)\,\theta_t - \alpha_t\, R_t(\nabla f(\theta_t))

    with :math:`R_t` as in :func:`radam_l2`. The decay has no warm-up of its own.

    Args:
        learning_rate: see the package.
        weight_decay: see the package.
        convention: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        threshold: :math:`\rho \ge 4`, the length of average that is trusted.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(radam, decay_weights)``.

    References:
        See :func:`radam_l2`;
        ``torch.optim.RAdam(decoupled_weight_decay=True)``.
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            _radam(learning_rate, b1, b2, eps, threshold),  # −αR(∇f)
            decay_weights(delta, where=where),  # − δθ
        )
    )


def _radam(
    learning_rate: ScalarOrSchedule,
    b1: ScalarLike,
    b2: ScalarLike,
    eps: ScalarLike,
    threshold: ScalarLike,
) -> optax.GradientTransformationExtraArgs:
    check.non_negative("learning_rate", learning_rate)
    check.below_one("b1", b1)
    check.below_one("b2", b2)
    check.number("eps", eps)
    check.number("threshold", threshold)
    if check.is_concrete(threshold) and float(threshold) < 4:
        raise ValueError(
            f"threshold is {float(threshold):g}; below 4 the rectification is the root "
            "of a negative number. Liu et al. have 4, Optax 5."
        )
    return skip_none(
        optax.radam(learning_rate, b1=b1, b2=b2, eps=eps, threshold=threshold)
    )
