r"""Decay that survives bfloat16 and float16 weights: three wrappers.

The trap. With :math:`p` significant bits the gap below a weight :math:`\theta` is
between :math:`2^{-p}|\theta|` and :math:`2^{1-p}|\theta|`, and a change of less than
half of it rounds back to :math:`\theta`:

=========  ====  ===========================  ============================
dtype      p     moves no weight              moves every (normal) weight
=========  ====  ===========================  ============================
bfloat16   8     :math:`\delta \le 2^{-9}`    :math:`\delta \ge 2^{-8}`
float16    11    :math:`\delta \le 2^{-12}`   :math:`\delta \ge 2^{-11}`
=========  ====  ===========================  ============================

So at the common :math:`\delta_t = 10^{-4}` decay does nothing at all to such weights,
in a thousand steps or a million. Beside a step of the loss it is lost likewise, as far
as their sum rounds to what the step alone rounds to.

Each wrapper shows its optimizer float32 weights and gradients in place of the narrow
ones, keeps what rounding would lose in its own way, and emits float32 updates whose sum
with the weights is the new weight *exactly*, so that ``optax.apply_updates``, which
sums in float32 and casts back, has nothing left to round:

==================================  =========================  ==================
wrapper                             bytes for each parameter   rounding error
==================================  =========================  ==================
:func:`with_master_weights`         4                          never accumulates
:func:`with_error_feedback`         2                          p more bits
:func:`with_stochastic_rounding`    0                          unbiased
==================================  =========================  ==================

beside the optimizer's moments, which are float32 here (Adam's two: 8 bytes). Put the
wrapper around *everything* that makes the update, decay included, and apply its
updates as they are. One in float32 can cancel a narrow weight only to within
:math:`2^{-25}|\theta|`: a single step that makes a weight some thousand times smaller,
or more, may miss by a few of the new weight's last places.

Leaves of other dtypes, complex ones too, pass through untouched.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from wdjax import check
from wdjax.decay import draws, place
from wdjax.decay.carry import keep_dtypes
from wdjax.decay.schedule import increment

_NARROW = (jnp.bfloat16, jnp.float16)


class Keeper(NamedTuple):
    """What becomes of the part of a weight that its dtype cannot hold.

    Attributes:
        remember: a narrow leaf's memory at the start.
        recall: ``(theta, memory)`` to the float32 weight that the optimizer sees.
        store: ``(point, dtype, key)`` to the new weight, a float32 number that
            ``dtype`` holds exactly, and the new memory.
        draws: whether ``store`` needs the key.
        caller: the public name to use in messages.
    """

    remember: Callable[[Array], Any]
    recall: Callable[[Array, Any], Array]
    store: Callable[[Array, Any, Any], tuple[Array, Any]]
    draws: bool
    caller: str


class PrecisionState(NamedTuple):
    """The state of a wrapper.

    Attributes:
        inner: the wrapped optimizer's, initialised from float32 weights.
        memory: the keeper's, for each narrow leaf; ``None`` for the others.
        step: the count :math:`t`, where the keeper draws.
    """

    inner: PyTree
    memory: PyTree
    step: Int[Array, ""] | None


def with_master_weights(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    r"""Any optimizer, on a float32 copy of the weights.

    .. math:: \Theta_{t+1} = \Theta_t + u(\Theta_t), \qquad
              \theta_{t+1} = \mathrm{round}(\Theta_{t+1})

    The trajectory of :math:`\Theta` is that of float32 training with gradients taken
    at rounded weights. Change the weights by its updates only: a weight that is
    overwritten from outside is led back to :math:`\Theta` in the next step.

    Args:
        optimizer: what makes the update, decay included.

    Returns:
        The optimizer with 4 bytes more for each narrow parameter. Its ``update``
        requires ``params``.

    References:
        Micikevicius et al., *Mixed Precision Training*, 2018.
    """
    return _wrap(optimizer, _MASTER, None)


def with_error_feedback(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    r"""Any optimizer, with each rounding error carried into the next step.

    .. math:: p_t &= (\theta_t + e_t) + u(\theta_t + e_t) \\
              \theta_{t+1} &= \mathrm{round}(p_t), \qquad
              e_{t+1} = \mathrm{round}(p_t - \theta_{t+1})

    The error is kept in the weight's own dtype, so that the pair has twice its bits:
    in bfloat16 a step is lost only below about :math:`2^{-18}|\theta|`, and what
    rounding :math:`e` costs is at most :math:`2^{-17}|\theta|` a step (float16:
    :math:`2^{-23}`, and never less than its smallest number).

    Args:
        optimizer: what makes the update, decay included. It sees
            :math:`\theta + e`, not :math:`\theta`.

    Returns:
        The optimizer with 2 bytes more for each narrow parameter. Its ``update``
        requires ``params``.

    References:
        Kahan, *Further remarks on reducing truncation errors*, 1965; for weights:
        Zamirai et al., *Revisiting BFloat16 Training*, 2021. There the optimizer sees
        :math:`\theta` and :math:`u` is narrow.
    """
    return _wrap(optimizer, _FEEDBACK, None)


def with_stochastic_rounding(
    optimizer: optax.GradientTransformation, seed: int | Int[Array, ""]
) -> optax.GradientTransformationExtraArgs:
    r"""Any optimizer, rounding up or down at random so that the mean is right.

    .. math:: \theta_{t+1} = q\,\bigl(\lfloor p/q \rfloor
              + \mathbf 1[r < p/q - \lfloor p/q \rfloor]\bigr), \qquad
              p = \theta_t + u(\theta_t), \quad r \sim U[0, 1),

    with :math:`q` the gap between neighbouring weights at :math:`p`, so that
    :math:`\mathrm E\,\theta_{t+1} = p`. What :math:`T` steps of decay add is noise of
    variance at most :math:`T\,q\,\delta|\theta|`.

    A draw depends on the seed, the step and the leaf's number only. Give the groups
    of a partition different seeds, and the members of a ``vmap`` too where they shall
    not share their draws.

    Args:
        optimizer: what makes the update, decay included.
        seed: of the draws; may be traced.

    Returns:
        The optimizer with a step count more. Its ``update`` requires ``params``.

    Raises:
        ValueError: ``seed`` is not an integer.

    References:
        Gupta et al., *Deep Learning with Limited Numerical Precision*, 2015; Zamirai
        et al., *Revisiting BFloat16 Training*, 2021.
    """
    if not jnp.issubdtype(jnp.result_type(seed), jnp.integer) or jnp.ndim(seed):
        raise ValueError(f"seed is {seed!r}; it must be one integer.")
    return _wrap(optimizer, _STOCHASTIC, seed)


def _wrap(
    optimizer: optax.GradientTransformation, keeper: Keeper, seed: Any
) -> optax.GradientTransformationExtraArgs:
    """The optimizer behind a keeper."""
    inner = keep_dtypes(optimizer)

    def init(params: PyTree) -> Any:
        memory = jax.tree.map(
            lambda theta: keeper.remember(theta) if _is_narrow(theta) else None, params
        )
        step = jnp.zeros((), jnp.int32) if keeper.draws else None
        return PrecisionState(inner.init(jax.tree.map(_wide, params)), memory, step)

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        check.has_parameters(keeper.caller, params)
        thetas, structure = jax.tree.flatten(params)
        memories = place.memories(state.memory, structure)
        weights = [
            keeper.recall(theta, memory) if _is_narrow(theta) else theta
            for theta, memory in zip(thetas, memories, strict=True)
        ]
        updates, inner_state = inner.update(
            jax.tree.map(_wide, updates),
            state.inner,
            structure.unflatten(weights),
            **extra,
        )
        us = structure.flatten_up_to(updates)  # keeps a None where a leaf is frozen
        keys: list[Any] = [
            draws.leaf_key(seed, state.step, i) if keeper.draws else None
            for i in range(len(thetas))
        ]
        leaves = zip(us, thetas, weights, memories, strict=True)
        stored = [
            _stored(keeper, leaf, key) for leaf, key in zip(leaves, keys, strict=True)
        ]
        step = increment(state.step) if keeper.draws else None
        memory = structure.unflatten([memory for _, memory in stored])
        new = PrecisionState(inner_state, memory, step)
        return structure.unflatten([u for u, _ in stored]), new

    return optax.GradientTransformationExtraArgs(init, update)


def _stored(keeper: Keeper, leaf: tuple[Any, ...], key: Any) -> tuple[Any, Any]:
    """The update that lands on a leaf's new weight, and its new memory."""
    u, theta, weight, memory = leaf
    if u is None or not _is_narrow(theta):
        return u, memory
    new, memory = keeper.store(weight + u, theta.dtype, key)
    return new - theta, memory


