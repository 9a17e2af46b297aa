"""AdamS and SGDS: the decay follows the gradient, or momentum's gain."""

import optax

from wdjax import check
from wdjax.decay import decay_rate, decay_weights, rate, with_stable_weight_decay
from wdjax.decay.carry import keep_dtypes
from wdjax.decay.where import Where
from wdjax.optimizers import adam, sgd
from wdjax.types import ScalarLike, ScalarOrSchedule


def adams(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adam with stable weight decay.

    .. math::

        \theta_{t+1} = (1 - \delta_t)\,\theta_t
            - \alpha_t \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}, \qquad
        \delta_t = \frac{\lambda\alpha_t}{\sqrt{\operatorname{mean}(\hat v_t)}}

    The mean is over all entries of all parameters, and there is no ε in it; see
    :func:`with_stable_weight_decay` for gradients that vanish.

    Args:
        learning_rate: :math:`\alpha_t \ge 0`, a number or a schedule of steps.
        weight_decay: :math:`\lambda \ge 0`, in units of the gradient (that of L2);
            or its schedule.
        b1: :math:`\beta_1`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon`, outside the square root.
        where: which leaves are decayed, and how strongly; see :mod:`wdjax.where`.

    Returns:
        ``with_stable_weight_decay(adam, decay_rate(weight_decay, learning_rate))``.

    Raises:
        ValueError: a rate is negative or not finite, or ``b2`` is not in [0, 1).

    References:
        Xie et al., *On the Overlooked Pitfalls of Weight Decay and How to Mitigate
        Them: A Gradient-Norm Perspective*, 2023 (AdamS); the formula as in their
        ``swd_optim/adams.py``, zeke-xie/stable-weight-decay-regularization.
    """
    delta = decay_rate(weight_decay, learning_rate)
    base = adam.base(learning_rate, b1, b2, eps)
    return keep_dtypes(with_stable_weight_decay(base, delta, b2=b2, where=where))


def sgds(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    momentum: ScalarLike | None = 0.0,
    dampening: ScalarLike = 0.0,
    nesterov: bool = False,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD with momentum and stable weight decay.

    .. math::

        m_t &= \mu m_{t-1} + (1 - d)\,\nabla f(\theta_t) \\
        \theta_{t+1} &= (1 - \delta_t)\,\theta_t - \alpha_t m_t, \qquad
        \delta_t = \lambda\alpha_t \frac{1 - d}{1 - \mu}

    A constant gradient is followed at the rate :math:`\alpha_t (1 - d)/(1 - \mu)`,
    momentum's gain, and the decay takes the same rate. So at a constant
    :math:`\alpha_t` the fixed point is that of the loss plus
    :math:`\tfrac{\lambda}{2}\|\theta\|^2`, whatever the momentum, as with
    :func:`wdjax.sgd_l2`.

    Args:
        learning_rate: :math:`\alpha_t \ge 0`, a number or a schedule of steps.
        weight_decay: :math:`\lambda \ge 0`, in units of an L2 coefficient; or its
            schedule.
        momentum: :math:`\mu \in [0, 1)`; ``None`` for 0 without a buffer.
        dampening: :math:`d \in [0, 1)`.
        nesterov: step along :math:`\mu m_t + (1 - d)\nabla f` instead of :math:`m_t`.
        where: which leaves are decayed, and how strongly; see :mod:`wdjax.where`.

    Returns:
        ``chain(sgd, decay_weights)``.

    Raises:
        ValueError: a rate is negative or not finite, or ``momentum`` or ``dampening``
            is not in [0, 1).

    References:
        ``swd_optim/sgds.py`` of zeke-xie/stable-weight-decay-regularization, for Xie
        et al., *Stable Weight Decay Regularization*, 2020. There the first step is not
        dampened, as in PyTorch; here it is.
    """
    check.non_negative("learning_rate", learning_rate)
    buffer = sgd.buffer(momentum, nesterov)
    check.below_one("dampening", dampening)
    gain = (1 - dampening) / (1 - (0.0 if momentum is None else momentum))
    delta = decay_rate(weight_decay, rate.product(gain, learning_rate))
    return keep_dtypes(
        optax.chain(
            buffer,
            optax.scale_by_learning_rate(rate.product(1 - dampening, learning_rate)),
            decay_weights(delta, where=where),
        )
    )
