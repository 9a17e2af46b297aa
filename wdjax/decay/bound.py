r"""How large weights may grow: the bounds of :func:`wdjax.constrain_norm`, plain data.

Every ``bound=`` argument takes one of them. With :math:`R_t` a layer's mean square
after step :math:`t = 1, 2, \dots`, each sets the layer's bound :math:`\kappa`:

===================  =========================================  ========================
bound                :math:`\kappa`                             in force from step
===================  =========================================  ========================
:func:`fixed`        given                                      1
:func:`from_start`   :math:`f R_0`                              1
:func:`warm_start`   :math:`R_n`                                n + 1
:func:`inflection`   :math:`R_t` where its growth slows first   t + 1
===================  =========================================  ========================

A layer that is all zero where its bound is set gets none. A bound states

* ``init(start)``: the memory of a leaf, from :math:`R_0`;
* ``refresh(memory, value, t)``: the memory after step :math:`t` with :math:`R_t`;
* ``level(memory)``: :math:`\kappa`, infinite while there is none.

References:
    Franke et al., *Improving Deep Learning Optimization through Constrained Parameter
    Regularization*, 2024. Checked against the code of the released AdamCPR
    (``kappa_init_method``: uniform, dependent, warm_start, inflection_point), not
    against the paper's equations.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array

from wdjax import check
from wdjax.types import ScalarLike


@runtime_checkable
class Bound(Protocol):
    """What a bound must be able to say of itself."""

    def init(self, start: Array) -> Any:
        """The memory of a leaf."""
        ...

    def refresh(self, memory: Any, value: Array, t: Array) -> Any:
        """The memory of a leaf after a step."""
        ...

    def level(self, memory: Any) -> Array:
        """The bound of each layer."""
        ...


@dataclass(frozen=True)
class Fixed:
    """A given bound; see :func:`fixed`."""

    kappa: ScalarLike

    def init(self, start: Array) -> Array:
        """κ for each layer."""
        return jnp.full_like(start, self.kappa)

    def refresh(self, memory: Any, value: Array, t: Array) -> Any:
        """The bound does not change."""
        del value, t
        return memory

    def level(self, memory: Any) -> Array:
        """κ."""
        return memory


@dataclass(frozen=True)
class FromStart:
    """A multiple of the start; see :func:`from_start`."""

    factor: ScalarLike

    def init(self, start: Array) -> Array:
        """The factor times R₀, for each layer."""
        return _positive((self.factor * start).astype(start.dtype))

    def refresh(self, memory: Any, value: Array, t: Array) -> Any:
        """The bound does not change."""
        del value, t
        return memory

    def level(self, memory: Any) -> Array:
        """κ."""
        return memory


@dataclass(frozen=True)
class WarmStart:
    """The value at a step; see :func:`warm_start`."""

    steps: ScalarLike

    def init(self, start: Array) -> Array:
        """No bound yet."""
        return jnp.full_like(start, jnp.inf)

    def refresh(self, memory: Any, value: Array, t: Array) -> Any:
        """R_n once the n-th step is done."""
        return jnp.where(t == self.steps, _positive(value), memory)

    def level(self, memory: Any) -> Array:
        """κ, infinite before."""
        return memory


class Growth(NamedTuple):
    """What :class:`Inflection` remembers of each layer.

    Attributes:
        kappa: the bound, infinite before the inflection.
        value: R at the end of the last interval.
        rise: how much R grew over it.
    """

    kappa: Array
    value: Array
    rise: Array


@dataclass(frozen=True)
class Inflection:
    """The value where growth slows first; see :func:`inflection`."""

    interval: ScalarLike

    def init(self, start: Array) -> Growth:
        """No bound yet."""
        return Growth(jnp.full_like(start, jnp.inf), start, jnp.zeros_like(start))

    def refresh(self, memory: Any, value: Array, t: Array) -> Growth:
        """At the end of an interval, compare its growth with that of the one before."""
        ends = t % self.interval == 0
        rise = value - memory.value
        slows = ends & (t > 3 * self.interval) & (rise < memory.rise)
        found = slows & jnp.isinf(memory.kappa)
        return Growth(
            kappa=jnp.where(found, _positive(value), memory.kappa),
            value=jnp.where(ends, value, memory.value),
            rise=jnp.where(ends, rise, memory.rise),
        )

    def level(self, memory: Any) -> Array:
        """κ, infinite before."""
        return memory.kappa


KEPT = "A bound stays what it is once it is found."


def fixed(kappa: ScalarLike) -> Fixed:
    r"""The same bound for every layer.

    Args:
        kappa: :math:`\kappa > 0`, of the mean square: 1e-4 holds entries to a root mean
            square of 0.01. (``kappa_init_param`` of AdamCPR's "uniform" bounds the
            *sum* of squares: :math:`n\kappa` for a layer of :math:`n` weights.)

    Raises:
        ValueError: ``kappa`` is not positive.
    """
    check.positive("bound.fixed: kappa", kappa, KEPT)
    return Fixed(kappa)


def from_start(factor: ScalarLike = 1.0) -> FromStart:
    r"""A multiple of each layer's mean square at ``init``; AdamCPR's "dependent".

    Args:
        factor: :math:`f > 0`.

    Raises:
        ValueError: ``factor`` is not positive.
    """
    check.positive("bound.from_start: factor", factor, KEPT)
    return FromStart(factor)


def warm_start(steps: ScalarLike) -> WarmStart:
    """Each layer's mean square after some unconstrained steps; AdamCPR's "warm_start".

    Args:
        steps: how many, at least 1: the learning rate's warm-up, or longer.

    Raises:
        ValueError: ``steps`` is not a whole number ≥ 1.
    """
    _check_count("bound.warm_start: steps", steps)
    return WarmStart(steps)


def inflection(interval: ScalarLike = 200) -> Inflection:
    r"""Each layer's mean square where its growth slows for the first time.

    .. math:: \kappa = R_{ks} \quad\text{for the smallest } k \ge 4 \text{ with}\quad
        R_{ks} - R_{(k-1)s} < R_{(k-1)s} - R_{(k-2)s}

    AdamCPR's "inflection_point", as its default (``foreach``) code looks for it: every
    :math:`s` steps and not before the fourth interval. Its running mean of R is left
    out, since the released code never stores it.

    Args:
        interval: :math:`s \ge 1`, in steps. Growth must be visible over it, above the
            noise of the batches.

    Raises:
        ValueError: ``interval`` is not a whole number ≥ 1.
    """
    _check_count("bound.inflection: interval", interval)
    return Inflection(interval)


def _positive(value: Array) -> Array:
    return jnp.where(value > 0, value, jnp.inf)


def _check_count(name: str, value: Any) -> None:
    check.positive(name, value, KEPT)
    if check.is_concrete(value) and float(value) != int(value):
        raise ValueError(f"{name} is {float(value):g}; it must be a whole number.")