def _store_master(point: Array, dtype: Any, key: Any) -> tuple[Array, Array]:
    del key
    return _nearest(point, dtype), point


def _store_error(point: Array, dtype: Any, key: Any) -> tuple[Array, Array]:
    del key
    new = _nearest(point, dtype)
    return new, _nearest(point - new, dtype).astype(dtype)  # e ← p − θ


def _store_randomly(point: Array, dtype: Any, key: Any) -> tuple[Array, None]:
    return _at_random(point, dtype, key), None


_MASTER = Keeper(
    remember=lambda theta: theta.astype(jnp.float32),
    recall=lambda theta, master: master,
    store=_store_master,
    draws=False,
    caller="with_master_weights",
)
_FEEDBACK = Keeper(
    remember=jnp.zeros_like,
    recall=lambda theta, error: _wide(theta) + error,
    store=_store_error,
    draws=False,
    caller="with_error_feedback",
)
_STOCHASTIC = Keeper(
    remember=lambda theta: None,
    recall=lambda theta, memory: _wide(theta),
    store=_store_randomly,
    draws=True,
    caller="with_stochastic_rounding",
)


def _nearest(point: Array, dtype: Any) -> Array:
    """A float32 number rounded to what ``dtype`` holds; ties to even.

    Not by casting there and back: inside ``jit`` XLA may drop such a pair of casts
    (``xla_allow_excess_precision``), and with it the rounding.
    """
    if dtype == jnp.bfloat16:
        return jax.lax.reduce_precision(point, exponent_bits=8, mantissa_bits=7)
    q = _gap(point, dtype)  # `reduce_precision` flushes float16's subnormals
    return jnp.where(jnp.isfinite(point), jnp.round(point / q) * q, point)


