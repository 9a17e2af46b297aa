r"""Named chains: the same base, with the pull in front (``*_l2``) or behind (``*w``).

Arguments shared by all of them:

* ``learning_rate``: :math:`\alpha_t \ge 0`, a number or a schedule of steps.
* ``l2``: :math:`\lambda_2 \ge 0`, the coefficient of :math:`\tfrac12\|\theta\|^2` in
  the loss; or its schedule.
* ``weight_decay``: :math:`\lambda \ge 0` under ``convention``; or its schedule.
* ``convention``: what λ means, :math:`\delta_t = \lambda\alpha^{a}\eta_t^{b}`; see
  :class:`~wdjax.Convention`.
* ``peak_learning_rate``: :math:`\alpha`, needed where ``learning_rate`` is a schedule
  and the convention's exponents differ; see :func:`~wdjax.decay_rate`.
* ``where``: which leaves are pulled, and how strongly; see :mod:`wdjax.where`.

Every hyper-parameter may be a Python number or a traced array; the first three also a
schedule. All ``update`` functions require ``params``. All raise ``ValueError`` for a
concrete rate that is negative or not finite.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from wdjax import check
from wdjax.decay import (
    OPTAX,
    Convention,
    add_l2,
    decay_rate,
    decay_weights,
)
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def sgd_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    momentum: ScalarLike = 0.0,
    nesterov: bool = False,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD with momentum on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        m_t &= \beta m_{t-1} + g_t \\
        \theta_{t+1} &= \theta_t - \alpha_t m_t

    Args:
        learning_rate: see the module.
        l2: see the module.
        momentum: :math:`\beta \in [0, 1)`.
        nesterov: step along :math:`\beta m_t + g_t` instead of :math:`m_t`.
        where: see the module.

    Returns:
        ``chain(add_l2, sgd)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 1, pink. (Theirs has the learning rate inside the momentum.)
    """
    check.non_negative("learning_rate", learning_rate)
    return optax.chain(
        add_l2(l2, where=where),  # g ← ∇f + λ₂θ
        _sgd(learning_rate, momentum, nesterov),  # −α(βm + g)
    )


def sgdw(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    momentum: ScalarLike = 0.0,
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
        learning_rate: see the module.
        weight_decay: see the module.
        convention: see the module.
        momentum: :math:`\beta \in [0, 1)`.
        nesterov: step along :math:`\beta m_t + \nabla f` instead of :math:`m_t`.
        where: see the module.
        peak_learning_rate: see the module.

    Returns:
        ``chain(sgd, decay_weights)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 1, green. (Theirs has the learning rate inside the momentum.)
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return optax.chain(
        _sgd(learning_rate, momentum, nesterov),  # −α(βm + ∇f)
        decay_weights(delta, where=where),  # − δθ
    )


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
        learning_rate: see the module.
        l2: see the module.
        b1: :math:`\beta_1`, decay rate of the first moment.
        b2: :math:`\beta_2`, decay rate of the second moment.
        eps: :math:`\epsilon`, outside the square root.
        where: see the module.

    Returns:
        ``chain(add_l2, adam)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 2, pink. https://arxiv.org/abs/1711.05101
    """
    check.non_negative("learning_rate", learning_rate)
    return optax.chain(
        add_l2(l2, where=where),  # g ← ∇f + λ₂θ
        _adam(learning_rate, b1, b2, eps),  # −αA(g)
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
        learning_rate: see the module.
        weight_decay: see the module.
        convention: see the module. The default is that of ``optax.adamw`` and
            ``torch.optim.AdamW``; Algorithm 2 of the paper is ``PAPER``.
        b1: :math:`\beta_1`, decay rate of the first moment.
        b2: :math:`\beta_2`, decay rate of the second moment.
        eps: :math:`\epsilon`, outside the square root.
        where: see the module.
        peak_learning_rate: see the module.

    Returns:
        ``chain(adam, decay_weights)``.

    References:
        Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019,
        Algorithm 2, green. https://arxiv.org/abs/1711.05101
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return optax.chain(
        _adam(learning_rate, b1, b2, eps),  # −αA(∇f)
        decay_weights(delta, where=where),  # − δθ
    )


def _sgd(
    learning_rate: ScalarOrSchedule, momentum: ScalarLike, nesterov: bool
) -> optax.GradientTransformation:
    """SGD whose momentum may be traced; 0.0 takes the same path as any other."""
    trace = optax.trace(momentum, nesterov=nesterov)  # pyright: ignore[reportArgumentType]
    return optax.chain(
        _keep_state_dtypes(trace), optax.scale_by_learning_rate(learning_rate)
    )


def _adam(
    learning_rate: ScalarOrSchedule, b1: ScalarLike, b2: ScalarLike, eps: ScalarLike
) -> optax.GradientTransformation:
    """``optax.adam`` whose moments may be bfloat16 while its β are traced."""
    return _keep_state_dtypes(optax.adam(learning_rate, b1=b1, b2=b2, eps=eps))


def _keep_state_dtypes(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """Let no traced float32 β widen bfloat16 moments: a scan's carry cannot grow."""

    def update(
        updates: PyTree, state: PyTree, params: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        updates, new = optimizer.update(updates, state, params)
        return updates, jax.tree.map(_cast, new, state, is_leaf=_is_none)

    return optax.GradientTransformation(optimizer.init, update)


def _cast(new: Any, old: Any) -> Any:
    return new if new is None else jnp.asarray(new).astype(old.dtype)


def _is_none(leaf: Any) -> bool:
    return leaf is None  # the moment of a leaf without a gradient
