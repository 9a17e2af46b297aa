r"""The five places where :math:`\lambda\theta` can enter Adam.

.. math::

    m_t &= \beta_1 m_{t-1} + (1 - \beta_1)(\nabla f(\theta_t) + \lambda_m \theta_t) \\
    v_t &= \beta_2 v_{t-1} + (1 - \beta_2)(\nabla f(\theta_t) + \lambda_v \theta_t)^2 \\
    r_t &= \frac{\hat m_t + \lambda_r \theta_t}{\sqrt{\hat v_t} + \epsilon}

========================  ===================================  =====================
:func:`adam_l2`           :math:`(\lambda_2, \lambda_2, 0)`    both moments
`adam_l2_first_moment`    :math:`(\lambda_2, 0, 0)`            buffered, divided
`adam_l2_second_moment`   :math:`(0, \lambda_2, 0)`            a divisor only
`adam_l2_unbuffered`      :math:`(0, 0, \lambda_2)`            divided only
:func:`adamw`             :math:`(0, 0, 0)`, and δθ behind     neither
========================  ===================================  =====================

The first, second and fourth rest where :math:`\nabla f + \lambda_2\theta = 0`, at the
minimum of the penalised loss, and differ on their way there. The third pulls nowhere
and rests where :math:`\nabla f = 0`. Only the last removes a fraction of θ that does
not depend on the gradients.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from wdjax import check
from wdjax.decay import add_l2
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


class Entrances(NamedTuple):
    r"""How much of θ enters where: a row of the table, each a scalar or a schedule.

    Attributes:
        first_moment: :math:`\lambda_m \ge 0`.
        second_moment: :math:`\lambda_v \ge 0`.
        direction: :math:`\lambda_r \ge 0`.
    """

    first_moment: ScalarOrSchedule
    second_moment: ScalarOrSchedule
    direction: ScalarOrSchedule


class ScaleByAdamL2State(NamedTuple):
    """The two averages, and what the three pulls remember."""

    mu: PyTree
    nu: PyTree
    pulls: tuple[PyTree, PyTree, PyTree]


def scale_by_adam_l2(
    l2: Entrances,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
) -> optax.GradientTransformation:
    r"""Adam's direction with θ in either moment, or in the direction itself.

    The formula is the module's; ``optax.scale_by_adam`` if all three are 0.

    Args:
        l2: :math:`(\lambda_m, \lambda_v, \lambda_r)`, coefficients of
            :math:`\tfrac12\|\theta\|^2`.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: see the package.

    Returns:
        A gradient transformation whose ``update`` requires ``params``.
    """
    check.below_one("b1", b1)
    check.below_one("b2", b2)
    check.number("eps", eps)
    to_m, to_v, to_r = (add_l2(coefficient, where=where) for coefficient in l2)
    first, second = optax.ema(b1), optax.ema(b2)  # pyright: ignore[reportArgumentType]

    def init(params: PyTree) -> Any:
        memories = (to_m.init(params), to_v.init(params), to_r.init(params))
        return ScaleByAdamL2State(first.init(params), second.init(params), memories)

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, Any]:
        mu, nu, (at_m, at_v, at_r) = state
        g_m, at_m = to_m.update(updates, at_m, params)  # ∇f + λₘθ
        g_v, at_v = to_v.update(updates, at_v, params)  # ∇f + λᵥθ
        m_hat, mu = first.update(g_m, mu)
        v_hat, nu = second.update(jax.tree.map(_squared, g_v), nu)
        m_hat, at_r = to_r.update(m_hat, at_r, params)  # m̂ + λᵣθ
        r = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), m_hat, v_hat)
        return r, ScaleByAdamL2State(mu, nu, (at_m, at_v, at_r))

    return optax.GradientTransformation(init, update)


def adam_l2_first_moment(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adam with the L2 penalty in the first moment only.

    .. math:: \theta_{t+1} = \theta_t - \alpha_t\,
              \frac{\widehat{\mathrm{EMA}}(\nabla f + \lambda_2\theta)}
                   {\sqrt{\hat v_t} + \epsilon}

    with :math:`v_t` of :math:`\nabla f` alone: the pull is averaged and divided, and
    does not divide itself. Where gradients are small it is strong without bound: at
    zero gradient it is :math:`\lambda_2\theta / \epsilon`.

    Args:
        learning_rate: see the package.
        l2: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: see the package.

    Returns:
        ``chain(scale_by_adam_l2, scale_by_learning_rate)``.

    References:
        Bjorck, Weinberger & Gomes, *Understanding Decoupled and Early Weight Decay*,
        2021, compare the places. https://arxiv.org/abs/2012.13841
    """
    entrances = Entrances(l2, 0.0, 0.0)
    return _adam_l2(learning_rate, entrances, b1=b1, b2=b2, eps=eps, where=where)


