"""Designs that fill a box of hyper-parameters: Sobol, Halton, random."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from wdjax.sweep import cells
from wdjax.sweep.ranges import Range, check_ranges

Fill: TypeAlias = Callable[[int, int, int], Float[np.ndarray, "points dims"]]


def design(
    seed: Iterable[int],
    points: int,
    *,
    method: str = "sobol",
    scramble: int = 0,
    **ranges: Range,
) -> cells.Design:
    r"""Points that fill a box evenly, the same for every seed.

    .. math:: x_{ij} = F_j^{-1}(u_{ij})

    with :math:`u_i \in [0, 1)^d` the i-th point of a sequence and :math:`F_j` the
    distribution of the j-th hyper-parameter. A grid of :math:`k^d` points tries each
    hyper-parameter at k values; these try each at as many values as there are points,
    which is what counts where only some of them matter (Bergstra & Bengio, section 3).

    ``sobol``
        Scrambled Sobol points: of :math:`2^m`, each of :math:`2^m` equal slices along
        every axis holds one.
    ``halton``
        Scrambled Halton points, for any number of them.
    ``random``
        Independent and uniform.

    Example:
        ``design(range(3), 64, learning_rate=LogUniform(1e-4, 1), decay=Uniform(0, 1))``
        has 192 cells.

    Args:
        seed: as for :func:`~wdjax.sweep.grid`.
        points: how many; a power of 2 for ``sobol``.
        method: one of the above.
        scramble: seeds the scrambling, or the draws.
        **ranges: where each hyper-parameter is looked for.

    Returns:
        The design, the same for the same arguments.

    Raises:
        ValueError: there is no such method, no point, or no range; or a range is bad.

    Warns:
        UserWarning: the number of Sobol points is no power of 2.

    References:
        Sobol' (1967), with Joe & Kuo's (2008) directions; Halton (1960); Owen (1998),
        "Scrambling Sobol' and Niederreiter–Xing points"; Bergstra & Bengio (2012),
        "Random search for hyper-parameter optimization". The sequences are SciPy's.
    """
    check_ranges(ranges)
    if method not in METHODS:
        raise ValueError(f"There is no method {method!r}; take one of {list(METHODS)}.")
    if points < 1:
        raise ValueError(f"points is {points}; it must be at least 1.")
    u = METHODS[method](len(ranges), points, scramble)
    hypers = {name: F.quantile(u[:, j]) for j, (name, F) in enumerate(ranges.items())}
    return cells.points(seed, **hypers)


def _sobol(dims: int, points: int, scramble: int) -> Float[np.ndarray, "points dims"]:
    from scipy.stats import qmc

    m = math.ceil(math.log2(points))
    if points != 2**m:
        warnings.warn(
            f"points is {points}, and Sobol points are balanced in powers of 2 only: "
            f"take {2 ** (m - 1)} or {2**m}, or method='halton'.",
            stacklevel=3,
        )
    return qmc.Sobol(dims, rng=scramble).random_base2(m)[:points]


def _halton(dims: int, points: int, scramble: int) -> Float[np.ndarray, "points dims"]:
    from scipy.stats import qmc

    return qmc.Halton(dims, rng=scramble).random(points)


def _random(dims: int, points: int, scramble: int) -> Float[np.ndarray, "points dims"]:
    return np.random.default_rng(scramble).random((points, dims))


METHODS: Mapping[str, Fill] = MappingProxyType(
    {"sobol": _sobol, "halton": _halton, "random": _random}
)
