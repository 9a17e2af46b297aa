r"""What rounding leaves of a step of weight decay.

A floating point type with :math:`p` significant bits, the implicit one included,
rounds to the nearest number, ties to the even one. A weight :math:`|\theta| = m\,2^e`,
:math:`1 \le m < 2`, lies in the octave from :math:`2^e` to :math:`2^{e+1}`, where
neighbours are :math:`2^{e+1-p}` apart. Taking :math:`\delta\theta` away moves it when
that is more than half of this,

.. math:: \delta\,m\,2^e > 2^{e-p}
          \quad\Longleftrightarrow\quad m > \frac{2^{-p}}{\delta} .

So the small weights of each octave stay, and the large ones move, by a whole gap. (A
power of two has half the gap below it. It moves for :math:`\delta > 2^{-p-1}`, as at a
tie it is the even one.)

Assumed: normal numbers whose decay :math:`\delta\theta` is normal too, and decay that
is applied as a rounding step of its own. ``decay_rate`` is :math:`\delta`, itself not
rounded; ``bits`` is :math:`p`. Derived here.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wdjax.types import ScalarLike

BFLOAT16, FLOAT16, FLOAT32 = 8, 11, 24  # p


def largest_lost(bits: int) -> float:
    r"""The largest decay rate that moves no weight at all.

    .. math:: \delta = 2^{-(p+1)}

    Args:
        bits: :math:`p`.

    Returns:
        :math:`2^{-9}` in bfloat16, :math:`2^{-12}` in float16.
    """
    return 2.0 ** -(bits + 1)


def smallest_sure(bits: int) -> float:
    r"""The smallest decay rate that moves every weight.

    .. math:: \delta = 2^{-p}

    Args:
        bits: :math:`p`.

    Returns:
        :math:`2^{-8}` in bfloat16, :math:`2^{-11}` in float16.
    """
    return 2.0**-bits


def fraction_moved(
    decay_rate: ScalarLike | Float[Array, "*rates"], bits: int
) -> Float[Array, "*rates"]:
    r"""The fraction of weights that a step of decay moves, as a sum.

    .. math:: 1 - \log_2\frac{2^{-p}}{\delta} = 1 + p + \log_2\delta,
              \quad\text{between 0 and 1},

    for :math:`\theta + \mathrm{round}(-\delta\theta)`. Assumes magnitudes that are
    log-uniform over whole octaves, :math:`\log_2 m` uniform on [0, 1): then the weights
    above :math:`m = 2^{-p}/\delta` are that share. On a grid of few bits powers of two,
    :math:`\tfrac32 2^{-p}/\ln 2` of the weights, move besides, and
    the threshold lies within a half step of the weights and one of their decay,
    :math:`2^{-p}/\ln 2` each: together 0.02 at most in bfloat16.

    Args:
        decay_rate: :math:`\delta > 0`.
        bits: :math:`p`.

    Returns:
        0 up to :func:`largest_lost`, 1 from :func:`smallest_sure` on.
    """
    # Scaled first: both ends are powers of two, whose logarithm is exact.
    return jnp.clip(jnp.log2(decay_rate * 2.0 ** (bits + 1)), 0.0, 1.0)


def factor_moves(
    decay_rate: ScalarLike | Float[Array, "*rates"], bits: int
) -> Bool[Array, "*rates"]:
    r"""Whether a decay applied as a rounded factor moves the weights, all or none.

    .. math:: \mathrm{round}(1-\delta) < 1
              \quad\Longleftrightarrow\quad \delta > 2^{-(p+1)},

    for :math:`\theta\cdot\mathrm{round}(1-\delta)`: numbers below 1 are
    :math:`2^{-p}` apart, and the tie goes to 1. A factor of :math:`1-2^{-p}` or less
    moves every weight, whatever its size.

    Args:
        decay_rate: :math:`\delta \in [0, 1]`.
        bits: :math:`p`.

    Returns:
        True or false; as fractions of weights, 1 and 0.
    """
    return jnp.asarray(decay_rate) > largest_lost(bits)


def removed_by_factor(
    decay_rate: ScalarLike | Float[Array, "*rates"], bits: int
) -> Any:
    r"""The decay rate that a rounded factor means.

    .. math:: 1 - \mathrm{round}(1-\delta) = 2^{-p}\,\mathrm{round}(2^p\delta),

    ties to even. Where the factor is not 1 it may still be up to twice what was asked
    for, or two thirds of it.

    Args:
        decay_rate: :math:`\delta \in [0, \tfrac12]`.
        bits: :math:`p`.

    Returns:
        A whole multiple of :math:`2^{-p}`.
    """
    return jnp.round(decay_rate * 2.0**bits) * 2.0**-bits