def adam_l2_second_moment(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adam with the L2 penalty in the second moment only.

    .. math:: \theta_{t+1} = \theta_t - \alpha_t\, \frac{\hat m_t}
              {\sqrt{\widehat{\mathrm{EMA}}((\nabla f + \lambda_2\theta)^2)}
               + \epsilon}

    with :math:`m_t` of :math:`\nabla f` alone. Nothing pulls towards the origin: large
    weights take smaller steps, and at zero gradient none.

    Args:
        learning_rate: see the package.
        l2: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: see the package.

    Returns:
        ``chain(scale_by_adam_l2, scale_by_learning_rate)``.

    References:
        Bjorck, Weinberger & Gomes, *Understanding Decoupled and Early Weight Decay*,
        2021, compare the places. https://arxiv.org/abs/2012.13841
    """
    entrances = Entrances(0.0, l2, 0.0)
    return _adam_l2(learning_rate, entrances, b1=b1, b2=b2, eps=eps, where=where)


def adam_l2_unbuffered(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    b1: ScalarLike = 0.9,
    b2: ScalarLike = 0.999,
    eps: ScalarLike = 1e-8,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adam with the L2 penalty divided by the second moment, but not averaged.

    .. math:: \theta_{t+1} = \theta_t - \alpha_t\,
              \frac{\hat m_t + \lambda_2\theta_t}{\sqrt{\hat v_t} + \epsilon}

    with the moments of :math:`\nabla f` alone: a decay whose rate,
    :math:`\alpha_t\lambda_2 / (\sqrt{\hat v_t} + \epsilon)`, differs from weight to
    weight. Where it is above 2 the weight grows; at zero gradient it is
    :math:`\alpha_t\lambda_2 / \epsilon`.

    Args:
        learning_rate: see the package.
        l2: see the package.
        b1: :math:`\beta_1 \in [0, 1)`, decay rate of the first moment.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the second moment.
        eps: :math:`\epsilon \ge 0`, outside the square root.
        where: see the package.

    Returns:
        ``chain(scale_by_adam_l2, scale_by_learning_rate)``.

    References:
        Bjorck, Weinberger & Gomes, *Understanding Decoupled and Early Weight Decay*,
        2021, compare the places. https://arxiv.org/abs/2012.13841
    """
    entrances = Entrances(0.0, 0.0, l2)
    return _adam_l2(learning_rate, entrances, b1=b1, b2=b2, eps=eps, where=where)


def _adam_l2(
    learning_rate: ScalarOrSchedule, l2: Entrances, **hypers: Any
) -> optax.GradientTransformationExtraArgs:
    check.non_negative("learning_rate", learning_rate)
    return keep_dtypes(
        optax.chain(
            skip_none(scale_by_adam_l2(l2, **hypers)),  # r
            optax.scale_by_learning_rate(learning_rate),  # −αr
        )
    )


def _squared(g: Array) -> Array:
    return jnp.real(g) ** 2 + jnp.imag(g) ** 2  # |g|², of complex leaves too
