"""AdaMax: Adam in the infinity norm; L2 in front of it, or decay behind it."""

import optax

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def adamax_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""AdaMax on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        v_t &= \max(\beta_2 v_{t-1},\, |g_t| + \epsilon) \\
        \theta_{t+1} &= \theta_t - \alpha_t\, \hat m_t / v_t

    with the first moment of :func:`adam_l2`.

    Args:
        learning_rate: see the package.
        l2: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the infinity norm.
        eps: :math:`\epsilon \ge 0`, inside the maximum; at 0, a weight that has had no
            gradient yet becomes NaN.
        where: see the package.

    Returns:
        ``chain(add_l2, adamax)``.

    References:
        Kingma & Ba, *Adam: A Method for Stochastic Optimization*, 2015, Algorithm 2
        (which has no :math:`\epsilon`). https://arxiv.org/abs/1412.6980
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            _adamax(learning_rate, b1, b2, eps),  # −αm̂/v
        )
    )


def adamaxw(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
    peak_learning_rate: ScalarLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""AdaMax with decoupled weight decay.

    .. math::

        \theta_{t+1} = (1 - \delta_t)\,\theta_t - \alpha_t\, \hat m_t / v_t

    with the moments of :func:`adamax_l2`, of :math:`\nabla f` alone.

    Args:
        learning_rate: see the package.
        weight_decay: see the package.
        convention: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the infinity norm.
        eps: :math:`\epsilon \ge 0`, inside the maximum; at 0, a weight that has had no
            gradient yet becomes NaN.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(adamax, decay_weights)``.

    References:
        See :func:`adamax_l2`; ``optax.adamaxw``.
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            _adamax(learning_rate, b1, b2, eps),  # −αm̂/v
            decay_weights(delta, where=where),  # − δθ
        )
    )


def _adamax(
    learning_rate: ScalarOrSchedule, b1: ScalarLike, b2: ScalarLike, eps: ScalarLike
) -> optax.GradientTransformationExtraArgs:
    check.non_negative("learning_rate", learning_rate)
    check.below_one("b1", b1)
    check.below_one("b2", b2)
    check.number("eps", eps)
    return skip_none(optax.adamax(learning_rate, b1=b1, b2=b2, eps=eps))
