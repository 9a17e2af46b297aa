r"""Decay in balance with the gradient: stable (scheduled) and corrected.

Constant decay lets gradients grow towards the end of training (Xie et al. 2023; Defazio
2025). Two remedies make the rate depend on more than the step:

* *stable*, later named *scheduled*, weight decay (SWD): divide δ_t by a running norm of
  the gradient, one scalar for all parameters. :func:`with_stable_weight_decay` does so
  for any optimizer; around Adam it is the paper's AdamS.
* *corrected*: δ_t = λα_t²/α on the layers that a normalisation makes scale-invariant
  and λα_t on the others: :func:`with_corrected_weight_decay`; around Adam it is AdamC.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from wdjax import check
from wdjax.decay import combine, convention, layers, place
from wdjax.decay import where as where_
from wdjax.decay.decoupled import decay_weights
from wdjax.decay.gate import always
from wdjax.decay.pull import quadratic
from wdjax.decay.schedule import at, increment
from wdjax.decay.target import origin
from wdjax.types import ScalarLike, ScalarOrSchedule


class StableState(NamedTuple):
    """The state of :func:`with_stable_weight_decay`.

    Attributes:
        inner: the wrapped optimizer's.
        decay: the decay's.
        v: the running mean of the squared gradient, before its bias correction.
        step: the count :math:`t`.
    """

    inner: PyTree
    decay: PyTree
    v: Float[Array, ""]
    step: Int[Array, ""]


def with_stable_weight_decay(
    optimizer: optax.GradientTransformation,
    decay_rate: ScalarOrSchedule,
    *,
    b2: ScalarLike = 0.999,
    where: where_.Where = None,
    strict: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Any optimizer, with decay that weakens while the gradient is large.

    .. math::

        \bar v_t &= \beta_2 \bar v_{t-1} + (1 - \beta_2)\,
                    \operatorname{mean}(g_t^2) \\
        \delta_t &= \min\Bigl(\frac{\delta^1_t}
                    {\sqrt{\bar v_t / (1 - \beta_2^t)}},\ 1\Bigr), \qquad t = 1, 2, …

    The mean is over the entries of *all* parameters that have a gradient, those that
    ``where`` leaves alone included. As a running mean is linear, :math:`\bar v_t` is
    the mean of Adam's :math:`v_t`: one scalar replaces a look into its state. The
    gradient is the one that arrives here: put clipping in front of the whole, and
    ``optax.MultiSteps`` around it. Inside ``optax.partition`` the mean is the group's.

    Where the gradient vanishes the formula has no limit. Here at most the whole weight
    is removed (:math:`\delta_t \le 1`), and nothing as long as every gradient so far
    was zero (:math:`\bar v_t = 0`); the authors' code divides by zero there.

    Args:
        optimizer: what makes the update, learning rate included.
        decay_rate: :math:`\delta^1_t`, the rate at gradients of root mean square 1,
            usually :math:`\lambda\alpha_t` from :func:`wdjax.decay_rate`; or its
            schedule.
        b2: :math:`\beta_2 \in [0, 1)`.
        where: see :func:`wdjax.decay_weights`.
        strict: refuse, rather than warn of, leaves that ``optimizer`` penalises too.

    Returns:
        An optimizer whose ``update`` requires ``params``.

    Raises:
        ValueError: ``decay_rate`` is negative or not finite, ``b2`` is not in [0, 1),
            or ``where`` does not fit.

    References:
        Xie et al., *On the Overlooked Pitfalls of Weight Decay and How to Mitigate
        Them: A Gradient-Norm Perspective*, 2023 (SWD, "scheduled"; "stable" in the
        versions before). The bound by 1 and the case of zero are ours.
    """
    check.non_negative("decay_rate", decay_rate)
    check.below_one("b2", b2)
    inner = optax.with_extra_args_support(optimizer)
    axes = combine.Axes(quadratic, origin, always, where)
    name = "with_stable_weight_decay"

    def init(params: PyTree) -> Any:
        # A schedule would bring a count of its own; the ledger asks for 0 or not 0.
        unscaled = 1.0 if callable(decay_rate) else decay_rate
        decay = place.put(place.decoupled, unscaled, axes, caller=name)
        v, step = jnp.zeros(()), jnp.zeros((), jnp.int32)
        return StableState(inner.init(params), decay.init(params), v, step)

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        v = b2 * state.v + (1 - b2) * _mean_square(updates)
        step = increment(state.step)
        delta = _over_norm(at(decay_rate, state.step), v / (1 - b2**step))
        decay = place.put(place.decoupled, delta, axes, caller=name)
        updates, inner_state = inner.update(updates, state.inner, params, **extra)
        updates, decay_state = decay.update(updates, state.decay, params)
        return updates, StableState(inner_state, decay_state, v, step)

    stable = optax.GradientTransformationExtraArgs(init, update)
    return combine.checked(stable, optimizer, place="decoupled", strict=strict)


