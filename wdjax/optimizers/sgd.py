"""SGD with momentum; the learning rate outside the momentum buffer, or inside it."""

import optax

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def sgd_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    momentum: ScalarLike | None = 0.0,
    nesterov: bool = False,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD with momentum on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        m_t &= \beta m_{t-1} + g_t \\
        \theta_{t+1} &= \theta_t - \alpha_t m_t

    Args:
        learning_rate: see the package.
        l2: see the package.
        momentum: :math:`\beta \in [0, 1)`; ``None`` for 0 without a buffer.
        nesterov: step along :math:`\beta m_t + g_t` instead of :math:`m_t`.
        where: see the package.

    Returns:
        ``chain(add_l2, sgd)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 1, pink. (Theirs has the learning rate inside the momentum:
        :func:`sgd_l2_velocity`.)
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            buffer(momentum, nesterov),  # m ← βm + g
            _negated(learning_rate),  # −αm
        )
    )


def sgdw(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    momentum: ScalarLike | None = 0.0,
    nesterov: bool = False,
    where: Where = None,
    peak_learning_rate: ScalarLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD with momentum and decoupled weight decay.

    .. math::

        m_t &= \beta m_{t-1} + \nabla f(\theta_t) \\
        \theta_{t+1} &= (1 - \delta_t)\,\theta_t - \alpha_t m_t

    Without momentum it is :func:`sgd_l2` with :math:`\delta_t = \alpha_t\lambda_2`.
    With momentum it is not; the two then share their fixed point if
    :math:`\delta = \alpha\lambda_2 / (1 - \beta)`.

    Args:
        learning_rate: see the package.
        weight_decay: see the package.
        convention: see the package.
        momentum: :math:`\beta \in [0, 1)`; ``None`` for 0 without a buffer.
        nesterov: step along :math:`\beta m_t + \nabla f` instead of :math:`m_t`.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(sgd, decay_weights)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 1, green. (Theirs has the learning rate inside the momentum:
        :func:`sgdw_velocity`.)
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            buffer(momentum, nesterov),  # m ← βm + ∇f
            _negated(learning_rate),  # −αm
            decay_weights(delta, where=where),  # − δθ
        )
    )


def sgd_l2_velocity(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    momentum: ScalarLike | None = 0.0,
    nesterov: bool = False,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD on the loss plus an L2 penalty, the learning rate inside the momentum.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        v_t &= \beta v_{t-1} - \alpha_t g_t \\
        \theta_{t+1} &= \theta_t + v_t

    The buffer is a velocity: each gradient keeps the learning rate of its own step.
    At a constant rate this is :func:`sgd_l2`; under a schedule it is not, and after
    the rate has reached 0 it still coasts.

    Args:
        learning_rate: see the package.
        l2: see the package.
        momentum: :math:`\beta \in [0, 1)`; ``None`` for 0 without a buffer.
        nesterov: step by :math:`\beta v_t - \alpha_t g_t` instead of :math:`v_t`.
        where: see the package.

    Returns:
        ``chain(add_l2, scale_by_learning_rate, trace)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 1, pink (their :math:`m` is :math:`-v`); ``keras.optimizers.SGD``,
        ``nesterov`` included.
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            _negated(learning_rate),  # −αg
            buffer(momentum, nesterov),  # v ← βv − αg
        )
    )


def sgdw_velocity(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    momentum: ScalarLike | None = 0.0,
    nesterov: bool = False,
    where: Where = None,
    peak_learning_rate: ScalarLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD with decoupled weight decay, the learning rate inside the momentum.

    .. math::

        v_t &= \beta v_{t-1} - \alpha_t \nabla f(\theta_t) \\
        \theta_{t+1} &= (1 - \delta_t)\,\theta_t + v_t

    At a constant rate this is :func:`sgdw`; under a schedule it is not.

    Args:
        learning_rate: see the package.
        weight_decay: see the package.
        convention: see the package. Algorithm 1 of the paper is ``PAPER``, Keras is
            the default.
        momentum: :math:`\beta \in [0, 1)`; ``None`` for 0 without a buffer.
        nesterov: step by :math:`\beta v_t - \alpha_t \nabla f` instead of
            :math:`v_t`.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(scale_by_learning_rate, trace, decay_weights)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 1, green (their :math:`m` is :math:`-v`);
        ``keras.optimizers.SGD(weight_decay=…)``.
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            _negated(learning_rate),  # −α∇f
            buffer(momentum, nesterov),  # v ← βv − α∇f
            decay_weights(delta, where=where),  # − δθ
        )
    )


def buffer(
    momentum: ScalarLike | None, nesterov: bool
) -> optax.GradientTransformationExtraArgs:
    """A buffer whose β may be traced; 0.0 takes the same path as any other."""
    check.momentum(momentum, nesterov)
    if momentum is None:
        return optax.with_extra_args_support(optax.identity())
    return skip_none(optax.trace(momentum, nesterov=nesterov))  # pyright: ignore[reportArgumentType]


def _negated(learning_rate: ScalarOrSchedule) -> optax.GradientTransformation:
    check.non_negative("learning_rate", learning_rate)
    return optax.scale_by_learning_rate(learning_rate)