def _at_random(point: Array, dtype: Any, key: Any) -> Array:
    """A float32 number rounded up or down to what ``dtype`` holds, unbiased.

    On its bits, of which the dtype drops the last: a random number below their unit
    carries into the rest as often as it should.
    """
    word = draws.words(key, point.shape)
    dropped = jnp.finfo(jnp.float32).nmant - jnp.finfo(dtype).nmant
    bits = jax.lax.bitcast_convert_type(point, jnp.uint32) + (word >> (32 - dropped))
    bits = bits >> dropped << dropped
    new = jax.lax.bitcast_convert_type(bits, jnp.float32)
    if dtype == jnp.float16:  # its subnormals are as many bits short as they are small
        least = jnp.finfo(dtype).smallest_subnormal
        low = jnp.floor(point / least)
        up = (word >> 8) < (point / least - low) * 2**24
        new = jnp.where(jnp.abs(point) < jnp.finfo(dtype).tiny, (low + up) * least, new)
    return jnp.where(jnp.isfinite(point), new, point)


def _gap(point: Array, dtype: Any) -> Array:
    """The distance of neighbouring numbers of ``dtype`` around a float32 number."""
    bits = jax.lax.bitcast_convert_type(point, jnp.uint32)
    exponent = bits & 0x7F800000
    power = jax.lax.bitcast_convert_type(exponent, jnp.float32)  # 2^⌊log₂|p|⌋
    info = jnp.finfo(dtype)
    # float32's subnormals may be flushed: below 2⁻¹¹⁹ bfloat16 gets a coarser grid.
    least = max(info.smallest_subnormal, jnp.finfo(jnp.float32).tiny)
    return jnp.maximum(power * info.eps, least)


def _is_narrow(leaf: Any) -> bool:
    return jnp.result_type(leaf) in _NARROW


def _wide(leaf: Any) -> Any:
    """A narrow leaf in float32; any other as it is."""
    return leaf.astype(jnp.float32) if _is_narrow(leaf) else leaf
