r"""What pulls: penalties ρ, entry by entry, as plain data.

Every ``pull=`` argument takes one of them. A penalty is a frozen dataclass, never a
bare callable, so ``optax.inject_hyperparams`` cannot take it for a schedule. With
:math:`x = \theta - \text{target}`, each states

* ``value(x)``: :math:`\rho(x)`, for the loss;
* ``gradient(x)``: :math:`\nabla\rho(x)`, for the coupled and the explicit places;

and, where the proximal point has a closed form,

* ``shrinkage(x, c, old)``: :math:`x - \mathrm{prox}_{c\rho}(x)`, what the proximal
  place removes; ``old`` is the displacement before the step. It is exactly 0 for
  :math:`c = 0`, and exactly :math:`x` where the proximal point is 0.

======================================  ================================  =========
penalty                                 :math:`\rho(x)`                   proximal?
======================================  ================================  =========
:data:`quadratic`                       :math:`\tfrac12 x^2`              yes
:data:`l1`                              :math:`|x|`                       yes
:func:`p_norm`                          :math:`|x|^p / p`                 yes
:func:`elastic_net`                     :math:`r|x| + (1 - r) x^2/2`      yes
:func:`hyperbolic`                      :math:`|x| / (s + |x|)`           no
:func:`exponential`                     :math:`1 - e^{-|x|/s}`            no
:func:`weight_elimination`              :math:`x^2 / (s^2 + x^2)`         no
======================================  ================================  =========

The last three rise from 0 to 1 about the scale :math:`s`: their sum counts the entries
that are large, and what is large is hardly pulled. Their formulas keep every square
finite, whatever the entry.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array

from wdjax import check
from wdjax.types import ScalarLike


@runtime_checkable
class Pull(Protocol):
    """What a penalty must be able to say of itself."""

    def value(self, x: Array) -> Array:
        """ρ of every entry."""
        ...

    def gradient(self, x: Array) -> Array:
        """∇ρ of every entry."""
        ...


@runtime_checkable
class Proximal(Pull, Protocol):
    """A penalty that the proximal place takes too."""

    def shrinkage(self, x: Array, c: Any, old: Array) -> Array:
        """What the proximal point of cρ takes away from every entry."""
        ...


@dataclass(frozen=True)
class Quadratic:
    r""":math:`\rho(x) = \tfrac12 |x|^2`: the pull is proportional to the distance."""

    def value(self, x: Array) -> Array:
        """``½|x|²``, real also for complex x."""
        return 0.5 * jnp.real(x * jnp.conj(x))

    def gradient(self, x: Array) -> Array:
        """The displacement itself."""
        return x

    def shrinkage(self, x: Array, c: Any, old: Array) -> Array:
        """The displacement less its (1 + c)-th."""
        del old
        return c / (1 + c) * x


@dataclass(frozen=True)
class L1:
    r""":math:`\rho(x) = |x|`: the same pull at every distance."""

    def value(self, x: Array) -> Array:
        """``|x|``."""
        return _modulus(x)

    def gradient(self, x: Array) -> Array:
        """The sign, the subgradient that is 0 at 0."""
        return jnp.sign(x)

    def shrinkage(self, x: Array, c: Any, old: Array) -> Array:
        """What the soft threshold takes: up to c, and not beyond zero."""
        del old
        return jnp.clip(x, -c, c)


@dataclass(frozen=True)
class PNorm:
    r""":math:`\rho(x) = |x|^p/p`; see :func:`p_norm`."""

    p: Any

    def value(self, x: Array) -> Array:
        """``|x|ᵖ/p``."""
        return _modulus(x) ** self.p / self.p

    def gradient(self, x: Array) -> Array:
        """``sign(x)|x|ᵖ⁻¹``."""
        return jnp.sign(x) * jnp.abs(x) ** (self.p - 1)

    def shrinkage(self, x: Array, c: Any, old: Array) -> Array:
        """The displacement less its (1 + c|old|ᵖ⁻²)-th."""
        softness = jnp.abs(old) ** (2 - self.p)  # the inverse of |old|ᵖ⁻², finite at 0
        total = c + softness
        return c / jnp.where(total > 0, total, 1) * x  # 0/0 where c = old = 0


@dataclass(frozen=True)
class ElasticNet:
    r""":math:`\rho(x) = r|x| + (1 - r)x^2/2`; see :func:`elastic_net`."""

    l1_ratio: Any

    def value(self, x: Array) -> Array:
        """``r|x| + (1 − r)x²/2``."""
        r = self.l1_ratio
        return r * _modulus(x) + (1 - r) / 2 * x**2

    def gradient(self, x: Array) -> Array:
        """The two gradients, mixed alike."""
        r = self.l1_ratio
        return r * jnp.sign(x) + (1 - r) * x

    def shrinkage(self, x: Array, c: Any, old: Array) -> Array:
        """What the soft threshold takes, and the quadratic's share of the rest."""
        del old
        threshold, a = c * self.l1_ratio, c * (1 - self.l1_ratio)
        taken = jnp.clip(x, -threshold, threshold)
        return taken + a / (1 + a) * (x - taken)


