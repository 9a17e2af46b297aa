"""LAMB and LARS: the decay inside the trust ratio, as it was published."""

from collections.abc import Mapping
from typing import Any

import jax
import optax
from jaxtyping import PyTree

from wdjax import check
from wdjax.decay import combine, gate, place, pull, target
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where, stack_axes
from wdjax.types import ScalarLike, ScalarOrSchedule


def lamb(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-6,
    where: Where = None,
    stacked: Mapping[str, int] | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""LAMB: Adam's direction and the decay, rescaled together to the weights' norm.

    .. math::

        r_t &= A_t(\nabla f(\theta_t)) + \lambda\theta_t \\
        \theta_{t+1} &= \theta_t - \alpha_t \frac{\|\theta_t\|}{\|r_t\|}\, r_t

    layer by layer, with :math:`A_t` as in :func:`adam_l2`; the ratio is 1 where either
    norm is 0. It is neither of the two places: λ is behind the preconditioner and in
    front of a normalisation, so :math:`\lambda\alpha_t` is *not* the fraction of θ
    that is removed; at zero gradient that is :math:`\alpha_t` for every
    :math:`\lambda > 0`. For decay behind the ratio, wrap:
    ``with_weight_decay(lamb(α, 0.0), δ)``.

    Args:
        learning_rate: see the package.
        weight_decay: :math:`\lambda \ge 0`, the weight of θ against :math:`A_t`; or
            its schedule. No :class:`~wdjax.Convention` describes it.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: which leaves λ pulls; all are rescaled.
        stacked: how many leading axes count layers or members, by patterns of paths;
            see :func:`wdjax.where.stack_axes`. Each layer then has a ratio of its own.

    Returns:
        ``chain(scale_by_adam, + λθ, scale_by_trust_ratio, scale_by_learning_rate)``.

    References:
        You et al., *Large Batch Optimization for Deep Learning: Training BERT in 76
        minutes*, 2020, Algorithm 2, with :math:`\phi(z) = z`.
        https://arxiv.org/abs/1904.00962
    """
    check.non_negative("learning_rate", learning_rate)
    check.below_one("b1", b1)
    check.below_one("b2", b2)
    check.number("eps", eps)
    return keep_dtypes(
        optax.chain(
            skip_none(optax.scale_by_adam(b1, b2, eps)),  # r ← A(∇f)
            _add_weights(weight_decay, where, "lamb"),  # r ← r + λθ
            skip_none(
                _layer_by_layer(optax.scale_by_trust_ratio(), stacked)
            ),  # ‖θ‖/‖r‖ r
            optax.scale_by_learning_rate(learning_rate),  # −αr
        )
    )


def lars(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    trust_coefficient: ScalarLike = 0.001,
    eps: ScalarLike = 0.0,
    momentum: ScalarLike = 0.9,
    nesterov: bool = False,
    where: Where = None,
    stacked: Mapping[str, int] | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""LARS: gradient and decay, rescaled together to the weights' norm.

    .. math::

        r_t &= \nabla f(\theta_t) + \lambda\theta_t \\
        v_t &= \beta v_{t-1}
               - \alpha_t \frac{c\,\|\theta_t\|}{\|r_t\| + \epsilon}\, r_t \\
        \theta_{t+1} &= \theta_t + v_t

    layer by layer; the ratio is 1 where either norm is 0. λ is the L2 coefficient of
    SGD, in front of a normalisation and of the momentum: it turns a step and does not
    lengthen it. The learning rate is inside the momentum, as in
    :func:`sgd_l2_velocity`.

    Args:
        learning_rate: see the package.
        weight_decay: :math:`\lambda \ge 0`, the weight of θ against the gradient; or
            its schedule. No :class:`~wdjax.Convention` describes it.
        trust_coefficient: :math:`c \ge 0`.
        eps: :math:`\epsilon \ge 0`.
        momentum: :math:`\beta \in [0, 1)`.
        nesterov: see :func:`sgd_l2_velocity`.
        where: which leaves λ pulls; all are rescaled.
        stacked: how many leading axes count layers or members, by patterns of paths;
            see :func:`wdjax.where.stack_axes`. Each layer then has a ratio of its own.

    Returns:
        ``chain(+ λθ, scale_by_trust_ratio, scale_by_learning_rate, trace)``.

    References:
        You, Gitman & Ginsburg, *Large Batch Training of Convolutional Networks*,
        2017, Algorithm 1, as ``optax.lars`` has it: the paper divides by
        :math:`\|\nabla f\| + \lambda\|\theta\|` instead of :math:`\|r_t\|`.
        https://arxiv.org/abs/1708.03888
    """
    check.non_negative("learning_rate", learning_rate)
    check.number("trust_coefficient", trust_coefficient)
    check.number("eps", eps)
    check.below_one("momentum", momentum)
    ratio = _layer_by_layer(
        optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps),
        stacked,
    )
    trace = optax.trace(momentum, nesterov=nesterov)  # pyright: ignore[reportArgumentType]
    return keep_dtypes(
        optax.chain(
            _add_weights(weight_decay, where, "lars"),  # r ← ∇f + λθ
            skip_none(ratio),  # r ← c‖θ‖/(‖r‖ + ε) r
            optax.scale_by_learning_rate(learning_rate),  # −αr
            skip_none(trace),  # v ← βv − αr
        )
    )


def _add_weights(
    weight_decay: ScalarOrSchedule, where: Where, caller: str
) -> optax.GradientTransformation:
    """What `add_l2` adds, to a direction instead of a gradient."""
    check.non_negative("weight_decay", weight_decay)
    axes = combine.axes("coupled", pull.quadratic, target.origin, gate.always, where)
    return place.put(place.coupled, weight_decay, axes, caller=caller)


def _layer_by_layer(
    ratio: optax.GradientTransformation, stacked: Mapping[str, int] | None
) -> optax.GradientTransformation:
    """A transformation without a state, on each entry of a stack by itself."""

    def rescaled(u: Any, theta: Any, axes: int) -> Any:
        one = lambda u, theta: ratio.update(u, optax.EmptyState(), theta)[0]  # noqa: E731
        for _ in range(axes):
            one = jax.vmap(one)
        return one(u, theta)

    def init(params: PyTree) -> Any:
        if jax.tree.leaves(params):  # `optax.tree.map_params` shows a tree without
            stack_axes(stacked, params)  # speaks before anything compiles
        return ratio.init(params)

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, Any]:
        thetas, structure = jax.tree.flatten(params)
        us = structure.flatten_up_to(updates)
        leaves = zip(us, thetas, stack_axes(stacked, params), strict=True)
        return structure.unflatten([rescaled(*leaf) for leaf in leaves]), state

    return optax.GradientTransformation(init, update)
