"""Where a hyper-parameter is looked for, and how densely."""

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float


class Uniform(NamedTuple):
    """As many values in every interval of the same width.

    Attributes:
        low: the lower end.
        high: the upper end.
    """

    low: float
    high: float

    def quantile(self, u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        r"""The inverse of the cumulative distribution.

        .. math:: F^{-1}(u) = a + u (b - a)

        Args:
            u: probabilities in [0, 1].

        Returns:
            Values in [``low``, ``high``] = [a, b].
        """
        a, b = self
        return np.clip(a + u * (b - a), a, b)


class LogUniform(NamedTuple):
    """As many values in every interval of the same ratio: log x is uniform.

    Attributes:
        low: the lower end, above 0.
        high: the upper end.
    """

    low: float
    high: float

    def quantile(self, u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        r"""The inverse of the cumulative distribution.

        .. math:: F^{-1}(u) = a^{1 - u}\, b^u

        Args:
            u: probabilities in [0, 1].

        Returns:
            Values in [``low``, ``high``] = [a, b].
        """
        a, b = self
        return np.clip(np.exp((1 - u) * math.log(a) + u * math.log(b)), a, b)


Range: TypeAlias = Uniform | LogUniform


def check_ranges(ranges: Mapping[str, object]) -> None:
    """Refuse ranges that hold nothing, or of which there is no logarithm.

    Args:
        ranges: by the names of their hyper-parameters.

    Raises:
        ValueError: there are none, or one is no range, with what to give instead.
    """
    if not ranges:
        raise ValueError(
            "There is no range to search; give one, such as "
            "learning_rate=LogUniform(1e-4, 1e-1)."
        )
    for name, given in ranges.items():
        if not isinstance(given, Uniform | LogUniform):
            raise ValueError(
                f"{name} is {given!r}; give Uniform(low, high) or "
                "LogUniform(low, high)."
            )
        if not (math.isfinite(given.low) and math.isfinite(given.high)):
            raise ValueError(f"{name} is {given}; both of its ends must be finite.")
        if given.low >= given.high:
            raise ValueError(
                f"{name} is {given}; low must be below high. A value that does not "
                "vary belongs into the training function."
            )
        if isinstance(given, LogUniform) and given.low <= 0:
            raise ValueError(
                f"{name} is {given}; a logarithm needs low > 0. Give the least value "
                "that matters, or Uniform."
            )