@dataclass(frozen=True)
class Hyperbolic:
    r""":math:`\rho(x) = |x|/(s + |x|)`; see :func:`hyperbolic`."""

    scale: Any

    def value(self, x: Array) -> Array:
        """``|x|/(s + |x|)``."""
        return _modulus(x) / (self.scale + _modulus(x))

    def gradient(self, x: Array) -> Array:
        """``sign(x) s/(s + |x|)²``."""
        s = self.scale
        return jnp.sign(x) * (s / (s + jnp.abs(x))) ** 2 / s


@dataclass(frozen=True)
class Exponential:
    r""":math:`\rho(x) = 1 - e^{-|x|/s}`; see :func:`exponential`."""

    scale: Any

    def value(self, x: Array) -> Array:
        """``1 − exp(−|x|/s)``."""
        return -jnp.expm1(-_modulus(x) / self.scale)

    def gradient(self, x: Array) -> Array:
        """``sign(x) exp(−|x|/s)/s``."""
        return jnp.sign(x) * jnp.exp(-jnp.abs(x) / self.scale) / self.scale


@dataclass(frozen=True)
class WeightElimination:
    r""":math:`\rho(x) = x^2/(s^2 + x^2)`; see :func:`weight_elimination`."""

    scale: Any

    def value(self, x: Array) -> Array:
        """(x/h)² with h² = s² + x²."""
        return (x / jnp.hypot(self.scale, x)) ** 2

    def gradient(self, x: Array) -> Array:
        """2(x/s)/(1 + (x/s)²)²/s."""
        ratio = jnp.clip(x / self.scale, -1e18, 1e18)  # its square is finite
        left = 1 / (1 + ratio * ratio)
        return ratio * left * left * (2 / self.scale)


quadratic = Quadratic()
"""½‖x‖²: L2 and weight decay."""

l1 = L1()
"""‖x‖₁: the lasso; in the proximal place the soft threshold, which reaches zeros."""


def p_norm(p: ScalarLike) -> PNorm:
    r"""A power of the distance.

    .. math:: \rho(x) = \tfrac1p |x|^p, \qquad
              \nabla\rho(x) = \mathrm{sign}(x)\,|x|^{p-1}

    For :math:`p = 2` it is :data:`quadratic`; the smaller :math:`p`, the sparser the
    weights. The proximal place takes, for the penalty, the parabola that touches it at
    the old displacement; its proximal point has a closed form for every :math:`p`:

    .. math:: x_{t+1} = \frac{x_t + u_t}{1 + c\,|x_t|^{p-2}}

    so for :math:`p = 1` it is *not* the soft threshold of :data:`l1`. Both have the
    penalised loss's stationary points. For :math:`p < 2` an entry that is exactly at
    the target stays there for good: keep weights that begin at zero out with
    ``where=``.

    Args:
        p: :math:`p \ge 1`, a number or a traced scalar.

    Returns:
        A penalty for every ``pull=`` argument.

    Raises:
        ValueError: ``p`` is known and below 1, where the gradient is infinite at 0.

    References:
        Outmezguine & Levi, *Decoupled Weight Decay for Any p Norm*, 2024. The
        proximal form was checked against the authors' ``PAdam``, which penalises
        :math:`\lambda|w|^p` without our :math:`1/p`: its ``lambda_p`` is
        :math:`\lambda = c/(\alpha p)`.
    """
    check.number("p", p)
    if check.is_concrete(p) and float(p) < 1:
        raise ValueError(
            f"p_norm: p is {float(p):g}; it must be at least 1, as the gradient of "
            "|x|^p is infinite at 0 below it."
        )
    return PNorm(p)


