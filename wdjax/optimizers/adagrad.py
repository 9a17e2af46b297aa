"""AdaGrad: L2 in front of it, or decay behind it."""

import optax

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def adagrad_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    initial_accumulator_value: ScalarLike = 0.1,
    eps: ScalarLike = 1e-7,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""AdaGrad on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        s_t &= s_{t-1} + g_t^2 \\
        \theta_{t+1} &= \theta_t - \alpha_t\, g_t / \sqrt{s_t + \epsilon}

    The sum only grows: the penalty fades with the step size, while the decay of
    :func:`adagradw` does not.

    Args:
        learning_rate: see the package.
        l2: see the package.
        initial_accumulator_value: :math:`s_0 \ge 0`.
        eps: :math:`\epsilon \ge 0`, inside the square root (PyTorch's is outside).
        where: see the package.

    Returns:
        ``chain(add_l2, adagrad)``.

    References:
        Duchi, Hazan & Singer, *Adaptive Subgradient Methods for Online Learning and
        Stochastic Optimization*, 2011, the diagonal form.
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            _adagrad(learning_rate, initial_accumulator_value, eps),  # −αg/√s
        )
    )


def adagradw(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    initial_accumulator_value: ScalarLike = 0.1,
    eps: ScalarLike = 1e-7,
    where: Where = None,
    peak_learning_rate: ScalarLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""AdaGrad with decoupled weight decay.

    .. math::

        \theta_{t+1} = (1 - \delta_t)\,\theta_t
                       - \alpha_t\, \nabla f(\theta_t) / \sqrt{s_t + \epsilon}

    with :math:`s_t` as in :func:`adagrad_l2`, of :math:`\nabla f` alone. At a
    constant rate the steps shrink and the decay does not: it wins in the end.

    Args:
        learning_rate: see the package.
        weight_decay: see the package.
        convention: see the package.
        initial_accumulator_value: :math:`s_0 \ge 0`.
        eps: :math:`\epsilon \ge 0`, inside the square root.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(adagrad, decay_weights)``.

    References:
        See :func:`adagrad_l2`.
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            _adagrad(learning_rate, initial_accumulator_value, eps),  # −α∇f/√s
            decay_weights(delta, where=where),  # − δθ
        )
    )


def _adagrad(
    learning_rate: ScalarOrSchedule,
    initial_accumulator_value: ScalarLike,
    eps: ScalarLike,
) -> optax.GradientTransformationExtraArgs:
    check.non_negative("learning_rate", learning_rate)
    check.number("initial_accumulator_value", initial_accumulator_value)
    check.number("eps", eps)
    return skip_none(optax.adagrad(learning_rate, initial_accumulator_value, eps))
