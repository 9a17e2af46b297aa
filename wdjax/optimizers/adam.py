"""Adam: L2 in front of it, or decay behind it."""

import optax

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def adam_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adam on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        \theta_{t+1} &= \theta_t - \alpha_t\, A_t(g_t)

    where :math:`A_t(g) = \hat m_t / (\sqrt{\hat v_t} + \epsilon)`. The penalty enters
    before :math:`A_t`, which divides it by :math:`\sqrt{\hat v_t}` too.

    Args:
        learning_rate: see the package.
        l2: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: see the package.

    Returns:
        ``chain(add_l2, adam)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 2, pink. https://arxiv.org/abs/1711.05101
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            base(learning_rate, b1, b2, eps),  # −αA(g)
        )
    )


def adamw(
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
    r"""Adam with decoupled weight decay.

    .. math::

        \theta_{t+1} = (1 - \delta_t)\,\theta_t - \alpha_t\, A_t(\nabla f(\theta_t))

    with :math:`A_t` as in :func:`adam_l2`: the decay never meets it.

    Args:
        learning_rate: see the package.
        weight_decay: see the package.
        convention: see the package. The default is that of ``optax.adamw`` and
            ``torch.optim.AdamW``; Algorithm 2 of the paper is ``PAPER``.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(adam, decay_weights)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 2, green. https://arxiv.org/abs/1711.05101
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            base(learning_rate, b1, b2, eps),  # −αA(∇f)
            decay_weights(delta, where=where),  # − δθ
        )
    )


def base(
    learning_rate: ScalarOrSchedule, b1: ScalarLike, b2: ScalarLike, eps: ScalarLike
) -> optax.GradientTransformationExtraArgs:
    """``optax.adam``, its arguments checked, ``None`` gradients let through."""
    check.non_negative("learning_rate", learning_rate)
    check.below_one("b1", b1)
    check.below_one("b2", b2)
    check.number("eps", eps)
    return skip_none(optax.adam(learning_rate, b1=b1, b2=b2, eps=eps))