def elastic_net(l1_ratio: ScalarLike) -> ElasticNet:
    r"""A mixture of :data:`l1` and :data:`quadratic`.

    .. math:: \rho(x) = r|x| + \tfrac{1 - r}{2} x^2, \qquad
        \mathrm{prox}_{c\rho}(x)
        = \frac{\mathrm{sign}(x)\,\max(|x| - cr,\, 0)}{1 + c(1 - r)}

    Args:
        l1_ratio: :math:`r \in [0, 1]`, a number or a traced scalar: 0 for the
            quadratic alone, 1 for the L1 norm alone.

    Returns:
        A penalty for every ``pull=`` argument.

    Raises:
        ValueError: ``l1_ratio`` is known and not in [0, 1].

    References:
        Zou & Hastie, *Regularization and Variable Selection via the Elastic Net*,
        2005, as scikit-learn writes it: its ``alpha`` and ``l1_ratio`` are our rate
        and :math:`r`. The proximal point was derived from the penalty.
    """
    check.number("l1_ratio", l1_ratio)
    if check.is_concrete(l1_ratio) and float(l1_ratio) > 1:
        raise ValueError(
            f"l1_ratio is {float(l1_ratio):g}; it must be in [0, 1], the share of the "
            "L1 norm in the mixture. The strength of the whole is the rate."
        )
    return ElasticNet(l1_ratio)


def hyperbolic(scale: ScalarLike) -> Hyperbolic:
    r"""Hanson & Pratt's hyperbolic bias, entry by entry.

    .. math:: \rho(x) = \frac{|x|}{s + |x|}, \qquad
              \nabla\rho(x) = \mathrm{sign}(x)\,\frac{s}{(s + |x|)^2}

    Args:
        scale: :math:`s > 0`, in the units of the weights: where :math:`\rho` is ½.

    Returns:
        A penalty for every ``pull=`` argument but the proximal place's.

    Raises:
        ValueError: ``scale`` is known and not positive and finite.

    References:
        Hanson & Pratt, *Comparing Biases for Minimal Network Construction with
        Back-Propagation*, 1988. The shape is as recalled, not checked against the
        text; theirs is a function of the sum of :math:`|w|` over a unit's weights,
        which this is for units of one weight, and their rate may hold another power
        of :math:`s`. The gradient was derived from the penalty above.
    """
    check.positive("scale", scale)
    return Hyperbolic(scale)


def exponential(scale: ScalarLike) -> Exponential:
    r"""Hanson & Pratt's exponential bias, entry by entry.

    .. math:: \rho(x) = 1 - e^{-|x|/s}, \qquad
              \nabla\rho(x) = \mathrm{sign}(x)\,\tfrac1s\, e^{-|x|/s}

    Args:
        scale: :math:`s > 0`, in the units of the weights: where :math:`\rho` is
            :math:`1 - 1/e`.

    Returns:
        A penalty for every ``pull=`` argument but the proximal place's.

    Raises:
        ValueError: ``scale`` is known and not positive and finite.

    References:
        As :func:`hyperbolic`, with the same reservations.
    """
    check.positive("scale", scale)
    return Exponential(scale)


def weight_elimination(scale: ScalarLike) -> WeightElimination:
    r"""Weigend, Rumelhart & Huberman's count of the large weights.

    .. math:: \rho(x) = \frac{(x/s)^2}{1 + (x/s)^2}, \qquad
              \nabla\rho(x) = \frac{2x/s^2}{(1 + (x/s)^2)^2}

    Far below the scale it is weight decay, :math:`x^2/s^2`; far above, a constant.

    Args:
        scale: :math:`s > 0` (their :math:`w_0`), in the units of the weights: where
            :math:`\rho` is ½.

    Returns:
        A penalty for every ``pull=`` argument but the proximal place's.

    Raises:
        ValueError: ``scale`` is known and not positive and finite.

    References:
        Weigend, Rumelhart & Huberman, *Generalization by Weight-Elimination with
        Application to Forecasting*, 1990. Penalty and gradient were checked against
        secondary sources: the gradient in the library NeuPy, and lecture notes that
        print the penalty (with another factor ½, as some do).
    """
    check.positive("scale", scale)
    return WeightElimination(scale)


def _modulus(x: Array) -> Array:
    """``|x|``, with the subgradient 0 at 0, where that of ``jnp.abs`` is 1."""
    return x * jnp.sign(x)
