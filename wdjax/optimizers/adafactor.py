"""Adafactor: L2 in front of it, or decay behind it."""

from typing import Any

import optax

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def adafactor_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    min_dim_size_to_factor: int = 128,
    decay_exponent: ScalarLike = 0.8,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: ScalarLike | None = 1.0,
    momentum: ScalarLike | None = None,
    eps: ScalarLike = 1e-30,
    factored: bool = True,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adafactor on the loss plus an L2 penalty.

    .. math::

        g_t &= \nabla f(\theta_t) + \lambda_2 \theta_t \\
        v_t &= \beta_t v_{t-1} + (1 - \beta_t)(g_t^2 + \epsilon), \qquad
        \beta_t = 1 - t^{-c} \\
        \theta_{t+1} &= \theta_t - \alpha_t \max(10^{-3}, \mathrm{RMS}(\theta_t))\,
            \mathrm{clip}\bigl(g_t / \sqrt{v_t}\bigr), \qquad
        \mathrm{clip}(r) = r / \max(1, \mathrm{RMS}(r) / d)

    with :math:`t` from 1. The :math:`v_t` of a large matrix is the outer product of
    the means over its rows and its columns, divided by their common mean.

    Args:
        learning_rate: see the package; relative to the parameters' RMS unless
            ``multiply_by_parameter_scale`` is off.
        l2: see the package.
        min_dim_size_to_factor: the second largest axis from which on :math:`v_t` is
            factored; a Python number.
        decay_exponent: :math:`c \ge 0` (``decay_rate`` in Optax, which here is
            always the weights').
        multiply_by_parameter_scale: whether the step is scaled by
            :math:`\mathrm{RMS}(\theta_t)`.
        clipping_threshold: :math:`d > 0`; ``None`` for no clipping.
        momentum: of an average of the steps, in [0, 1); ``None`` for none.
        eps: :math:`\epsilon \ge 0`, inside the average. (0 in float16.)
        factored: whether large matrices are factored at all.
        where: see the package.

    Returns:
        ``chain(add_l2, adafactor)``.

    References:
        Shazeer & Stern, *Adafactor: Adaptive Learning Rates with Sublinear Memory
        Cost*, 2018, Algorithms 4 and 5. https://arxiv.org/abs/1804.04235
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # g ← ∇f + λ₂θ
            _adafactor(  # −α RMS(θ) clip(g/√v)
                learning_rate,
                min_dim_size_to_factor=min_dim_size_to_factor,
                decay_rate=decay_exponent,
                multiply_by_parameter_scale=multiply_by_parameter_scale,
                clipping_threshold=clipping_threshold,
                momentum=momentum,
                eps=eps,
                factored=factored,
            ),
        )
    )


def adafactorw(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    min_dim_size_to_factor: int = 128,
    decay_exponent: ScalarLike = 0.8,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: ScalarLike | None = 1.0,
    momentum: ScalarLike | None = None,
    eps: ScalarLike = 1e-30,
    factored: bool = True,
    where: Where = None,
    peak_learning_rate: ScalarLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adafactor with decoupled weight decay.

    .. math::

        \theta_{t+1} = (1 - \delta_t)\,\theta_t
            - \alpha_t \max(10^{-3}, \mathrm{RMS}(\theta_t))\,
              \mathrm{clip}\bigl(\nabla f(\theta_t) / \sqrt{v_t}\bigr)

    with :math:`v_t` as in :func:`adafactor_l2`, of :math:`\nabla f` alone. Behind the
    clipping, the parameter scale and the momentum. ``optax.adafactor`` itself decays
    without the learning rate: its ``weight_decay_rate`` is ``convention=CONSTANT``.

    Args:
        learning_rate: see :func:`adafactor_l2`.
        weight_decay: see the package.
        convention: see the package. With :math:`a = 1` the peak is that of
            ``learning_rate``, not that of the step that it gives.
        min_dim_size_to_factor: see :func:`adafactor_l2`.
        decay_exponent: see :func:`adafactor_l2`; of no weights.
        multiply_by_parameter_scale: see :func:`adafactor_l2`.
        clipping_threshold: see :func:`adafactor_l2`.
        momentum: see :func:`adafactor_l2`.
        eps: see :func:`adafactor_l2`.
        factored: see :func:`adafactor_l2`.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(adafactor, decay_weights)``.

    References:
        See :func:`adafactor_l2`.
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            _adafactor(  # −α RMS(θ) clip(∇f/√v)
                learning_rate,
                min_dim_size_to_factor=min_dim_size_to_factor,
                decay_rate=decay_exponent,
                multiply_by_parameter_scale=multiply_by_parameter_scale,
                clipping_threshold=clipping_threshold,
                momentum=momentum,
                eps=eps,
                factored=factored,
            ),
            decay_weights(delta, where=where),  # − δθ
        )
    )


def _adafactor(
    learning_rate: ScalarOrSchedule, **hypers: Any
) -> optax.GradientTransformationExtraArgs:
    check.non_negative("learning_rate", learning_rate)
    check.number("decay_exponent", hypers["decay_rate"])
    if hypers["clipping_threshold"] is not None:
        check.positive("clipping_threshold", hypers["clipping_threshold"])
    if hypers["momentum"] is not None:
        check.below_one("momentum", hypers["momentum"])
    check.number("eps", hypers["eps"])
    return skip_none(optax.adafactor(learning_rate, **hypers))
