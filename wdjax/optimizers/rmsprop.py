"""RMSProp: L2 in front of it, or decay behind it."""

from typing import Any

import optax

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def rmsprop_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    decay: ScalarLike = 0.9,
    eps: ScalarLike = 1e-8,
    initial_scale: ScalarLike = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: ScalarLike | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""RMSProp on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        \nu_t &= \beta \nu_{t-1} + (1 - \beta)\, g_t^2 \\
        \theta_{t+1} &= \theta_t - \alpha_t\, g_t / \sqrt{\nu_t + \epsilon}

    A momentum, as in Optax and Keras, takes in the steps with their learning rate;
    PyTorch's stands in front of it.

    Args:
        learning_rate: see the package.
        l2: see the package.
        decay: :math:`\beta \in [0, 1)`, decay rate of the second moment (of no
            weights: that is ``l2``).
        eps: :math:`\epsilon \ge 0`.
        initial_scale: :math:`\nu_0 \ge 0`.
        eps_in_sqrt: whether :math:`\epsilon` is inside the square root, or outside.
        centered: whether the squared mean of :math:`g` is subtracted from
            :math:`\nu`.
        momentum: of the steps, in [0, 1); ``None`` for none and no buffer.
        nesterov: see :func:`sgd_l2_velocity`; needs ``momentum``.
        bias_correction: whether the averages are divided by :math:`1 - \beta^t`.
        where: see the package.

    Returns:
        ``chain(add_l2, rmsprop)``.

    References:
        Tieleman & Hinton, *Neural Networks for Machine Learning*, Lecture 6.5, 2012.
        Centred, with momentum: Graves, *Generating Sequences with Recurrent Neural
        Networks*, 2013. https://arxiv.org/abs/1308.0850
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            _rmsprop(  # −αg/√ν
                learning_rate,
                decay=decay,
                eps=eps,
                initial_scale=initial_scale,
                eps_in_sqrt=eps_in_sqrt,
                centered=centered,
                momentum=momentum,
                nesterov=nesterov,
                bias_correction=bias_correction,
            ),
        )
    )


def rmspropw(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    decay: ScalarLike = 0.9,
    eps: ScalarLike = 1e-8,
    initial_scale: ScalarLike = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: ScalarLike | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    where: Where = None,
    peak_learning_rate: ScalarLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""RMSProp with decoupled weight decay.

    .. math::

        \theta_{t+1} = (1 - \delta_t)\,\theta_t
                       - \alpha_t\, \nabla f(\theta_t) / \sqrt{\nu_t + \epsilon}

    with :math:`\nu_t` as in :func:`rmsprop_l2`, of :math:`\nabla f` alone. The decay
    is behind a momentum, too.

    Args:
        learning_rate: see the package.
        weight_decay: see the package.
        convention: see the package.
        decay: see :func:`rmsprop_l2`; of no weights.
        eps: see :func:`rmsprop_l2`.
        initial_scale: see :func:`rmsprop_l2`.
        eps_in_sqrt: see :func:`rmsprop_l2`.
        centered: see :func:`rmsprop_l2`.
        momentum: see :func:`rmsprop_l2`.
        nesterov: see :func:`rmsprop_l2`.
        bias_correction: see :func:`rmsprop_l2`.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(rmsprop, decay_weights)``.

    References:
        See :func:`rmsprop_l2`.
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            _rmsprop(  # −α∇f/√ν
                learning_rate,
                decay=decay,
                eps=eps,
                initial_scale=initial_scale,
                eps_in_sqrt=eps_in_sqrt,
                centered=centered,
                momentum=momentum,
                nesterov=nesterov,
                bias_correction=bias_correction,
            ),
            decay_weights(delta, where=where),  # − δθ
        )
    )


def _rmsprop(
    learning_rate: ScalarOrSchedule, **hypers: Any
) -> optax.GradientTransformationExtraArgs:
    check.non_negative("learning_rate", learning_rate)
    check.below_one("decay", hypers["decay"])
    check.number("eps", hypers["eps"])
    check.number("initial_scale", hypers["initial_scale"])
    check.momentum(hypers["momentum"], hypers["nesterov"])
    return skip_none(optax.rmsprop(learning_rate, **hypers))
