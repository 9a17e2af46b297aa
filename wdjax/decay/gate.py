"""When: gates that let the pull through, entry by entry, as plain data.

Every ``gate=`` argument takes one of them. A gate states

* ``draws``: whether it needs the step count;
* ``opening(step, x, t, leaf)``: the factor, 0 for shut, on each entry's pull, given the
  ``step`` that the optimizer is about to take (what will be *added* to θ, so behind the
  learning rate already), the displacement ``x`` from the target, the step count ``t``
  and the number of the leaf.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from wdjax import check
from wdjax.decay import draws
from wdjax.types import ScalarLike

_OUTCOMES = 2**24


@runtime_checkable
class Gate(Protocol):
    """What a gate must be able to say of itself."""

    @property
    def draws(self) -> bool:
        """Whether the step count is needed."""
        ...

    def opening(self, step: Array, x: Array, t: Any, leaf: int) -> Any:
        """The factor on the pull."""
        ...


@dataclass(frozen=True)
class Always:
    """Never shut."""

    draws = False

    def opening(self, step: Array, x: Array, t: Any, leaf: int) -> Any:
        """One."""
        del step, x, t, leaf
        return 1


@dataclass(frozen=True)
class Cautious:
    """Shut where the step leads away from the target; see :func:`cautious`."""

    ties: Any
    draws = False

    def opening(self, step: Array, x: Array, t: Any, leaf: int) -> Array:
        """One where the step and the displacement have opposite signs."""
        del t, leaf
        # Signs, as a product underflows: 1e-25 · 1e-25 is 0 in float32.
        towards = jnp.sign(step) == -jnp.sign(x)
        return jnp.where(step == 0, self.ties, towards)


@dataclass(frozen=True)
class Stochastic:
    """Open by chance, and the wider the rarer; see :func:`stochastic`."""

    probability: Any
    seed: Any
    draws = True

    def opening(self, step: Array, x: Array, t: Any, leaf: int) -> Array:
        """1/p with probability p, else 0, for each entry."""
        del step
        drawn = (
            draws.words(draws.leaf_key(self.seed, t, leaf), x.shape) >> 8
        )  # float32 counts it
        p = jnp.asarray(self.probability).astype(
            jnp.float32
        )  # float16 cannot count so far
        opens = jnp.maximum(jnp.round(p * _OUTCOMES), 1)  # so many of the outcomes
        wide = jnp.promote_types(x.dtype, jnp.float32)
        return jnp.where(drawn < opens, _OUTCOMES / opens.astype(wide), 0)


always = Always()
"""Every entry, in every step."""


def cautious(*, ties: bool | Array = True) -> Cautious:
    r"""Pull an entry only where the optimizer's own step leads towards the target.

    .. math:: \delta_t \to \delta_t\,\mathbb 1[\,u_t\, x_t \le 0\,]
        \qquad (u_t = -\alpha_t r_t:\quad r_t\, x_t \ge 0),

    entry by entry. Signs are compared, so nothing underflows but the entries
    themselves (XLA takes a subnormal for 0, which makes a tie of it). An entry that
    is at its target already has nothing to be pulled by, whatever the step.

    In front of an optimizer there is no step yet, so ``add_l2`` refuses this gate. In
    the places that pull from the *stepped* point (after, proximal) that point is
    compared: a step beyond the target then leads away from it.

    Args:
        ties: whether an entry is pulled whose step is exactly 0, as it is where a
            gradient has always been 0 (an unused row of an embedding). Algorithm 1
            has :math:`\ge` and pulls it; implementations differ.

    Returns:
        A gate for every ``gate=`` argument behind an optimizer.

    Raises:
        ValueError: ``ties`` is no bool.

    References:
        Chen et al., *Cautious Weight Decay*, 2025, Algorithm 1
        (https://arxiv.org/abs/2510.12402, checked in its version 2).
    """
    if not isinstance(ties, bool) and not _is_scalar(ties, np.bool_):
        raise ValueError(
            f"cautious: ties is {ties!r}; give True (pull where the step is 0) or "
            "False."
        )
    return Cautious(ties)


def stochastic(probability: ScalarLike, seed: int | Int[Array, ""] = 0) -> Stochastic:
    r"""Pull each entry in each step by chance, and the harder the rarer.

    .. math:: \delta_t \to \delta_t\, b / p, \qquad b \sim \text{Bernoulli}(p),

    so that the decay is the same in expectation:
    :math:`\mathbb E\,\theta_T = (1 - \delta)^T \theta_0` without gradients. The draws
    come from ``fold_in(fold_in(key(seed), t), leaf)``: the same seed gives the same
    draws at every resumption, and no key lives in the state, but a count. They have 24
    bits, so :math:`p` is first rounded to a multiple of :math:`2^{-24}`, and to no
    less than one; the quotient is by that, and the mean stays exact. The leaves
    are counted in the tree that the pull is given, so two pulls, also those of two
    groups of ``optax.partition``, need two seeds to be independent.

    Under the proximal place, which is not linear in the rate, the expectation holds
    to first order in :math:`\delta/p` only.

    Args:
        probability: :math:`p \in (0, 1]`, a number or a traced scalar. With
            :math:`p < \delta` an entry is thrown beyond its target.
        seed: an integer, or a traced one: vmap over it.

    Returns:
        A gate for every ``gate=`` argument.

    Raises:
        ValueError: ``probability`` is known and not in (0, 1], or ``seed`` is no
            integer.
    """
    check.positive("probability", probability)
    if check.is_concrete(probability) and probability > 1:
        raise ValueError(
            f"probability is {float(probability):g}; it must be in (0, 1], the share "
            "of the entries that are pulled in a step."
        )
    if not isinstance(seed, int) and not _is_scalar(seed, np.integer):
        raise ValueError(
            f"seed is {seed!r}; it must be an integer. To try several at once, vmap "
            "over it."
        )
    return Stochastic(probability, seed)


def _is_scalar(value: Any, kind: type) -> bool:
    """Whether a value is an array of shape () and of a kind, known or traced."""
    if not isinstance(value, jax.Array | np.ndarray | np.generic):
        return False
    return value.ndim == 0 and jnp.issubdtype(value.dtype, kind)