def with_corrected_weight_decay(
    optimizer: optax.GradientTransformation,
    weight_decay: ScalarOrSchedule,
    learning_rate: ScalarOrSchedule,
    *,
    normalised: where_.Where,
    peak_learning_rate: ScalarLike | None = None,
    where: where_.Where = None,
    strict: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Any optimizer, with decay corrected on normalised layers.

    .. math:: \delta_t = \begin{cases}
        \lambda\,\alpha_t^2 / \alpha & \text{on normalised layers} \\
        \lambda\,\alpha_t & \text{on the others}
        \end{cases}

    A weight that a normalisation follows settles where
    :math:`\|g\|/\|\theta\| \approx \sqrt{2\delta_t}/\alpha_t` (SGD). Under λα_t that
    ratio grows as a schedule falls; corrected, it stays where it is.

    Args:
        optimizer: what makes the update, learning rate included, without decay.
        weight_decay: :math:`\lambda \ge 0`; or its schedule.
        learning_rate: :math:`\alpha_t`, the one inside ``optimizer``.
        normalised: the leaves that feed a normalisation (not its own gains and
            biases): a rule or a tree, of which only "0 or not" counts. See
            :mod:`wdjax.where`. Where all leaves do, take the ``CORRECTED``
            convention instead.
        peak_learning_rate: :math:`\alpha`, needed where ``learning_rate`` is a
            schedule.
        where: which leaves are decayed, and how strongly.
        strict: refuse, rather than warn of, leaves that ``optimizer`` penalises too.

    Returns:
        ``optimizer``, followed by one decay for each kind of layer.

    Raises:
        ValueError: a rate is negative or not finite, the peak is missing or not
            positive, or a rule does not fit.

    References:
        Defazio, *Why Gradients Rapidly Increase Near the End of Training*, 2025 (AdamC,
        SGDC).
    """
    corrected = convention.decay_rate(
        weight_decay,
        learning_rate,
        convention.CORRECTED,
        peak_learning_rate=peak_learning_rate,
    )
    usual = convention.decay_rate(weight_decay, learning_rate)
    others = where_.complement(normalised)
    chain = optax.chain(
        optimizer,
        _decay_both(corrected, where, where_.complement(others)),  # 1, not the strength
        _decay_both(usual, where, others),
    )
    return combine.checked(chain, optimizer, place="decoupled", strict=strict)


def _decay_both(
    rate: ScalarOrSchedule, where: where_.Where, also: where_.Where
) -> optax.GradientTransformation:
    """Decay with the product of two rules' multipliers."""

    def decay(params: PyTree) -> optax.GradientTransformation:
        pairs = zip(
            where_.resolve(where, params), where_.resolve(also, params), strict=True
        )
        structure = jax.tree.structure(params)
        return decay_weights(rate, where=structure.unflatten([m * n for m, n in pairs]))

    def init(params: PyTree) -> Any:
        return decay(params).init(params)

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, Any]:
        check.has_parameters("with_corrected_weight_decay", params)
        return decay(params).update(updates, state, params)

    return optax.GradientTransformation(init, update)


def _mean_square(gradients: PyTree) -> Any:
    """The mean of |g|² over the entries of all leaves, in float32 at least."""
    leaves = [jnp.asarray(g) for g in jax.tree.leaves(gradients)]
    # Without the barrier XLA writes out the squares, to share them with Adam's.
    apart = jax.lax.optimization_barrier(leaves)
    sums = (layers.square_sum(g, range(g.ndim)).sum() for g in apart)
    return sum(sums) / max(sum(g.size for g in leaves), 1)


def _over_norm(rate: Any, v: Any) -> Any:
    """min(rate/√v, 1), and 0 where v is."""
    return jnp.minimum(layers.over(jnp.asarray(rate), layers.root(v)), 1.0)
