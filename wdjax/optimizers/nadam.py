"""NAdam: Adam with a Nesterov step; L2 in front of it, or decay behind it."""

import optax

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def nadam_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""NAdam on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        \theta_{t+1} &= \theta_t - \alpha_t\, \frac{
            \beta_1 m_t / (1 - \beta_1^{t+1}) + (1 - \beta_1)\, g_t / (1 - \beta_1^t)}
            {\sqrt{\hat v_t} + \epsilon}

    with the moments of :func:`adam_l2` and :math:`t` from 1. The gradient enters the
    step twice, and the penalty with it.

    Args:
        learning_rate: see the package.
        l2: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: see the package.

    Returns:
        ``chain(add_l2, nadam)``.

    References:
        Dozat, *Incorporating Nesterov Momentum into Adam*, 2016, as ``optax.nadam``
        has it: one :math:`\beta_1`, where the paper and ``torch.optim.NAdam`` follow
        a product of scheduled ones.
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            _nadam(learning_rate, b1, b2, eps),  # −αN(g)
        )
    )


def nadamw(
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
    r"""NAdam with decoupled weight decay.

    .. math::

        \theta_{t+1} = (1 - \delta_t)\,\theta_t - \alpha_t\, N_t(\nabla f(\theta_t))

    with :math:`N_t` the direction of :func:`nadam_l2`.

    Args:
        learning_rate: see the package.
        weight_decay: see the package.
        convention: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(nadam, decay_weights)``.

    References:
        See :func:`nadam_l2`; ``optax.nadamw``.
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            _nadam(learning_rate, b1, b2, eps),  # −αN(∇f)
            decay_weights(delta, where=where),  # − δθ
        )
    )


def _nadam(
    learning_rate: ScalarOrSchedule, b1: ScalarLike, b2: ScalarLike, eps: ScalarLike
) -> optax.GradientTransformationExtraArgs:
    check.non_negative("learning_rate", learning_rate)
    check.below_one("b1", b1)
    check.below_one("b2", b2)
    check.number("eps", eps)
    return skip_none(optax.nadam(learning_rate, b1=b1, b2=b2, eps=eps))
